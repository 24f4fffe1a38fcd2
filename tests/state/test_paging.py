"""What code may do to its page: forms of addresses and cookies, what crosses, and what a fake's page notes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta import AppMeta, CookieRefused, NoPage, RedirectRefused, TooLarge, app_meta
from jupyter_app_meta.dashboards import DashboardError
from jupyter_app_meta.dashboards.commands.allowed import Allowed
from jupyter_app_meta.dashboards.commands.outbox import MOST, TICKETS, Message, Outbox, frame, markup
from jupyter_app_meta.kernel.page.commands import FakePage
from jupyter_app_meta.state.forms import Misunderstood
from jupyter_app_meta.state.operations import Request, read_request, write_request
from jupyter_app_meta.state.paging import cookies
from jupyter_app_meta.state.paging.addresses import target, with_query
from jupyter_app_meta.state.paging.operations import (
    AskBrowser,
    Command,
    Redirect,
    SetCookie,
    SetQuery,
    SetTitle,
    TellPage,
    check,
)
from jupyter_app_meta.testing import fake_request

PAGE = "http://host.test:8866/apps/page?x=1"
PORTAL = "https://portal.example.org"
ALLOWED = Allowed.of(["region", "tour_seen"], [PORTAL, "http://other.test:80"])
COMMANDS: list[Command] = [
    SetQuery({"region": ("emea",), "tag": ("a", "b"), "gone": ()}),
    SetTitle("Sales & <more>"),
    Redirect("/x"),
    SetCookie("region", "emea", 60),
    SetCookie("region", "emea"),
]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/x", "/x"),
        ("other?a=1#f", "/apps/other?a=1#f"),
        ("?a=1", "/apps/page?a=1"),
        ("..", "/"),
        ("http://host.test:8866/z?y#q", "/z?y#q"),
        ("http://HOST.test:8866", "/"),
        (f"{PORTAL}/deep?x=1", f"{PORTAL}/deep?x=1"),
        (f"{PORTAL}:443/", f"{PORTAL}:443/"),
        ("http://other.test/", "http://other.test/"),
    ],
)
def test_addresses_that_a_page_may_go_to(url: str, expected: str) -> None:
    """Those of its own origin become paths, and those of a listed origin stay."""
    assert ALLOWED.judged(Redirect(url), PAGE) == Redirect(expected)


@pytest.mark.parametrize(
    "url",
    [
        *("", "//evil.test", "///evil.test", "////evil.test", "/\\evil.test", "\\\\evil.test", "https:\\\\evil.test"),
        *(
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "java\tscript:alert(1)",
            " javascript:alert(1)",
            "data:text/html,x",
        ),
        *("https://evil.test", "http:evil.test", "http:/evil.test", "https:evil.test", "ftp://host.test/", "blob:x"),
        *(
            "http://host.test:8866@evil.test/",
            "https://portal.example.org@evil.test",
            "https://portal.example.org.evil.test",
        ),
        *("http://portal.example.org/", "http://host.test/", "https://host.test:8866/", "http://u:p@host.test:8866/"),
        *(
            "http://host.test:8866//evil.test",
            "/x\r\nSet-Cookie: a=b",
            "/x y",
            "http://[::1",
            "/" + "x" * 2000,
            "/\x00",
        ),
        *(
            "https://portal.example.org\u3002evil.test/",
            "http://host.test:8866\u2044@evil.test",
            "/\udc80",
            "\ufeff//evil.test",
        ),
    ],
)
def test_addresses_that_a_page_may_not_go_to(url: str) -> None:
    """Another origin, another scheme, and what browsers read otherwise than Python are refused."""
    with pytest.raises(RedirectRefused):
        ALLOWED.judged(Redirect(url), PAGE)


@given(st.text(alphabet="/\\.:@?#ahtpsevil-[]%\t ", max_size=20))
def test_no_text_leads_elsewhere(url: str) -> None:
    """What is let through is a path with one slash, or has a listed origin."""
    try:
        found = target(url, PAGE, ALLOWED.origins)
    except RedirectRefused:
        return
    assert found.startswith("/") and not found.startswith("//") and "\\" not in found


def test_query_is_changed_by_name() -> None:
    """Names that are not given stay as they are, and a name without values goes."""
    changed = with_query("http://h/p?a=1&b=&a=2&c=%26#f", {"a": ("x y",), "b": (), "d": ("1", "2")})
    assert changed == "http://h/p?c=%26&a=x+y&d=1&d=2#f"


@pytest.mark.parametrize(
    ("name", "value", "max_age"),
    [
        *(
            ("region", odd, 60)
            for odd in ("a b", 'a"b', "a;b", "a,b", "a\\b", "a\r\nSet-Cookie: x=y", "é", "x" * 2001, "\x00")
        ),
        *(("region", "x", odd) for odd in (-1, 401 * 86_400)),
        *(
            (odd, "x", None)
            for odd in ("theme", "_xsrf", "", "re gion", "region\n", "region=x", "Region", "username-app-meta-1")
        ),
    ],
)
def test_cookies_that_code_may_not_set(name: str, value: str, max_age: int | None) -> None:
    """A name that is not listed, and a value that would end the cookie or the header, are refused. No value is told."""
    with pytest.raises(CookieRefused) as error:
        ALLOWED.judged(SetCookie(name, value, max_age), PAGE)
    assert value in ("", "x") or value not in str(error.value)
    assert "emea" not in repr(SetCookie("region", "emea"))


@pytest.mark.parametrize(
    "name",
    [
        "_xsrf",
        "session",
        "sessionid",
        "username-x",
        "__Host-a",
        "__Secure-a",
        "jupyterhub-user",
        "app-meta-look-as",
        "App-Meta-theme",
        "token",
        "a b",
        "",
        "a=b",
    ],
)
def test_names_that_no_deployer_may_list(name: str) -> None:
    """The server's own cookies, logins and what is not a name are refused when the server is configured."""
    assert not cookies.may_be_listed(name)
    with pytest.raises(DashboardError, match="page_cookies has"):
        Allowed.of([name], [])


@pytest.mark.parametrize(
    "origin", ["*", "portal.example.org", "https://a.test/x", "https://*.a.test", "javascript:", "https://a@b"]
)
def test_origins_that_no_deployer_may_list(origin: str) -> None:
    """An origin is a scheme, a host and a port."""
    with pytest.raises(DashboardError, match="redirect_origins has"):
        Allowed.of([], [origin])


@pytest.mark.parametrize("command", COMMANDS, ids=repr)
def test_commands_cross_as_they_are(command: Command) -> None:
    """What a kernel writes, a server reads."""
    for operation in (TellPage(command), AskBrowser()):
        request = Request("id1", "grant", "shared", operation)
        assert read_request(write_request(request)) == request


ODD: dict[Any, list[Any]] = {
    "query": [
        [],
        {"a": "b"},
        {"a": [1]},
        {"x" * 101: []},
        {"a": ["x" * 4001]},
        {"\ud800": []},
        {str(number): [] for number in range(51)},
    ],
    "title": [None, 5, "x" * 301, "\udfff"],
    "redirect": [None, ["/"], "x" * 2001],
    "cookie": ["x", {"name": "a"}, {"name": "a", "value": "b", "max_age": True}],
    "close": ["x"],
    None: ["x"],
}


@pytest.mark.parametrize(
    ("do", "given"), [(do, each) for do, some in ODD.items() for each in some], ids=lambda each: repr(each)[:40]
)
def test_other_forms_are_refused(do: Any, given: Any) -> None:
    """A server does nothing that it has only half understood."""
    content = {"v": 1, "id": "id1", "grant": "g", "scope": "shared", "op": "page", "do": do, "given": given}
    with pytest.raises(Misunderstood):
        read_request(content)


def hearing(heard: list[Any]) -> Callable[[list[Message]], bool]:
    """Return what writes to a socket that takes all."""

    def write(messages: list[Message]) -> bool:
        heard.extend(messages)
        return True

    return write


async def test_commands_wait_for_their_page() -> None:
    """They go to the sockets; without one the last of them wait, and the page that is made takes them."""
    outbox, nudges, written, heard = Outbox(), [0], dict[str, Any](), list[Any]()
    outbox.begin(lambda: nudges.append(1), written.update, PAGE)
    outbox.put_soon(SetQuery({"a": ("1",)}))
    await asyncio.sleep(0)
    assert (nudges, written) == ([0, 1], {"a": ("1",)})
    assert outbox.take() == [{"do": "query", "given": {"a": ["1"]}}] and outbox.take() == []
    for number in range(MOST + 5):
        outbox.put(SetTitle(str(number)))
    outbox.attach("socket", hearing(heard))
    assert [told["given"] for told in heard] == [str(number) for number in range(5, MOST + 5)]
    outbox.put(Redirect("/x"))
    assert heard[-1] == {"do": "redirect", "given": "/x"}
    outbox.detach("socket")
    outbox.put(SetTitle("later"))
    assert heard[-1]["do"] == "redirect" and len(outbox.take()) == 1


def test_commands_that_no_socket_took_wait_for_the_next() -> None:
    """A socket that is closing takes none, and keeps none from the others."""
    outbox, heard = Outbox(), list[Any]()
    outbox.attach("closing", lambda told: False)
    outbox.put(SetTitle("1"))
    outbox.put(SetTitle("2"))
    outbox.attach("open", hearing(heard))
    outbox.put(SetTitle("3"))
    assert [told["given"] for told in heard] == ["1", "2", "3"] and outbox.take() == []


def test_ticket_is_good_once() -> None:
    """The page is told the ticket and not the cookie; the oldest tickets go first."""
    outbox = Outbox()
    for number in range(TICKETS + 1):
        outbox.put(SetCookie("region", f"value-{number}"))
    first, second, *_ = tickets = [told["given"] for told in outbox.take()]
    assert "value" not in str(tickets)
    assert outbox.redeem(first) is None and outbox.redeem(5) is None and outbox.redeem("") is None
    assert outbox.redeem(second) == SetCookie("region", "value-1") and outbox.redeem(second) is None


def test_markup_cannot_end_its_element() -> None:
    """A title is data in the script, whatever it has; nothing is written for nothing."""
    text = markup([{"do": "title", "given": "</script><b>&\u2028"}])
    assert text.count("<") == text.count("</script>\n") + 1 == 2 and "&" not in text and text.isascii()
    assert markup([]) == "" and frame([{"do": "title"}]).startswith('{"do":')


def test_page_under_a_fake_notes_what_code_does() -> None:
    """Nothing is done, forms are checked, and each fake has a page of its own."""
    with fake_request(url="/sales?region=old") as meta:
        page = app_meta().page
        assert page is meta.page and isinstance(page, FakePage)
        assert (page.title, page.redirected) == (None, None)
        page.title = "Sales"
        page.query.set({"q&a": 1}, region=None, tag=["a", 2])
        page.redirect("other")
        page.redirect("https://anywhere.test/")
        page.set_cookie("region", "emea", max_age=60)
        page.set_cookie("tour_seen", "1")
        page.set_cookie("tour_seen", "", max_age=0)
        with pytest.raises(RedirectRefused):
            page.redirect("javascript:alert(1)")
        with pytest.raises(CookieRefused):
            page.set_cookie("region", "a;b")
    assert (page.title, page.redirected, page.cookies_set) == ("Sales", "https://anywhere.test/", {"region": "emea"})
    assert page.query_set == {"q&a": ("1",), "region": (), "tag": ("a", "2")}
    assert fake_request().meta.page is not page


def test_there_is_no_page_elsewhere() -> None:
    """In a script and in an editor each deed raises an error that says what to do; wrong types are refused first."""
    for meta in (app_meta(), AppMeta(mode="edit")):
        page = meta.page
        with pytest.raises(NoPage, match=r"app_meta\(\).mode == 'run'"):
            page.query.set(a=1)
        with pytest.raises(NoPage):
            page.redirect("/")
        with pytest.raises(NoPage):
            page.set_cookie("region", "emea")
        with pytest.raises(NoPage):
            page.title = "x"
    odd: Any = app_meta().page
    with pytest.raises(TypeError, match="must be"):
        odd.redirect(5)
    with pytest.raises(TypeError, match="must be"):
        odd.set_cookie("region", "emea", max_age=1.5)
    with pytest.raises(TypeError, match="must be"):
        odd.query.set({5: 1})


def test_sizes_are_bounded() -> None:
    """Too much is an error before anything is sent."""
    for command in (SetTitle("x" * 301), SetQuery({"a": ("x" * 4001,)}), SetQuery({str(n): () for n in range(51)})):
        with pytest.raises(TooLarge, match="at most"):
            check(command)


async def test_an_address_does_not_grow_without_end() -> None:
    """A change that makes it longer than browsers and proxies take is dropped; one that removes names is not."""
    outbox, written = Outbox(), list[Any]()
    outbox.begin(lambda: None, written.append, PAGE)
    for number in range(20):
        outbox.put(SetQuery({f"name{number}": ("x" * 900,)}))
    assert len(written) == len(outbox.take()) == 8 and len(outbox.address) <= 8000
    assert not outbox.fits(SetQuery({"more": ("x" * 900,)}))
    outbox.put(SetQuery({f"name{number}": () for number in range(20)}))
    assert outbox.address == PAGE
