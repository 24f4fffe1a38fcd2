"""Three people: a visitor of the demonstration chooses to be one of them. No password: never for a real server."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_server.auth import IdentityProvider, User
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.login import LoginFormHandler
from jupyter_server.auth.logout import LogoutHandler

PAGES = Path(__file__).parent / "pages"
"""The folder of the login page, which has the look of the server's own pages."""


@dataclass
class Person(User):
    """A user who belongs to groups; an identity provider may add any fields."""

    groups: tuple[str, ...] = ()


PEOPLE = {
    person.username: person
    for person in (
        Person("alice", display_name="Alice Andrews", initials="AA", groups=("sales",)),
        Person("bob", display_name="Bob Brown", initials="BB", groups=("sales", "managers")),
        Person("carol", display_name="Carol Clark", initials="CC"),
    )
}


class Choice(LoginFormHandler):
    """The login page: a button for each person."""

    @allow_unauthenticated
    def get(self) -> None:
        """Show the people to choose from, also to a visitor who is one of them already."""
        self._render()

    def _render(self, message: dict[str, str] | None = None) -> None:
        page = self.settings["app_meta_pages"](
            "people.html",
            people=PEOPLE.values(),
            current=self.current_user,
            base_url=self.base_url,
            next=self.get_argument("next", self.base_url),
            xsrf=self.xsrf_token.decode(),
        )
        self.finish(page)


class Farewell(LogoutHandler):
    """The way out, back to the login page."""

    @allow_unauthenticated
    def get(self) -> None:
        """Forget who the visitor was."""
        self.identity_provider.clear_login_cookie(self)
        self.redirect(f"{self.base_url}login")


class People(IdentityProvider):
    """Believes the signed cookie that the login page has set."""

    def __init__(self, **options: Any) -> None:
        super().__init__(login_handler_class=Choice, logout_handler_class=Farewell, **options)

    def get_user(self, handler: Any) -> User | Awaitable[User | None] | None:
        """Return the person of the login cookie; there are no tokens here."""
        return self.get_user_cookie(handler)

    def process_login_form(self, handler: Any) -> User | None:
        """Return the person whose button was pressed."""
        return PEOPLE.get(handler.get_body_argument("person", ""))

    def user_to_cookie(self, user: User) -> str:
        """A name is enough: who belongs to which group is looked up at each request."""
        return user.username

    def user_from_cookie(self, cookie_value: str) -> User | None:
        """Return the person of this name, None where there is none any more."""
        return PEOPLE.get(cookie_value)
