"""The provider of ``--users``: visitors log in with a name and a password of a file."""

from __future__ import annotations

from pathlib import Path

from tornado import web
from traitlets import Unicode, default

from ...errors import IdentityError
from ..attempts import Limits
from ..base import SessionProvider
from ..handlers import LONGEST, LoginHandler, Refusal
from ..identified import Identified, Session
from . import passwords
from .people import Person
from .watched import Watched

WRONG = "The name or the password is wrong."


class UsersIdentityProvider(SessionProvider):
    """Visitors are the users of a TOML file, with the hashes of their passwords. The file may change at any time."""

    file = Unicode(
        help="The TOML file of users, such as people.toml. `jupyter app-meta passwd alice` writes a user into it."
    ).tag(config=True)

    @default("login_handler_class")
    def _our_form(self) -> type[web.RequestHandler]:
        return LoginHandler

    def open(self) -> None:
        """Read the file; raises IdentityError, which names the line and the fix."""
        super().open()
        if not self.file:
            raise IdentityError("UsersIdentityProvider.file (--users) is missing: give a file, such as people.toml.")
        self._file = Watched(Path(self.file).expanduser(), self.log)
        self._checker = passwords.Checker()
        self.limits = Limits()

    async def log_in(self, username: str, password: str, address: str, browser: str = "") -> Identified:
        """Return the user of a name and a password; raises Refusal. Attempts by name and by address are limited.

        ``browser`` is the id of a browser in which this user has logged in before.
        """
        wait = self.limits.wait(username[:LONGEST], address, browser)
        if wait:
            raise Refusal(f"There were too many attempts. Please try again in {_time(wait)}.", 429, wait)
        person = self._file.people().get(username)
        try:
            fits = await self._checker.fits(person.hash if person else None, password[: LONGEST + 1])
        except passwords.Busy:
            raise Refusal("Too many visitors log in at the moment. Please try again.", 503, 5) from None
        if not fits or person is None or person.hash is None or len(password) > LONGEST:
            self.log.warning("A login failed (from %s).", address or "an unknown address")
            raise Refusal(WRONG)
        self.limits.give_back(username, address, browser)
        session = Session.begin(person.username, self.session_length, passwords.mark(person.hash))
        return identified(person, session)

    def user_of(self, session: Session) -> Identified | None:
        """Return the user of a session; None if the file has no such user any more, or another password."""
        person = self._file.people().get(session.username)
        if person is None or person.hash is None or passwords.mark(person.hash) != session.mark:
            return None
        return identified(person, session)


def identified(person: Person, session: Session) -> Identified:
    """Return a user of the file as the server knows users."""
    return Identified(
        person.username,
        **person.names,
        groups=person.groups,
        admin=person.admin,
        key=f"users:user:{person.username}",
        session=session,
    )


def _time(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 120 else f"{seconds // 60} minutes"
