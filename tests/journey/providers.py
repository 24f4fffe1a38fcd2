"""Identity providers that servers under test are configured with; imported by their config files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote

from jupyter_server.auth import IdentityProvider, User


class People(IdentityProvider):
    """Believes the cookie ``person``: good enough to be several people on one test server."""

    def get_user(self, handler: Any) -> User | None:
        """Return the person of the cookie; None without one."""
        name = handler.get_cookie("person")
        return User(username=unquote(name), display_name=unquote(name).title()) if name else None


class Guests(People):
    """Believes the cookie ``person``, and admits visitors without one, whom jupyter_server gives a name by a cookie."""

    auth_enabled = False

    def get_user(self, handler: Any) -> Any:
        """Return the person of the cookie, or a guest."""
        return super().get_user(handler) or IdentityProvider._get_user(self, handler)

    def values(self, user: Any) -> Mapping[str, Any]:
        """Return the fields of a user."""
        return asdict(user)

    def assurance(self, user: Any) -> str:
        """Vouch for people."""
        return "none" if self._is_guest(user) else "provider"

    def binding_key(self, user: Any) -> str:
        """Tell guests and people apart."""
        return f"{self.assurance(user)}:{user.username}"

    @staticmethod
    def _is_guest(user: Any) -> bool:
        return str(user.display_name).startswith("Anonymous ")


@dataclass
class Employee(User):
    """A user with fields of the deployer's own."""

    email: str = ""
    access_token: str = "tok-CANARY"
    badge: object = None


class Odd(People):
    """Returns whatever the cookie ``form`` asks for."""

    def get_user(self, handler: Any) -> Any:
        """Return a user in one of the forms that providers in the field return."""
        name = handler.get_cookie("person")
        forms: dict[str, Any] = {
            "str": name,
            "dict": {"username": name, "name": "Al Ice", "groups": ["g1"], "email": "a@b.c"},
            "hubdict": {"kind": "user", "name": name, "admin": True, "groups": ["root"], "scopes": ["all"]},
            "subclass": Employee(name or "x", email="a@b.c", badge=object()),
            "int": 42,
            "list": [name],
        }
        form = handler.get_cookie("form")
        if form == "raises" and "channels" in handler.request.path:
            raise RuntimeError("the provider is broken")
        return forms.get(form, super().get_user(handler)) if form else super().get_user(handler)
