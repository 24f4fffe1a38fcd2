"""What a deployer lets notebooks do to pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import CookieRefused, DashboardError
from ...state.paging import addresses, cookies
from ...state.paging.operations import Command, Redirect, SetCookie


@dataclass(frozen=True, slots=True)
class Allowed:
    """The names of cookies that notebooks may set, and the origins to which they may redirect."""

    cookies: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: Sequence[str], origins: Sequence[str]) -> Allowed:
        """Return what is allowed; raises DashboardError for a name or an origin that cannot be listed."""
        for name in names:
            if not cookies.may_be_listed(name):
                raise DashboardError(
                    f"page_cookies has {name!r}: give names of letters, digits and underscores, such as 'region', that "
                    "do not say that they are logins."
                )
        found = {origin: addresses.normal(origin) for origin in origins}
        for origin, normal in found.items():
            if normal is None:
                raise DashboardError(
                    f"redirect_origins has {origin!r}: give origins such as 'https://portal.example.org', with no path."
                )
        return cls(frozenset(names), frozenset(filter(None, found.values())))

    def judged(self, command: Command, page: str) -> Command:
        """Return what the page may be told; raises PageError. ``page`` is the address of the page."""
        match command:
            case Redirect(url):
                return Redirect(addresses.target(url, page, self.origins))
            case SetCookie(name):
                self._check(command, name)
        return command

    def _check(self, cookie: SetCookie, name: str) -> None:
        if name not in self.cookies:
            listed = ", ".join(sorted(self.cookies)) or "none"
            raise CookieRefused(f"Notebooks set only cookies that the deployer lists in page_cookies (now: {listed}).")
        cookies.check(cookie)
