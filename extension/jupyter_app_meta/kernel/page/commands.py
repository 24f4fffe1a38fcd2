"""The page of the running code's visitor: ``app_meta().browser`` and ``app_meta().page``.

1. The server is asked at each use, for the page of this kernel. So the first cell already gets what the page's script
   says, and a callback what is so now.
2. What the browser says of itself is not part of the request, and is never a reason to believe who the visitor is.
3. The server decides what code may do to a page. A form that it would refuse is refused here, too, so that tests
   without a server find it.
4. Under a fake, nothing is done. The fake's page notes it.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from ...browser import Browser
from ...errors import AppMetaError, NoPage, StateUnavailable
from ...model import AppMeta
from ...state.forms import Misunderstood
from ...state.paging import addresses, cookies
from ...state.paging.operations import (
    NO_PAGE,
    AskBrowser,
    Command,
    PageOperation,
    Redirect,
    SetCookie,
    SetQuery,
    SetTitle,
    TellPage,
    check,
)
from .. import context
from ..messages import this_kernel
from ..state import asking

Values = Mapping[str, tuple[str, ...]]


class Query:
    """The query in the page's address bar."""

    __slots__ = ("_page",)

    def __init__(self, page: Page) -> None:
        self._page = page

    def set(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Change the query without loading the page again; other names stay, and None removes a name.

        A list stands for a repeated name. From the next cell or callback on, ``request.query_params`` has the change,
        and so has a link that the visitor copies.
        """
        found = {_name(name): _values(value) for name, value in {**(values or {}), **more}.items()}
        self._page._tell(SetQuery(found))

    def __repr__(self) -> str:
        return "<query of the page>"


class Page:
    """The page that shows the running code: a dashboard in one tab of one visitor.

    Elsewhere each of its methods raises NoPage. They wait for the server, and not for the browser.
    """

    __slots__ = ("_title",)

    def __init__(self) -> None:
        self._title: str | None = None

    @property
    def query(self) -> Query:
        """The query in the address bar: ``page.query.set(region="emea")``."""
        return Query(self)

    @property
    def title(self) -> str | None:
        """The title that code has given to the page; None if it has given none."""
        return self._title

    @title.setter
    def title(self, title: str) -> None:
        self._tell(SetTitle(_text("title", title)))
        self._title = title

    def redirect(self, url: str) -> None:
        """Show another address in place of the page: one of this server, or of an origin in ``redirect_origins``.

        Raises RedirectRefused for any other address. The code goes on until the page has gone.
        """
        self._tell(Redirect(_text("url", url)))

    def set_cookie(self, name: str, value: str, *, max_age: int | None = None) -> None:
        """Set a cookie of the visitor's browser, which no script can read: a name that ``page_cookies`` lists.

        It is kept for ``max_age`` seconds, or without it until the browser is closed; 0 removes it. Raises
        CookieRefused for another name, and for a value that a header cannot carry.
        """
        if max_age is not None and type(max_age) is not int:
            raise TypeError(f"max_age must be a whole number of seconds or None, not {type(max_age).__name__}.")
        self._tell(SetCookie(_text("name", name), _text("value", value), max_age))

    def _tell(self, command: Command) -> None:
        if context.seen().meta.mode != "run":
            raise NoPage(NO_PAGE)
        check(command)
        _asked(TellPage(command))

    def __repr__(self) -> str:
        return "<page>"


class FakePage(Page):
    """The page under a fake: it notes what code does to it, and does nothing."""

    __slots__ = ("_url", "browser", "cookies_set", "query_set", "redirected")

    def __init__(self, url: str, browser: Browser) -> None:
        super().__init__()
        self._url, self.browser = url, browser
        self.query_set: dict[str, tuple[str, ...]] = {}  #: the values that the query was given, by name
        self.cookies_set: dict[str, str] = {}  #: the values of cookies by name; a cookie that was removed is not there
        self.redirected: str | None = None  #: where the page was redirected to at last

    def _tell(self, command: Command) -> None:
        check(command)
        match command:
            case SetQuery(values):
                self.query_set |= values
            case Redirect(url):
                self.redirected = addresses.target(url, self._url, None)
            case SetCookie(name, value, max_age):
                cookies.check(command)
                self.cookies_set.pop(name, None)
                self.cookies_set |= {} if max_age == 0 else {name: value}


# By the id of what code under a fake sees, as for the fake's state.
_faked: dict[int, FakePage] = {}
_page = Page()


def browser_of(meta: AppMeta) -> Browser:
    """Return what is known of the browser that shows the page; nothing is known where no page is."""
    if meta.mode == "test":
        found = _faked.get(id(meta))
        return found.browser if found else Browser()
    if meta.mode != "run":
        return Browser()
    try:
        return Browser.read(_asked(AskBrowser()))
    except (AppMetaError, Misunderstood, ValueError):
        return Browser()


def page_of(meta: AppMeta) -> Page:
    """Return the page: that of the fake, or that of whatever code uses it."""
    return _faked.get(id(meta), _page)


def fake(meta: AppMeta, browser: Browser) -> None:
    """Let code that sees this value find this browser and a page of its own, as long as the value exists."""
    if id(meta) not in _faked:
        weakref.finalize(meta, _faked.pop, id(meta), None).atexit = False
    _faked[id(meta)] = FakePage(str(meta.request.url) if meta.request else "", browser)


def recorded() -> dict[str, Any]:
    """Return what the running code's fake page has noted, as JSON values; nothing without a fake."""
    page = context.app_meta().page
    if not isinstance(page, FakePage):
        return {}
    noted = {"title": page.title, "redirected": page.redirected, "cookies_set": page.cookies_set}
    return {**noted, "query_set": {name: [*some] for name, some in page.query_set.items()}}


def _asked(operation: PageOperation) -> Any:
    """Return the server's answer to a question about the page of the running code; raises NoPage."""
    seen = context.seen()
    if seen.meta.mode != "run":
        raise NoPage(NO_PAGE)
    if seen.grant is None:
        raise StateUnavailable(
            "The server does not let kernels ask about pages: AppMetaExtension.state_url switches state off, or its "
            "release of jupyter-app-meta is older."
        )
    return asking.ask(this_kernel(), seen.grant, "shared", operation)


def _name(name: object) -> str:
    return _text("the name of a query parameter", name)


def _values(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)


def _text(what: str, given: object) -> str:
    if isinstance(given, str):
        return given
    raise TypeError(f"{what} must be a str, not {type(given).__name__}.")
