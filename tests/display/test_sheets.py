from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pprint import pformat
from typing import Any
from urllib.parse import quote

import pytest
from alice import ALICE
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter
from IPython.lib.pretty import pretty
from starlette.datastructures import Address

from jupyter_app_meta import URL, AppMeta, Cookies, Headers, HTTPRequest, QueryParams, SessionInfo, User
from jupyter_app_meta.display import html, sheets
from jupyter_app_meta.display.sheets import Withheld, bundle
from jupyter_app_meta.model import Names

Printer = Callable[[object], str]

PRINTERS: tuple[Printer, ...] = (repr, str, pformat, pretty, sheets.as_json)
TAGS = set("div style table caption thead tbody tr th td p code details summary".split())
ATTRIBUTES = {("div", "class"), ("th", "scope")}

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</td></table></div></style><b>",
    "' onmouseover='alert(1)",
    "&lt;script&gt;",
    "javascript:alert(1)",
    r"$\href{javascript:alert(1)}{x}$",
    "\x1b[31mred",
    "two\nlines",
    "\u202egnp.exe",
    "zero\u200bwidth",
    "lone\ud800surrogate",
    "nul\x00",
)


class Parsed(HTMLParser):
    """The tags, attributes and texts of a piece of HTML, whose tags must be closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember the tag."""
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += [(tag, name) for name, _ in attrs]

    def handle_endtag(self, tag: str) -> None:
        """Check that it closes the last one."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Remember what is read."""
        if self.open[-1] != "style":
            self.texts.append(data)


def request(**changes: Any) -> HTTPRequest:
    """Return a request with these fields."""
    given = {"method": "GET", "url": URL("http://hub/lab"), "base_url": URL("http://hub/"), "via": "page", **changes}
    return HTTPRequest(**given)


def hostile(name: str) -> list[object]:
    """Return each kind of value with the name wherever a visitor or a provider may put one."""
    user = User({name: name}, username=name, name=name, kind=name, groups=(name,), assurance=name, color=name)
    whole = request(
        method=name,
        url=URL(f"http://hub/{quote(name, errors='replace')}?{quote(name, errors='replace')}=VALUE"),
        headers=Headers([(name.encode("latin-1", "replace").decode("latin-1"), "VALUE")]),
        cookies=Cookies({name: "VALUE"}),
        query_params=QueryParams([(name, "VALUE")]),
        path_params={name: "VALUE"},
        meta={name: "VALUE"},
        user=user,
        redacted=Names([f"cookies.{name}", f"query.{name}", f"user.{name}", name]),
        truncated=Names([f"query.{name}"]),
    )
    session = SessionInfo(name, name, name, name)
    parts = (whole, whole.headers, whole.cookies, whole.query_params, Withheld(whole.redacted))
    return [AppMeta(whole, "edit", session), AppMeta(None, "script", session), user, session, *parts]


def assert_harmless(value: object) -> None:
    """The HTML has only our own tags, both forms can be sent, and neither has an unseen character."""
    forms = bundle(value)
    parsed = Parsed(forms["text/html"])
    assert set(parsed.tags) <= TAGS
    assert set(parsed.attributes) <= ATTRIBUTES
    for text in (*parsed.texts, *forms["text/plain"].split("\n")):
        assert text.isprintable()
        text.encode()
    assert "VALUE" not in "".join(forms.values())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    """Header, cookie, query and user names are the attacker's: they never become a tag or an attribute."""
    for value in hostile(name):
        assert_harmless(value)


@given(st.text(alphabet=st.characters(codec=None, exclude_characters="\t\n\r"), max_size=40))
def test_any_name_stays_text(name: str) -> None:
    """Any name is shown as harmless text."""
    for value in hostile(name):
        assert_harmless(value)


def test_names_are_not_typeset_as_mathematics() -> None:
    """JupyterLab typesets dollar signs in HTML outputs: the classes that MathJax skips keep names as they are."""
    html = bundle(Cookies({r"$\href{x}{y}$": ""}))["text/html"]
    assert html.startswith('<div class="app-meta mathjax_ignore tex2jax_ignore">')


def test_direction_of_text_cannot_be_turned() -> None:
    """A right-to-left override is spelled out instead of turning the line around."""
    shown = bundle(Cookies({"a\u202eb": ""}))
    assert r"a\u202eb" in shown["text/html"]
    assert r"a\u202eb" in shown["text/plain"]


@pytest.mark.parametrize("part", [None, "request", "user", "cookies"])
def test_no_form_has_a_value(part: str | None) -> None:
    """Outputs are saved with the notebook: no rich, plain or JSON form of a whole has a value in it."""
    value = ALICE if part is None else ALICE[part]
    forms = [*bundle(value).values(), *(printer(value) for printer in PRINTERS)]
    assert not [form for form in forms if "SECRET" in form]


def test_no_form_of_headers_and_query_has_a_value() -> None:
    """Headers, query and URL alone are as masked as in the whole."""
    assert ALICE.request is not None
    for value in (ALICE.request.headers, ALICE.request.query_params, ALICE.request.url):
        printers = [printer for printer in PRINTERS if printer is not str]  # the text of a URL is asked for
        forms = [*bundle(value).values(), *(printer(value) for printer in printers)]
        assert not [form for form in forms if "SECRET" in form]


def test_overview_says_who_and_what() -> None:
    """The overview has the person, the trust in words, the page, the session, and each name."""
    for form in bundle(ALICE).values():
        for shown in (
            "alice · Alice Liddell (user)",
            "hub: JupyterHub vouches for the name",
            "editors",
            "finance",
            "yes, the server runs for this account",
            "edit: a notebook or console is open for editing",
            "GET http://hub/user/alice/lab/tree/sales.ipynb?region=***",
            "page: the page that the visitor looks at",
            "client_id: tab-1",
            "path: sales.ipynb",
            "accept-language: ***",
            "theme=***",
            "region=***",
            "6 withheld",
        ):
            assert shown in form


def test_withheld_names_stand_beside_their_option() -> None:
    """Each withheld name has the option that opens it, or that none does."""
    plain = " ".join(bundle(ALICE)["text/plain"].split())
    assert "headers.authorization a credential: AppMetaExtension.unsafe_headers = ['authorization']" in plain
    assert "headers.referer AppMetaExtension.headers_allow = ['referer']" in plain
    assert "cookies.jupyterhub-session-id never forwarded" in plain
    assert "client AppMetaExtension.trusted_proxies" in plain


def test_count_of_other_names_has_no_option() -> None:
    """The last entry of a long list counts the others, which no option opens; so does a URL that is none."""
    plain = bundle(Withheld(["url", "(and 3 more)"]))["text/plain"]
    assert "(and 3 more)" in plain
    assert "AppMetaExtension" not in plain


def test_connection_is_counted_and_not_listed() -> None:
    """Headers of the connection itself are not listed; in the list of everything withheld they are counted."""
    names = ["headers.upgrade", "headers.sec-websocket-key", "headers.referer"]
    plain = bundle(Withheld(names))["text/plain"]
    assert "upgrade" not in plain
    assert "and 2 headers" in plain
    assert "1 withheld" in bundle(request(redacted=Names(names)))["text/plain"]
    assert "withheld" not in bundle(request(redacted=Names(names[:2])))["text/plain"]


def test_nothing_withheld_is_said() -> None:
    """An empty list is a sentence, not an empty table."""
    assert "Nothing was withheld." in bundle(Withheld())["text/plain"]


@pytest.mark.parametrize(("assurance", "words"), sheets.ASSURANCES.items())
def test_assurance_is_put_into_words(assurance: str, words: str) -> None:
    """How far to trust a name is said in words."""
    assert f"{assurance}: {words}" in bundle(request(user=User(username="a", assurance=assurance)))["text/plain"]


@pytest.mark.parametrize(
    ("is_owner", "words"), [(True, "yes, the"), (False, "another account"), (None, "cannot be known")]
)
def test_ownership_is_put_into_words(is_owner: bool | None, words: str) -> None:
    """The visitor is not taken for the owner: yes, no and unknown are three answers."""
    assert words in bundle(request(user=User(username="a", is_owner=is_owner)))["text/plain"]


def test_unknown_user_and_withheld_name() -> None:
    """A request without a user, and a user without a name, are said to be so."""
    assert "not known: the server did not say" in bundle(request())["text/plain"]
    assert "without a name (user)" in bundle(request(user=User(kind="user")))["text/plain"]


@pytest.mark.parametrize(
    ("groups", "names", "shown"),
    [
        ((), {}, "none"),
        (("editors",), {}, "editors"),
        (None, {"redacted": Names(["user.groups"])}, "withheld"),
        (None, {"truncated": Names(["user.groups"])}, "did not fit into the stamp"),
        (None, {"truncated": Names(["cookies.user.groups"])}, "not known here"),
    ],
)
def test_groups_are_none_only_where_that_is_known(
    groups: tuple[str, ...] | None, names: dict[str, Names], shown: str
) -> None:
    """A table does not say "none" of groups that the server withholds, or that did not fit."""
    plain = bundle(request(user=User(username="a", groups=groups), **names))["text/plain"]
    assert re.search(rf"^  Groups +{shown}$", plain, re.MULTILINE)


def test_repeated_items_are_counted() -> None:
    """A repeated header or parameter is one name with a count."""
    twice = request(
        query_params=QueryParams([("region", "a"), ("region", "b")]), headers=Headers([("x", "1"), ("X", "2")])
    )
    assert "region=*** ×2" in bundle(twice)["text/plain"]
    assert "x: *** ×2" in bundle(twice)["text/plain"]


def test_what_is_seldom_there_has_a_row_when_it_is() -> None:
    """Path parameters, the deployer's fields, the address and dropped items are shown where there are any, masked."""
    rare = request(path_params={"id": "VALUE"}, meta={"tenant": "VALUE"}, truncated=Names(["query.filter"]))
    plain = bundle(rare)["text/plain"]
    assert "id=***" in plain
    assert "tenant=***" in plain
    assert "query.filter" in plain
    assert "VALUE" not in plain
    assert "Left out" not in bundle(request())["text/plain"]


def test_very_long_lists_are_summarised() -> None:
    """A thousand cookies and withheld names make a short output that counts the others."""
    names = [f"cookie{number}" for number in range(1000)]
    many = request(cookies=Cookies(dict.fromkeys(names, "VALUE")), redacted=Names(f"cookies.{name}" for name in names))
    for form in bundle(AppMeta(many, "edit")).values():
        assert "and 976 more" in form
        assert "and 950 more" in form
        assert len(form) < 16_000


def test_very_long_name_is_clipped() -> None:
    """A name of a million letters does not make an output of a megabyte."""
    assert all(len(form) < 4_000 for form in bundle(Cookies({"x" * 1_000_000: ""})).values())


def test_no_request_teaches() -> None:
    """Without a request the table's place is taken by why, and what to do."""
    for form in bundle(AppMeta()).values():
        words = " ".join(form.split())
        for taught in ("nbconvert", "papermill", "does not stamp", "app-meta check", "%%app_meta user.username=alice"):
            assert taught in words


def test_table_is_accessible() -> None:
    """Each table has a caption, each heading a scope; what is folded opens without a script."""
    html = bundle(ALICE)["text/html"]
    assert html.count("<table>") == html.count("<table><caption>") == 2
    assert html.count("<th") == html.count('<th scope="row">') + html.count('<th scope="col">') + html.count("<thead>")
    assert "<details><summary>6 withheld</summary>" in html


def test_colours_follow_the_theme() -> None:
    """Every colour is the theme's, with a fallback for pages that have no theme."""
    colours = re.findall(r"(?:color|background|border[a-z-]*): ([^;]*(?:#|var|rgb)[^;]*)[;}]", html.STYLE)
    assert colours
    assert all(re.search(r"var\(--jp-[a-z0-9-]+, [^)]+\)", colour) for colour in colours)


def test_nothing_comes_from_elsewhere() -> None:
    """No script, no link, no image, no font: a saved output makes no request to any server."""
    assert not re.search(r"url\(|@import|http", html.STYLE)


def test_text_fits_a_console() -> None:
    """The plain form is wrapped, with its labels in a column."""
    table = bundle(ALICE)["text/plain"].partition("\n\n")[0].split("\n")
    assert all(len(line) <= html.WIDTH for line in table)
    assert {len(re.match(r"  \S.*?  +|  +", line)[0]) for line in table[1:]} == {11}  # type: ignore[index]  # they match


def test_last_expression_has_the_rich_form() -> None:
    """IPython finds the forms on the values themselves, with the extension loaded or not."""
    for value in (ALICE, ALICE.request, ALICE.user, ALICE.cookies, ALICE.session):
        formats, _ = DisplayFormatter().format(value)
        assert "<table>" in formats["text/html"]


def test_url_is_shown_by_its_repr() -> None:
    """A URL needs no table, and its query values are masked too."""
    formats, _ = DisplayFormatter().format(URL("http://hub/?region=VALUE"))
    assert formats == {"text/plain": "URL('http://hub/?region=***')"}


def test_json_is_plain_data() -> None:
    """In the JSON form all mappings and the address are masked."""
    whole = replace(request(meta={"a": {"b": 1}}), client=Address("203.0.113.9", 1))
    plain = json.loads(sheets.as_json(AppMeta(whole, "run")))
    assert (plain["request"]["meta"], plain["request"]["client"]) == ({"a": "***"}, "***")
    assert json.loads(sheets.as_json(SessionInfo("tab")))["client_id"] == "tab"
    assert json.loads(sheets.as_json(User(since=date(2026, 1, 1))))["since"] == "2026-01-01"
