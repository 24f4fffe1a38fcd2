"""The questions about a page, as values ⇄ the fields of a request, and the service that answers them.

request = {…, "op": "browser"}
          {…, "op": "page", "do": "query", "given": {name: [value, …], …}}
          {…, "op": "page", "do": "title" | "redirect", "given": text}
          {…, "op": "page", "do": "cookie", "given": {"name", "value", "max_age"}}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from ...browser import Browser
from ...errors import CookieRefused, NoPage, RedirectRefused, TooLarge
from .. import forms

NO_PAGE = (
    "There is no dashboard's page here. Pages are what `jupyter app-meta serve`, create_app() and create_asgi_app() "
    "show. In an editor, guard the call with `if app_meta().mode == 'run':`; in tests use fake_request()."
)

ERRORS = (NoPage, RedirectRefused, CookieRefused)
"""The errors that an answer may name."""

NAMES, NAME, VALUES, TITLE, ADDRESS = 50, 100, 4000, 300, 2000
"""How many names a change of the query has; characters of a name, of all values, of a title and of an address."""


@dataclass(frozen=True, slots=True)
class AskBrowser:
    """What the page's script says of the visitor's browser. Answer: the fields of ``Browser``."""


@dataclass(frozen=True, slots=True)
class SetQuery:
    """Change the query in the address bar; a name without values goes."""

    values: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SetTitle:
    """Change the title."""

    title: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """Show another address in the page's place."""

    url: str


@dataclass(frozen=True, slots=True)
class SetCookie:
    """Set a cookie of the visitor's browser, or remove it (``max_age`` 0); without ``max_age`` it is the session's."""

    name: str
    value: str = field(repr=False)
    max_age: int | None = None


Command: TypeAlias = SetQuery | SetTitle | Redirect | SetCookie


@dataclass(frozen=True, slots=True)
class TellPage:
    """Do something to the page. Answer: null."""

    command: Command


PageOperation: TypeAlias = AskBrowser | TellPage
Reader: TypeAlias = tuple[tuple[str, ...], Callable[[dict[str, Any]], PageOperation]]


class PageService(Protocol):
    """Answers what kernels ask about their pages, from any thread."""

    def browser(self, kernel_id: str) -> Browser:
        """Return what is known of the browser that shows a kernel's page; raises NoPage."""

    def tell(self, kernel_id: str, command: Command) -> None:
        """Do something to a kernel's page; raises PageError, and TooLarge for too much at once."""


class NoPageService:
    """The service of a server that shows no pages."""

    def browser(self, kernel_id: str) -> Browser:
        """Raise NoPage."""
        raise NoPage(NO_PAGE)

    def tell(self, kernel_id: str, command: Command) -> None:
        """Raise NoPage."""
        raise NoPage(NO_PAGE)


def answered(pages: PageService, kernel_id: str, operation: PageOperation) -> Any:
    """Do what a kernel asks, and return the answer as JSON; raises what the service raises."""
    match operation:
        case AskBrowser():
            return pages.browser(kernel_id).plain
        case TellPage(command):
            pages.tell(kernel_id, command)
    return None


def check(command: Command) -> None:
    """Raise TooLarge for a command that is larger than a server takes."""
    match command:
        case SetQuery(values):
            size = sum(len(value) for some in values.values() for value in some)
            if len(values) > NAMES or size > VALUES or any(len(name) > NAME for name in values):
                raise TooLarge(f"A query has at most {NAMES} names and {VALUES} characters of values.")
        case SetTitle(title) if len(title) > TITLE:
            raise TooLarge(f"A title has at most {TITLE} characters, not {len(title)}.")


def written(operation: PageOperation) -> dict[str, Any]:
    """Return the fields of a request that are the operation's own."""
    match operation:
        case AskBrowser():
            return {"op": "browser"}
        case TellPage(SetQuery(values)):
            return _page("query", {name: [*some] for name, some in values.items()})
        case TellPage(SetTitle(title)):
            return _page("title", title)
        case TellPage(Redirect(url)):
            return _page("redirect", url)
        case TellPage(SetCookie(name, value, max_age)):
            return _page("cookie", {"name": name, "value": value, "max_age": max_age})
    raise TypeError(type(operation).__name__)


def _page(do: str, given: object) -> dict[str, Any]:
    return {"op": "page", "do": do, "given": given}


def _read(fields: dict[str, Any]) -> TellPage:
    do, given = fields["do"], fields["given"]
    reader = _COMMANDS.get(do) if isinstance(do, str) else None
    if reader is None:
        raise forms.Misunderstood("do must be one of " + ", ".join(_COMMANDS))
    return TellPage(reader(given))


def _read_query(given: object) -> SetQuery:
    forms.need(isinstance(given, dict) and len(given) <= NAMES, "given")
    assert isinstance(given, dict)
    read = {_text(name, NAME): _texts(some) for name, some in given.items()}
    forms.need(sum(len(value) for some in read.values() for value in some) <= VALUES, "given")
    return SetQuery(read)


def _read_cookie(given: object) -> SetCookie:
    found = forms.fields(given, {"name", "value", "max_age"})
    max_age = found["max_age"]
    forms.need(max_age is None or type(max_age) is int, "max_age")
    return SetCookie(_text(found["name"], NAME), _text(found["value"], VALUES), max_age)


def _texts(given: object) -> tuple[str, ...]:
    forms.need(isinstance(given, list) and len(given) <= VALUES, "given")
    assert isinstance(given, list)
    return tuple(_text(value, VALUES) for value in given)


def _text(given: object, limit: int) -> str:
    found = forms.text(given, "given", limit)
    forms.need(found.encode("utf-8", "ignore").decode() == found, "given")  # no half of a surrogate pair
    return found


_COMMANDS: Mapping[str, Callable[[object], Command]] = {
    "query": _read_query,
    "title": lambda given: SetTitle(_text(given, TITLE)),
    "redirect": lambda given: Redirect(_text(given, ADDRESS)),
    "cookie": _read_cookie,
}
READERS: Mapping[str, Reader] = {
    "browser": ((), lambda fields: AskBrowser()),
    "page": (("do", "given"), _read),
}
