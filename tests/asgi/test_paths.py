"""Where a request is below its mount: every way in which servers and frameworks tell it."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta.asgi.bridge.paths import Place, split

TOLD = [
    ("at the root", {"path": "/who"}, ("/", "/who")),
    ("the root itself", {"path": "/"}, ("/", "/")),
    ("no path at all", {"path": ""}, ("/", "/")),
    ("a star", {"path": "*"}, ("/", "/*")),
    ("mounted", {"path": "/dash/who", "root_path": "/dash"}, ("/dash/", "/who")),
    ("a root path with its slash", {"path": "/dash/who", "root_path": "/dash/"}, ("/dash/", "/who")),
    ("the mount with its slash", {"path": "/dash/", "root_path": "/dash"}, ("/dash/", "/")),
    ("the mount without its slash", {"path": "/dash", "root_path": "/dash"}, ("/dash/", "")),
    ("a path that only begins alike", {"path": "/dashboard", "root_path": "/dash"}, ("/dash/", "/dashboard")),
    ("the server strips the prefix", {"path": "/who", "root_path": "/p"}, ("/p/", "/who")),
    ("... and keeps it in raw_path", {"path": "/a/b", "root_path": "/p", "raw_path": b"/p/a%2Fb"}, ("/p/", "/a%2Fb")),
    ("... nowhere", {"path": "/a/b", "root_path": "/p", "raw_path": b"/a%2Fb"}, ("/p/", "/a%2Fb")),
    (
        "a proxy strips what FastAPI(root_path=) adds, then a mount",
        {"path": "/dash/a/b", "root_path": "/p/dash", "app_root_path": "/p", "raw_path": b"/dash/a%2Fb"},
        ("/p/dash/", "/a%2Fb"),
    ),
    (
        "... and the mount has a parameter",
        {"path": "/t/a b/who", "root_path": "/p/t/a b", "app_root_path": "/p", "raw_path": b"/t/a%20b/who"},
        ("/p/t/a%20b/", "/who"),
    ),
    (
        "uvicorn --root-path, then a mount",
        {"path": "/p/dash/who", "root_path": "/p/dash", "app_root_path": "/p", "raw_path": b"/p/dash/who"},
        ("/p/dash/", "/who"),
    ),
    ("an app_root_path of another tree", {"path": "/d/x", "root_path": "/d", "app_root_path": "/q"}, ("/d/", "/x")),
    ("a query in raw_path", {"path": "/who", "raw_path": b"/who?a=/dash"}, ("/", "/who")),
    ("a space and an umlaut", {"path": "/t/ü b/x", "root_path": "/t/ü b"}, ("/t/%C3%BC%20b/", "/x")),
    ("no raw_path: a percent is text", {"path": "/100%/%zz"}, ("/", "/100%25/%25zz")),
    ("raw: bad escapes stay", {"path": "/%zz", "raw_path": b"/%zz"}, ("/", "/%zz")),
    ("raw: not UTF-8", {"path": "/\ufffd", "raw_path": b"/%FF"}, ("/", "/%FF")),
    ("raw bytes that no browser sends", {"path": "/é", "raw_path": "/é".encode()}, ("/", "/%C3%A9")),
    ("middleware rewrote the path", {"path": "/public", "raw_path": b"/secret"}, ("/", "/public")),
    ("middleware rewrote below a mount", {"path": "/d/a", "root_path": "/d", "raw_path": b"/d/b"}, ("/d/", "/a")),
    (
        "an encoded letter of the mount: one base",
        {"path": "/dash/who", "root_path": "/dash", "raw_path": b"/%64ash/who"},
        ("/dash/", "/who"),
    ),
    (
        "an encoded letter of the route: as written",
        {"path": "/who", "raw_path": b"/%77ho"},
        ("/", "/%77ho"),
    ),
    (
        "the mount's slash is hidden, and stays so",
        {"path": "/dash/who", "root_path": "/dash", "raw_path": b"/dash%2Fwho"},
        ("/dash/", "/%2Fwho"),
    ),
    (
        "a slash within a mount's parameter",
        {"path": "/t/a/b/x", "root_path": "/t/a/b", "raw_path": b"/t/a%2Fb/x"},
        ("/t/a%2Fb/", "/x"),
    ),
    (
        "two slashes name no host",
        {"path": "//evil.example/d/x", "root_path": "//evil.example/d"},
        ("/evil.example/d/", "/x"),
    ),
    ("two slashes in a route", {"path": "/d//x", "root_path": "/d", "raw_path": b"/d//x"}, ("/d/", "//x")),
    ("a lone surrogate", {"path": "/\ud800"}, ("/", "/%3F")),
]


@pytest.mark.parametrize(("scope", "place"), [told[1:] for told in TOLD], ids=[told[0] for told in TOLD])
def test_each_way_to_tell_a_path_gives_its_base_and_route(scope: dict[str, Any], place: tuple[str, str]) -> None:
    """Every case that a server, a proxy or a framework is known to make."""
    assert split(scope) == Place(*place)


segments = st.lists(st.text("aÄ ü/%?#;'\"<&\\.\ufffd~@:", min_size=1), max_size=4)


def path_of(parts: list[str]) -> str:
    """Return a decoded path."""
    return "".join(f"/{part}" for part in parts)


def raw_of(parts: list[str]) -> str:
    """Return a path as a browser writes it: slashes within a segment are encoded."""
    return "".join("/" + quote(part, safe="") for part in parts)


@given(segments, segments)
def test_what_was_written_comes_apart_where_the_mount_ends(mount: list[str], rest: list[str]) -> None:
    """The route is the browser's own text, and the base decodes to the mount."""
    mount = [part.strip("/") or "m" for part in mount]
    path, raw = path_of(mount) + path_of(rest), raw_of(mount) + raw_of(rest)
    place = split({"path": path or "/", "root_path": path_of(mount), "raw_path": (raw or "/").encode()})
    assert place.route == (raw_of(rest) or ("" if mount else "/"))
    assert unquote(place.base) == f"{path_of(mount)}/".replace("//", "/", 1 if not mount else 0)


@given(st.text(max_size=30), st.text(max_size=30), st.none() | st.text(max_size=10), st.none() | st.binary(max_size=30))
def test_any_scope_gives_a_base_that_is_harmless_in_a_page(
    path: str, root: str, app: str | None, raw: bytes | None
) -> None:
    """Nothing raises, and a base has no quote, no bracket, no semicolon, and one slash at each end."""
    place = split({"path": path, "root_path": root, "app_root_path": app, "raw_path": raw})
    assert re.fullmatch(r"/|/[\w.\-@:+=,!$*~%][\w.\-@:+=,!$*~%/]*/", place.base, re.ASCII)
    assert not place.base.startswith("//") and not place.route.startswith("?")
    assert place.route == "" or place.route.startswith("/")


@given(st.text(st.sampled_from("/a%2F"), max_size=20), st.sampled_from(["", "/a", "/a/2F", "/a/a"]))
def test_no_hidden_slash_becomes_a_plain_one(raw: str, root: str) -> None:
    """A route has as many plain slashes as the browser wrote beyond the mount, never more."""
    raw = f"/{raw}"
    path = unquote(raw)
    place = split({"path": path, "root_path": root, "raw_path": raw.encode()})
    assert place.route.count("/") <= raw.count("/") + (1 if path.startswith(root) else 0)
    if path.startswith(f"{root}/"):
        assert unquote(place.route).lstrip("/") == path[len(root) :].lstrip("/")


def test_a_path_of_slashes_takes_no_time() -> None:
    """It is read once: 60 kB of slashes are as fast as text."""
    raw = b"/%20" * 15_000
    begun = time.process_time()
    split({"path": raw.replace(b"%20", b" ").decode(), "root_path": "/ / ", "raw_path": raw})
    assert time.process_time() - begun < 0.5
