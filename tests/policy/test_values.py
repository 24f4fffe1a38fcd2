"""Credentials that their values give away, in queries, paths, cookies and headers; and values that only look odd."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta.model import HTTPRequest
from jupyter_app_meta.policy import Policy, RawRequest, urls, values

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP"
UUID = "550e8400-e29b-41d4-a716-446655440000"
COMMIT = "9fceb02d0ae598e95dc970b74767f19372d61af8"
RANDOM = "k98c2977146bf9f4bebcef917c1eZq"
TOKENS = {
    "JWT": JWT,
    "JWE": "eyJhbGciOiJkaXIifQ..48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzO.XFBoMYUZodetZdvTiFvSkQ",
    "GitHub": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "fine-grained": "github_pat_11ABCDEFG0abcdefghijkl",
    "GitLab": "glpat-AbCdEfGhIjKlMnOpQrSt",
    "OpenAI": "sk-proj-abc123def456ghi789",
    "an older OpenAI": "sk-abcdefghij1234567890abcdef",
    "Anthropic": "sk-ant-api03-abcdef",
    "Slack": "xoxb-123456789012-abcdefghijkl",
    "AWS": "AKIAIOSFODNN7EXAMPLE",
    "Google": "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "Stripe": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "Hugging Face": "hf_abcdefghijklmnopqrst",
    "PyPI": "pypi-AgEIcHlwaS5vcmcCJDU",
    "SendGrid": "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",
    "Vault": "hvs.CAESIJlWh4x1jL2kmnop",
    "Telegram": "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    "bearer": "Bearer x",
    "lower bearer": "bearer abc",
    "basic": f"Basic {base64.b64encode(b'alice:pw').decode()}",
    "PEM": "-----BEGIN RSA PRIVATE KEY-----\nMIIB",
    "hex": "0123456789abcdef0123456789abcdef0123456789abcdef",
    "url-safe": "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA_x-Yz7Kq",
    "lower": RANDOM,
}
HARMLESS = {
    "UUID": UUID,
    "UUID without dashes": "550e8400e29b41d4a716446655440000",
    "commit": COMMIT,
    "id of MongoDB": "507f1f77bcf86cd799439011",
    "ULID": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "date": "2024-01-01T12:30:00+02:00",
    "compact date": "20240101T123000Z",
    "slug": "how-to-train-your-own-neural-network-in-2024-part-2",
    "file": "quarterly_report_2024-Q3_final_v2.csv",
    "number": "123456789012345678901234567890",
    "words": "averyveryverylongwordwithoutanyspaces",
    "camel case": "getUserPreferencesForDashboardLayout",
    "class": "RandomForestClassifierWithCalibration",
    "DNA": "ACGTACGTTAGCTAGCTAGCATCGATCGACTAGC",
    "protein": "MVLSPADKTNVKAAWGKVGAHAGEYGAEALERM",
    "InChIKey": "BSYNRYMUTXBXSQ-UHFFFAOYSA-N",
    "version": "1.2.3-rc1+build.20240101",
    "model": "gpt-4o-mini-2024-07-18",
    "basic plan": "Basic Plan",
    "Slovak": "sk-SK",
    "style": "sk-circle-fade-in-and-out",
    "search": 'title:"x" AND year:[2020 TO 2024]',
    "coordinates": "52.5200066,13.4049540",
    "address": "Unter den Linden 77, 10117 Berlin",
    "time": "12:30",
}


def seen(policy: Policy | None = None, **fields: Any) -> HTTPRequest:
    """Return what a policy lets through."""
    raw = RawRequest(**{"method": "GET", "url": "http://h/x", "base_url": "http://h/", **fields})
    return (policy or Policy()).request(raw)


def everything(request: HTTPRequest) -> str:
    """Return all that a request holds, in one text."""
    parts = (str(request.url), request.query_params.multi_items(), dict(request.path_params), dict(request.cookies))
    return repr((*parts, request.headers.items(), tuple(request.redacted)))


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_tokens_are_withheld_whatever_their_name(token: str) -> None:
    """A token stays behind under a harmless name, alone, in a text, in JSON and in a URL."""
    texts = [token, json.dumps({"a": [{"b": token}]}), f"/x?{urlencode({'q': token})}", f"/a/{quote(token, safe='')}"]
    for text in texts:
        request = seen(
            Policy.of(cookies_allow=["mood"], headers_allow=["x-note"]),
            url=f"http://h/x?{urlencode({'q': text})}",
            cookies=(("theme", text), ("mood", text)),
            headers=(("X-Note", text.replace("\n", " ")),),
        )
        assert token not in everything(request), text
        assert {"query.q", "cookies.theme", "cookies.mood", "headers.x-note"} <= set(request.redacted)


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_odd_values_cross(text: str) -> None:
    """Identifiers, slugs, numbers and texts are not credentials, alone or in JSON."""
    for value in (text, json.dumps({"filter": [text, 1, None]})):
        request = seen(url=f"http://h/x?{urlencode({'q': value})}")
        assert (request.query_params.get("q"), request.redacted) == (value, ()), value


def test_identifiers_in_a_preference_are_random_text() -> None:
    """A theme is never a UUID or a hash: such a value is a session."""
    for value in (UUID, COMMIT, "507f1f77bcf86cd799439011"):
        assert seen(cookies=(("theme", value),)).redacted == ("cookies.theme",)


@pytest.mark.parametrize(
    "value",
    [
        '{"api_key": "a1"}',
        '{"a": {"b": [{"apiKey": "a1"}]}}',
        '{"api\\u005fkey": "a1"}',
        '{"a": "{\\"api_key\\": \\"a1\\"}"}',
        '[["token", 1], {"token": "a1"}]',
        "{api_key: a1}",
        "{'password': 'a1'}",
        "(filters:(token:a1))",
        "api_key: a1",
        '{"api_key": "a1"',
        "x{" + '"a":{' * 5 + '"secret": "a1"',
        '{"a":' * 40 + '"a1"' + "}" * 40,
        "j:" + '{"password":"a1"}',
        quote('{"api_key": "a1"}'),
        quote(quote('{"api_key": "a1"}')),
    ],
)
def test_json_in_a_value_is_read(value: str) -> None:
    """A credential does not hide in JSON, in what looks like it, or in its escapes and depth."""
    request = seen(
        Policy.of(cookies_allow=["prefs"]),
        url=f"http://h/x?{urlencode({'cfg': value})}",
        cookies=(("prefs", value),),
    )
    assert "a1" not in everything(request)
    assert request.redacted == ("query.cfg", "cookies.prefs")


def test_harmless_json_crosses() -> None:
    """JSON that says nothing of credentials is what filters are made of."""
    value = '{"filters": [{"field": "author", "token_count": 3, "sort_key": "date"}], "page": 2, "country_code": "DE"}'
    assert seen(url=f"http://h/x?{urlencode({'cfg': value})}").query_params["cfg"] == value


@pytest.mark.parametrize("token", [JWT, TOKENS["GitHub"], TOKENS["hex"], TOKENS["url-safe"], RANDOM])
def test_tokens_in_the_path_are_masked(token: str) -> None:
    """A token in a segment of the path shows neither there nor among the parameters; the path keeps its shape."""
    request = seen(url=f"http://h/share/{token}/view?a=1", path_params={"id": token, "page": "view"})
    assert (str(request.url), dict(request.path_params)) == ("http://h/share/***/view?a=1", {"page": "view"})
    assert request.redacted == ("url.path", "path_params.id")
    assert token not in everything(request)


def test_parameter_of_the_path_is_judged_by_its_name() -> None:
    """What a route calls a token is one, however short; ``unsafe_query`` opens it by that name, in the path too."""
    fields: dict[str, Any] = {"url": "http://h/r/abc/x", "path_params": {"token": "abc"}}
    closed = seen(**fields)
    assert (closed.url.path, dict(closed.path_params)) == ("/r/***/x", {})
    assert closed.redacted == ("url.path", "path_params.token")
    opened = seen(Policy.of(unsafe_query=["token"]), **fields)
    assert (opened.url.path, dict(opened.path_params), opened.redacted) == ("/r/abc/x", {"token": "abc"}, ())


@pytest.mark.parametrize("value", [value for value in HARMLESS.values() if not set(value) & set('/" ')])
def test_ordinary_segments_stay(value: str) -> None:
    """UUIDs, dates, slugs, numbers and commits in a path are what the page is about."""
    path = f"/api/kernels/{quote(value, safe=':@,+')}/channels"
    request = seen(url=f"http://h{path}", path_params={"kernel_id": value})
    assert (request.url.path, request.path_params["kernel_id"], request.redacted) == (path, value, ())


@pytest.mark.parametrize(
    "before", ["reset-password", "invite", "magic", "verify_email/confirm", "token", "unsubscribe"]
)
def test_segments_behind_a_word_that_opens_are_masked(before: str) -> None:
    """Behind such a word even an identifier is a credential; a plain word is not."""
    for value in (UUID, COMMIT, "a1b2c3d4", "123456"):
        assert seen(url=f"http://h/{before.replace('reset-password', 'reset')}/{value}").url.path.endswith("/***")
    assert seen(url=f"http://h/{before}/done").url.path == f"/{before}/done"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ssh://git@github.com/a/b", "ssh://github.com/a/b"),
        ("https://u:p@h/x", "https://h/x"),
        ("/x?token=a1&year=2024", "/x?year=2024"),
        (f"/x/{JWT}", "/x/***"),
    ],
)
def test_changed_values_are_listed(value: str, shown: str) -> None:
    """What was cut out of a value is said, so that no author takes the rest for the whole."""
    request = seen(
        Policy.of(headers_allow=["referer"]),
        url=f"http://h/x?{urlencode({'next': value})}",
        headers=(("Referer", value),),
        path_params={"target": value},
    )
    assert (request.query_params["next"], request.headers["referer"]) == (shown, shown)
    assert {"query.next", "headers.referer"} <= set(request.redacted)
    if "token" not in value:
        assert (request.path_params["target"], "path_params.target" in request.redacted) == (shown, True)


def test_open_headers_lose_tokens_too() -> None:
    """A token in a header that is open by default is withheld and listed."""
    request = seen(headers=(("Accept", JWT), ("X-Request-Id", UUID), ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)")))
    assert (request.redacted, request.headers["x-request-id"]) == (("headers.accept",), UUID)


def test_provider_fields_lose_tokens_too() -> None:
    """A field that an identity provider adds is withheld where its value is a token."""
    from jupyter_app_meta.model import User

    request = seen(user=User(username="a", note=JWT, more=[{"x": TOKENS["GitHub"]}], plain="x"))
    assert request.redacted == ("user.note", "user.more")


texts = st.text(max_size=60) | st.sampled_from([*TOKENS.values(), *HARMLESS.values()])
pieces = st.lists(texts | st.sampled_from(list('?&=/:;{}[]",@#%+ \\')), max_size=8).map("".join)


@given(pieces)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    """What has been cleaned has nothing left to clean, and what was judged clean stays as it is."""
    once = urls.cleaned(text)
    if once is not None:
        assert urls.cleaned(once) == once
    url = urls.without_secrets(f"http://h/x?q={quote(text)}")
    assert urls.without_secrets(url) == url


@given(pieces)
def test_what_changed_is_listed(text: str) -> None:
    """A value crosses as it is, or its name is listed."""
    request = seen(url=f"http://h/x?{urlencode({'q': text})}", cookies=(("theme", text),))
    assert (request.query_params.get("q") == text) is ("query.q" not in request.redacted)
    assert (request.cookies.get("theme") == text) is ("cookies.theme" not in request.redacted)


@given(st.uuids(), st.integers(), st.dates())
def test_any_identifier_stays(found: uuid.UUID, number: int, day: Any) -> None:
    """Any UUID, number or date may name a page."""
    path = f"/a/{uuid.UUID(bytes=found.bytes, version=4)}/{abs(number)}/{day}"
    assert seen(url=f"http://h{path}").url.path == path


@given(st.binary(min_size=24, max_size=48))
def test_random_bytes_are_seldom_taken_for_text(data: bytes) -> None:
    """No text makes the judgement raise, and it is the same each time."""
    text = base64.urlsafe_b64encode(data).decode()
    assert values.is_random(text) is values.is_random(text)
    values.is_token(text), values.is_plain(text)


@pytest.mark.parametrize(
    "text",
    [
        "eyJa" * 15_000,
        "-eyJaaaaaa" * 6_000,
        "sk-" * 20_000,
        "-sk-a" * 12_000,
        "Bearer " * 8_000,
        "basic " + "A" * 60_000,
        '{"a":' * 12_000,
        "[" * 60_000,
        '"' * 60_000,
        "'a:" * 20_000,
        "a1" * 30_000,
        "sess" * 15_000,
        "aZ" * 30_000 + "token",
        "-----BEGIN " * 5_000,
        "1//0" * 15_000,
        "&".join(f"{'ab' * 8}{number}x=1" for number in range(3_000)),
        "/a1b2" * 12_000,
        ",a=" * 20_000,
    ],
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    """The longest text that fits into a request takes only a moment to judge, in any place."""
    began = time.process_time()
    fields: dict[str, Any] = {"cookies": (("theme", text), (text, "x")), "headers": (("Referer", text), (text, "x"))}
    for url in (f"http://h/x?q={text}", f"http://h/{text}", f"http://h/x?{quote(text, safe='')}"):
        seen(Policy.of(cookies_allow=["*"], headers_allow=["*"]), url=url, **fields)
    assert time.process_time() - began < 30  # the longest takes 2, and without a bound it would take minutes
