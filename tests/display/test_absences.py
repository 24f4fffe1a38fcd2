"""Lookups that fail teach, and what lists variables by itself is given no value."""

from __future__ import annotations

import atexit
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.oinspect import Inspector
from traitlets.config import Config

from jupyter_app_meta import URL, AppMeta, AppMetaError, Cookies, Headers, HTTPRequest, QueryParams, UnknownItem, User
from jupyter_app_meta.display import absences
from jupyter_app_meta.model import Names
from jupyter_app_meta.policy import Page, Policy, RawRequest

RAW = RawRequest(
    method="GET",
    url="http://hub/api/kernels/k1/channels",
    base_url="http://hub/",
    headers=(("Accept-Language", "SECRET"), ("Authorization", "SECRET"), ("Referer", "SECRET"), ("Upgrade", "SECRET")),
    cookies=(("theme", "SECRET"), ("sid", "SECRET"), ("author", "Bearer SECRET-0123456789")),
    user=User(username="alice", kind="user", assurance="hub", is_owner=True),
)
REQUEST = Policy().request(RAW, Page("http://hub/lab?region=SECRET&token=SECRET"))
META = AppMeta(REQUEST, "edit")


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (lambda: REQUEST.headers["Referer"], "AppMetaExtension.headers_allow = ['referer']"),
        (lambda: REQUEST.headers["authorization"], "AppMetaExtension.unsafe_headers = ['authorization']"),
        (lambda: REQUEST.cookies["sid"], "AppMetaExtension.unsafe_cookies = ['sid']"),
        (lambda: REQUEST.cookies["author"], "unsafe_cookies = ['author'], because its value looks like a credential."),
        (lambda: REQUEST.query_params["token"], "AppMetaExtension.unsafe_query = ['token']"),
        (lambda: REQUEST.headers["accept_language"], "Did you mean accept-language? It has: accept-language."),
        (lambda: REQUEST.cookies["thme"], "cookies has no 'thme'. Did you mean theme? It has: theme."),
        (lambda: REQUEST.query_params["regoin"], "query has no 'regoin'. Did you mean region? It has: region."),
        (lambda: REQUEST.url["pth"], "url has no 'pth'. Did you mean path?"),
        (lambda: REQUEST["header"], "request has no 'header'. Did you mean headers?"),
        (lambda: META["usr"], "app_meta() has no 'usr'. Did you mean user?"),
        (lambda: META.session["client"], "session has no 'client'. Did you mean client_id?"),
        (lambda: META.request and META.request["user"]["nme"], "user has no 'nme'. Did you mean name?"),
        (lambda: REQUEST.meta["tenant"], "this mapping has no 'tenant'. It has: nothing."),
    ],
)
def test_lookup_that_fails_teaches(look: Callable[[], object], said: str) -> None:
    """A missing item is a KeyError that lists what is there, and of a withheld one the option; it shows no value."""
    with pytest.raises(KeyError) as caught:
        look()
    assert isinstance(caught.value, UnknownItem)
    assert isinstance(caught.value, AppMetaError)
    assert said in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_item_that_did_not_fit_is_told_from_an_unknown_one() -> None:
    """An item that had no room in the stamp says so."""
    request = HTTPRequest("GET", URL(""), URL(""), truncated=Names(["query.filter"]))
    with pytest.raises(KeyError, match="did not fit into the stamp"):
        request.query_params["filter"]


def test_values_of_another_request_keep_their_own_reasons() -> None:
    """The same headers in two requests know of each what was withheld there."""
    again = HTTPRequest("GET", URL(""), URL(""), headers=REQUEST.headers)
    with pytest.raises(KeyError, match=r"has no 'referer'"):
        again.headers["referer"]
    with pytest.raises(KeyError, match="headers_allow"):
        REQUEST.headers["referer"]
    assert again.headers == REQUEST.headers


def test_get_and_in_are_as_before() -> None:
    """``get`` and ``in`` answer for what is missing, and an error can be pickled."""
    assert REQUEST.headers.get("referer") is None
    assert REQUEST.query_params.get("token", "none") == "none"
    assert "sid" not in REQUEST.cookies
    assert REQUEST.user is not None
    assert REQUEST.user.get("nme") is None
    with pytest.raises(UnknownItem) as caught:
        REQUEST.cookies["sid"]
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.name, str(copy)) == ("sid", str(caught.value))


def test_headers_of_the_connection_are_not_listed() -> None:
    """What only the connection needs is not among what an author could want."""
    names = (*absences.TRANSPORT, "headers.sec-websocket-key", "headers.x-forwarded-user", "cookies.sid", "client")
    assert absences.wanted(names) == ("headers.x-forwarded-user", "cookies.sid", "client")


@pytest.mark.parametrize("name", ["pop", "popitem", "clear", "update", "setdefault"])
def test_what_is_refused_is_not_offered(name: str) -> None:
    """A read-only mapping does not offer to be changed."""
    assert name not in dir(REQUEST.user)
    assert name not in dir(REQUEST.meta)


# What shows variables by itself

WHOLES: dict[str, object] = {
    "meta": META,
    "request": REQUEST,
    "headers": REQUEST.headers,
    "cookies": REQUEST.cookies,
    "query": REQUEST.query_params,
    "url": REQUEST.url,
}


def test_whos_shows_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    """``%whos`` lists a notebook's variables by ``str()``: masked, also of a URL, whose text is whole elsewhere."""
    shell: Any = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    atexit.unregister(shell.atexit_operations)
    shell.user_ns.update(WHOLES)
    shell.run_line_magic("whos", "")
    said = capsys.readouterr().out
    assert all(name in said for name in WHOLES)
    assert "SECRET" not in said
    assert "SECRET" in str(REQUEST.url)


@pytest.mark.parametrize("name", WHOLES)
def test_help_shows_no_value(name: str) -> None:
    """``name?`` shows the text of a value."""
    assert "SECRET" not in str(Inspector(theme_name="nocolor").info(WHOLES[name], oname=name, detail_level=1))


@pytest.mark.parametrize("name", ["headers", "cookies", "query"])
def test_text_of_a_mapping_has_no_value(name: str) -> None:
    """``print`` of a whole shows its names; ``vars`` as well."""
    assert "SECRET" not in f"{WHOLES[name]} {WHOLES[name]!s}"
    assert "SECRET" not in repr(vars(WHOLES[name]))


def in_module(name: str, code: str, **names: object) -> Any:
    """Return what an expression is in another module."""
    return eval(code, {"__name__": name, **names})


@pytest.mark.parametrize("name", ["headers", "cookies", "query", "url"])
def test_cell_of_a_table_has_no_value(name: str) -> None:
    """pandas prints the items of a mapping in a table's cell."""
    value = WHOLES[name]
    assert "SECRET" not in repr(in_module("pandas.io.formats.printing", "list(value.items())", value=value))
    assert "SECRET" in repr(in_module("notebook", "list(value.items())", value=value))
    assert "SECRET" not in str(in_module("IPython.core.magics.namespace", "str(value)", value=value))


def test_inspector_of_jupyterlab_shows_no_value() -> None:
    """JupyterLab's variable inspector asks for the text in a function of its own."""
    names: dict[str, Any] = {}
    exec("def _jupyterlab_variableinspector_getcontentof(x): return str(x)", names)
    assert "SECRET" not in names["_jupyterlab_variableinspector_getcontentof"](REQUEST.url)


def test_keys_complete() -> None:
    """IPython completes ``headers["`` with the names that are there."""
    for value in (REQUEST, META, *(WHOLES[name] for name in ("headers", "cookies", "query", "url"))):
        assert isinstance(value, AppMeta | HTTPRequest | Headers | Cookies | QueryParams | URL)
        assert value._ipython_key_completions_() == list(dict.fromkeys(value.keys()))
