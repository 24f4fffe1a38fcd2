"""Real names of credentials and of harmless things: at least 95 of 100 of each kind are told right.

``data/names.json`` and ``data/names_more.json`` have names of real products and protocols, the second written
before the rules were.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from jupyter_app_meta.model import HTTPRequest
from jupyter_app_meta.policy import Policy, RawRequest

DATA = Path(__file__).parent.parent / "data"
FILES = ("names.json", "names_more.json", "names_third.json")
RANDOM = "k98c2977146bf9f4bebcef917c1eZq"
SHORT = "CANARY7c1"


def names(file: str, kind: str) -> dict[str, str]:
    """Return the names of a kind with their values; a credential without one has a random one."""
    found: Any = json.loads((DATA / file).read_text()).get(kind, {})
    return found if isinstance(found, dict) else dict.fromkeys(found, RANDOM if "harmless" not in kind else "x")


def seen(policy: Policy | None = None, **fields: Any) -> HTTPRequest:
    """Return what a policy lets through."""
    raw = RawRequest(**{"method": "GET", "url": "http://h/x", "base_url": "http://h/", **fields})
    return (policy or Policy()).request(raw)


def crosses(kind: str, name: str, value: str) -> bool:
    """Whether the value crosses as it is, by the most generous pattern where there is one; else it is listed."""
    where = kind.partition("_")[0]
    if where == "query":
        request = seen(url=f"http://h/x?{urlencode({name: value})}")
        shown, item = request.query_params.get(name), f"query.{name}"
    elif where == "cookie":
        request = seen(Policy.of(cookies_allow=["*"]), cookies=((name, value),))
        shown, item = request.cookies.get(name), f"cookies.{name}"
    else:
        request = seen(Policy.of(headers_allow=["*", "x-*"]), headers=((name, value),))
        shown, item = request.headers.get(name), f"headers.{name.lower()}"
    assert (shown == value) is (item not in request.redacted), name
    assert (
        shown is not None or len(value) < 9 or value not in repr((str(request.url), request.query_params.multi_items()))
    )
    return shown == value


def assert_mostly(kind: str, wrong: list[str], total: int) -> None:
    """Assert that at most five of a hundred names are told wrong."""
    assert total >= 40 or not total
    assert len(wrong) <= total * 0.05, f"{kind}: {len(wrong)} of {total}: {wrong}"


@pytest.mark.parametrize("value", [RANDOM, SHORT], ids=["random", "short"])
@pytest.mark.parametrize("kind", ["query_credentials", "cookie_credentials", "header_closed"])
@pytest.mark.parametrize("file", FILES)
def test_credentials_stay_behind(file: str, kind: str, value: str) -> None:
    """Names of logins, identities and addresses do not cross, with any value."""
    found = names(file, kind)
    assert_mostly(kind, [name for name in found if crosses(kind, name, value)], len(found))


@pytest.mark.parametrize("kind", ["query_harmless", "cookie_harmless", "header_harmless"])
@pytest.mark.parametrize("file", FILES)
def test_harmless_values_cross(file: str, kind: str) -> None:
    """Filters, preferences and descriptions cross as they are."""
    found = names(file, kind)
    assert_mostly(kind, [name for name, value in found.items() if not crosses(kind, name, value)], len(found))


@pytest.mark.parametrize("file", FILES[:2])
def test_no_pattern_opens_the_cookie_of_a_login(file: str) -> None:
    """Not even a pattern that is the very name opens a cookie that is known as a login."""
    found = names(file, "cookie_credentials")
    opened = [name for name in found if name in seen(Policy.of(cookies_allow=[name]), cookies=((name, SHORT),)).cookies]
    assert_mostly("cookie_credentials", opened, len(found))


@pytest.mark.parametrize("file", FILES)
def test_no_cookie_of_a_login_crosses_by_default(file: str) -> None:
    """Without an option none of them crosses at all."""
    request = seen(cookies=tuple((name, SHORT) for name in names(file, "cookie_credentials")))
    assert not dict(request.cookies)
