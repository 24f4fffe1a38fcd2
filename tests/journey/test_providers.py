"""Every answer of an identity provider has a documented outcome, and the kernel keeps working."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import websocket
from harness import Server, serving


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose provider returns users in odd forms."""
    config = "c.ServerApp.identity_provider_class = 'providers.Odd'\n"
    with serving(tmp_path_factory.mktemp("odd"), config=config, token="") as server:
        yield server


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("str", {"username": "alice", "name": "alice", "assurance": "provider", "is_owner": None, "kind": "user"}),
        ("dict", {"username": "alice", "name": "Al Ice", "groups": ["g1"], "email": "a@b.c", "is_authenticated": True}),
        ("subclass", {"username": "alice", "email": "a@b.c"}),
        ("hubdict", {"username": "alice", "assurance": "provider", "is_owner": None}),
    ],
)
def test_forms_of_users(odd: Server, form: str, expected: dict[str, object]) -> None:
    """Trap: values that cannot cross failed at run time. A str, a dict and a subclass are converted at capture."""
    visitor = odd.visitor(cookies={"person": "alice", "form": form})
    socket = visitor.connect(visitor.start_kernel())
    user = socket.who()["user"]
    assert {name: user[name] for name in expected} == expected
    assert not {"access_token", "badge", "scopes"} & set(user)
    assert socket.run("print(6 * 7)").text == "42\n"


@pytest.mark.parametrize("form", ["int", "list"])
def test_unknown_form_is_nobody(odd: Server, form: str) -> None:
    """A user of an unknown form is None, and the kernel works."""
    visitor = odd.visitor(cookies={"person": "alice", "form": form})
    socket = visitor.connect(visitor.start_kernel())
    assert socket.who()["user"] is None
    assert socket.run("print(6 * 7)").text == "42\n"


def test_no_user_is_refused_by_the_server(odd: Server) -> None:
    """Trap: auth by the page, none on the socket. Without a user, or when the provider raises, no socket opens."""
    visitor = odd.visitor(cookies={"person": "alice"})
    kernel = visitor.start_kernel()
    socket = visitor.connect(kernel)
    for cookies in ({}, {"person": "bob", "form": "raises"}):
        with pytest.raises(websocket.WebSocketBadStatusException):
            odd.visitor(cookies=cookies).connect(kernel)
    assert socket.who()["user"]["username"] == "alice"


def test_names_that_are_not_latin(odd: Server) -> None:
    """Trap: user data made into code that the kernel executed. Quotes and markup arrive as they are, as data."""
    from urllib.parse import quote

    for name in ("Zoë", "王芳", "O'Brien\"); import os #", "<script>alert(1)</script>"):
        visitor = odd.visitor(cookies={"person": quote(name)})
        assert visitor.connect(visitor.start_kernel()).who()["user"]["username"] == name


def test_auth_that_is_off_authenticates_nobody(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With authentication off every visitor is anonymous, and is_authenticated is False."""
    with serving(tmp_path_factory.mktemp("off"), token="") as server:
        visitor = server.visitor()
        visitor.get("/api/me")
        socket = visitor.connect(visitor.start_kernel())
        user = socket.who()["user"]
        assert (user["is_authenticated"], user["assurance"], user["kind"], user["is_owner"]) == (
            False,
            "none",
            "anonymous",
            None,
        )
        error = socket.run("from jupyter_app_meta import app_meta; app_meta().require_user()").of("error")[0]
        assert error["ename"] == "NotAuthenticated" and "Set a token" in error["evalue"]


def test_odd_bytes_in_headers_cookies_and_query(odd: Server) -> None:
    """latin-1 headers, invalid UTF-8 in the query, odd cookies: shown as well as can be, never an error."""
    visitor = odd.visitor(cookies={"person": "alice"})
    kernel = visitor.start_kernel()
    socket = visitor.connect(
        kernel, query="&q=%ff%fe&%e9t%e9=1&a=1&a=2&=x&%00=nul", headers=[("User-Agent", "caf\u00e9")]
    )
    seen = socket.who()
    assert seen["user"]["username"] == "alice"
    assert seen["query"]["a"] == "2"
    assert seen["query"]["q"] == "\ufffd\ufffd"
    assert seen["headers"]["user-agent"] in ("caf\u00e9", "caf\u00c3\u00a9")
    code = "from jupyter_app_meta import app_meta; print(app_meta().request.query_params.getlist('a'))"
    assert socket.run(code).text == "['1', '2']\n"
