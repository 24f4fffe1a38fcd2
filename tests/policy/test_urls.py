"""URLs lose their credentials, in any spelling and any place; everything else is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta.policy import urls

CANARY = "CANARY7c1"
BASE = "http://localhost:8888/lab"

CREDENTIALS = """
    token xsrf _xsrf code ticket sig signature key apikey api_key password secret client_secret session_state jwt auth
    SAMLResponse SAMLRequest SAMLart X-Amz-Signature X-Amz-Credential X-Amz-Security-Token X-Amz-Date X-Goog-Signature
    X-Goog-SignedHeaders access_token id_token refresh_token csrf session_id passwd pwd oauth_verifier
""".split()
HARMLESS = """
    keyword country_code monkey state author design keyboard tokenizer region year page_size hockey passenger
    secretary assign signal sigma authors authority codes decode zipcode user_id name sort order max_tokens donkey
    pass_rate bypass compass ticketing id q lang mode theme résumé
""".split()

SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    str.title,
    lambda name: name.replace("_", "-"),
    lambda name: name.replace("-", "_"),
    lambda name: name.replace("-", ".").replace("_", "."),
    lambda name: f" {name} ",
    lambda name: f"{name}[]",
    lambda name: f"${name}",
    lambda name: f"{name}\0",
    lambda name: "".join(f"%{ord(char):02x}" for char in name),
    lambda name: f"user[{name}]",
)
PART_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda name: f"my_{name}",
    lambda name: f"{name}-2",
    lambda name: f"{name}2",
    lambda name: f"a.{name}.b",
    lambda name: f"app{name.title()}" if name.isalpha() else f"app_{name}",
    lambda name: f"amp;{name}",
)
PLACES: tuple[Callable[[str], str], ...] = (
    lambda pair: f"{BASE}?{pair}",
    lambda pair: f"{BASE}?a=1&{pair}&b=2",
    lambda pair: f"{BASE}?a=1;{pair}",
    lambda pair: f"{BASE}?a=1&amp;{pair}",
    lambda pair: f"{BASE}#{pair}",
    lambda pair: f"{BASE}?{quote(pair, safe='')}",
    lambda pair: f"{BASE}?next={quote('/x?' + pair, safe='')}",
    lambda pair: f"{BASE}?next={quote(quote('https://other/x?a=1&' + pair, safe=''), safe='')}",
    lambda pair: f"{BASE}?next={quote_plus('/x?next=' + quote_plus('/y?' + pair))}",
    lambda pair: f"{BASE}?next={quote('/x#' + pair, safe='')}",
    lambda pair: f"{BASE}?next={quote('/x;' + pair, safe='')}",
    lambda pair: f"{BASE}?next={quote('http://[broken?' + pair, safe='')}",
    lambda pair: f"{BASE}?filter={quote(pair, safe='')}",
    lambda pair: f"{BASE}?a[]={quote('x, ' + pair, safe='')}",
    lambda pair: f"{BASE}?{quote('next=/x?' + pair, safe='')}",
    lambda pair: f"{BASE};{pair}/x",
)


def everything(url: str) -> str:
    """Return all that may cross of a URL, in one text."""
    clean, pairs, withheld = urls.split(url)
    return f"{clean} {pairs} {withheld}"


@pytest.mark.parametrize("name", CREDENTIALS)
def test_credentials_are_withheld_in_every_spelling(name: str) -> None:
    """A name that says credential withholds its value, in any case, with any separators and encoding."""
    for spell in SPELLINGS[: -1 if name == "code" else None]:  # country[code] is none
        clean, pairs, withheld = urls.split(f"{BASE}?{quote(spell(name), safe='%')}={CANARY}&region=emea")
        assert (CANARY in clean, pairs, len(withheld)) == (False, [("region", "emea")], 1), spell(name)


@pytest.mark.parametrize("name", [name for name in CREDENTIALS if name != "code"])
def test_credentials_are_withheld_as_a_part(name: str) -> None:
    """A part between separators, capitals or digits says as much as the whole name."""
    for spell in PART_SPELLINGS:
        assert CANARY not in everything(f"{BASE}?{quote(spell(name), safe='')}={CANARY}"), spell(name)


@pytest.mark.parametrize("name", CREDENTIALS)
def test_credentials_are_withheld_in_every_place(name: str) -> None:
    """A credential does not hide in a nested URL, a fragment, a path parameter or the place of a name."""
    for place in PLACES:
        assert CANARY not in everything(place(f"{name}={CANARY}")), place(name)


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_names_stay(name: str) -> None:
    """Ordinary words that only contain a credential's name keep their values."""
    url = f"{BASE}?{quote(name)}=a%20b%26c"
    assert urls.split(url)[1:] == ([(name, "a b&c")], [])


@pytest.mark.parametrize(
    "value",
    [
        "a=b",
        "x>=1",
        "alice@example.com",
        "@alice",
        "mailto:alice@example.com",
        "git@github.com:org/repo",
        "https://example.com/@alice",
        "12:30@cafe",
        "/lab/tree/a.ipynb?region=emea&year=2024",
        "http://[broken?a=1",
        "é=日本",
        "50%",
        "50%25=half",
        "YWJj==",
    ],
)
def test_harmless_values_stay(value: str) -> None:
    """A value is not suspicious because it holds an equals sign, an address or a harmless URL."""
    assert urls.split(f"{BASE}?q={quote(value, safe='')}")[1:] == ([("q", value)], [])


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("http://alice:pw@localhost/x", "http://localhost/x"),
        ("http://alice@localhost:1/x#part", "http://localhost:1/x"),
        ("//evil@host/x", "//host/x"),
        ("http://localhost/proxy/https://alice:pw@host/x", "http://localhost/proxy/https://host/x"),
        ("http://localhost/proxy/https%3A%2F%2Falice%3Apw%40host/a%3Fb", "http://localhost/proxy/https://host/a%3Fb"),
        ("http://localhost/a%20b@c%2Fd", "http://localhost/a%20b@c%2Fd"),
        ("http://localhost/x;jsessionid=1/y;v=2", "http://localhost/x/y;v=2"),
        ("http://localhost//evil@host", "http://localhost//host"),
    ],
)
def test_userinfo_and_fragment_are_dropped(url: str, clean: str) -> None:
    """A URL's userinfo and fragment, which may hold a login or a state, do not reach kernels."""
    assert urls.without_secrets(url) == clean


@pytest.mark.parametrize(
    "nested",
    [
        f"https://alice:{CANARY}@host/x",
        f"https://{CANARY}@host",
        f"https:/{CANARY}@host",
        f"https:{CANARY}@host",
        f"https:\\\\alice:{CANARY}@host",
        f"/\\alice:{CANARY}@host",
        f"//alice:{CANARY}@host/?a=1",
        f"see https://alice:{CANARY}@host",
        f"https://a@b:{CANARY}@host",
        f"postgres:alice:{CANARY}@host",
        f"https://ali ce:{CANARY}@host",
        quote(f"https://alice:{CANARY}@host/x", safe=""),
        quote(quote(f"https://alice:{CANARY}@host/x", safe=""), safe=""),
    ],
)
def test_nested_urls_lose_their_userinfo(nested: str) -> None:
    """A URL in a value, or in the place of a name, loses its userinfo in every form that browsers read."""
    for url in (f"{BASE}?next={quote(nested, safe='')}", f"{BASE}?{quote(nested, safe='')}", f"{BASE}?{nested}"):
        assert CANARY not in everything(url)


def test_nested_url_keeps_what_is_harmless() -> None:
    """Of a nested URL only the credentials go, at any depth."""
    inner = "https://alice:pw@host/a?region=emea&token=1&next=" + quote("/b?year=2024&code=2#top", safe="")
    assert urls.split(f"{BASE}?next={quote(inner, safe='')}")[1] == [
        ("next", "https://host/a?region=emea&next=%2Fb%3Fyear%3D2024")
    ]


def test_state_is_withheld_beside_a_code_only() -> None:
    """``state=texas`` is a filter; beside ``code`` it belongs to a login."""
    assert urls.split(f"{BASE}?state=texas")[1] == [("state", "texas")]
    assert urls.split(f"{BASE}?State=texas&CODE=1&a=2")[1:] == ([("a", "2")], ["State", "CODE"])


def test_more_words_are_read_the_same_way() -> None:
    """The server's own list of words to scrub from logs counts like ours, as a whole or as a part."""
    url = f"{BASE}?badge=1&my_badge=2&BadgeNo=3&badger=4&my.pin_code=5"
    assert urls.split(url, ["badge", "pin-code"]) == (f"{BASE}?badger=4", [("badger", "4")], withheld_names(url))


def withheld_names(url: str) -> list[str]:
    """Return the names of a URL's query but for the harmless one."""
    return [name for name, _ in parse_qsl(urlsplit(url).query) if name != "badger"]


def test_unsafe_names_pass_by_exact_name_only() -> None:
    """``unsafe_query`` opens the names that it has, compared as all names are, and not their neighbours."""
    url = f"{BASE}?API_KEY=1&api-key=2&my_api_key=3&next=%2Fx%3Fapi_key%3D4%26token%3D5"
    pairs = urls.split(url, unsafe=["api-key"])[1]
    assert pairs == [("API_KEY", "1"), ("api-key", "2"), ("next", "/x?api_key=4")]


def test_names_that_hold_a_value_are_listed_without_it() -> None:
    """What is listed as withheld is a name, never what was written in the place of one."""
    url = f"{BASE}?{quote(f'token={CANARY}', safe='')}&token:{CANARY}&https://u:{CANARY}@h&={CANARY}%3D&a[token]=1"
    assert urls.split(url)[2] == ["token", "token", "https", "a[token]"]


@pytest.mark.parametrize(
    ("url", "pairs"),
    [
        ("/x?q=%ff&r=%c3%a9", [("q", "\ufffd"), ("r", "é")]),
        ("/x?q=\xff", [("q", "\ufffd")]),
        ("/x?n\xc3\xa9=\xe6\x97\xa5", [("né", "日")]),
        ("/x?q=a%00b", [("q", "a\0b")]),
        ("/x?a&b=&=c", [("a", ""), ("b", ""), ("", "c")]),
    ],
)
def test_bytes_that_are_no_utf8_are_replaced(url: str, pairs: list[tuple[str, str]]) -> None:
    """Raw bytes, which HTTP reads as latin-1, are read as UTF-8; bad ones are replaced, never refused."""
    assert urls.split(f"http://localhost{url}")[1] == pairs


@given(st.text())
def test_any_text_is_harmless(text: str) -> None:
    """Nothing raises, the URL is ASCII, and its query is just what the pairs say."""
    for url in (text, f"http://localhost/{text}", f"http://localhost/?{text}", f"http://localhost/?next={text}"):
        clean, pairs, _ = urls.split(url)
        assert clean.isascii()
        assert parse_qsl(urlsplit(clean).query, keep_blank_values=True) == pairs
        urls.cleaned(text)
        urls.is_secret(text)


@given(st.lists(st.tuples(st.sampled_from(HARMLESS), st.text(st.characters(codec="utf-8", exclude_characters="@=")))))
def test_harmless_queries_come_back_whole(pairs: list[tuple[str, str]]) -> None:
    """Of a query without credentials nothing is lost, not even the order."""
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
    assert urls.split(f"{BASE}?{query}")[1] == [(name, value) for name, value in pairs]


@given(
    name=st.sampled_from(CREDENTIALS),
    spell=st.sampled_from(SPELLINGS[:-1]),
    wraps=st.lists(st.sampled_from(["/x?next={}", "https://a@h/?a=1&u={}", "{}#end", "y={}", " {}", "({}", "{},b=1"])),
    encodings=st.integers(0, 3),
)
def test_no_wrapping_hides_a_credential(
    name: str, spell: Callable[[str], str], wraps: list[str], encodings: int
) -> None:
    """However often a URL is put into another one and encoded, the credential inside never crosses."""
    text = f"/x?{quote(spell(name), safe='')}={CANARY}"
    for wrap in wraps:
        for _ in range(encodings):
            text = quote(text, safe="")
        text = wrap.format(text)
    assert CANARY not in everything(f"{BASE}?next={quote(text, safe='')}")
    assert CANARY not in everything(f"{BASE}?next={text}")


@pytest.mark.parametrize(
    "text",
    [
        "=" + "a" * 60_000,
        "@" + ":a" * 30_000,
        "a=" * 30_000,
        "//" * 30_000 + "@",
        "%25" * 20_000 + "=",
        ";a" * 30_000 + "=@",
        "aA" * 30_000 + "=",
        "-token" * 10_000,
        "?a&" * 20_000 + "=",
    ],
)
def test_hostile_lengths_take_linear_time(text: str) -> None:
    """A visitor cannot hold the server up with a long query: the longest that fits into a request is judged at once."""
    began = time.process_time()
    for url in (f"{BASE}?next={text}", f"{BASE}?{text}", f"{BASE}/{text}", f"{BASE}?next={quote(text, safe='')}"):
        urls.split(url)
    assert time.process_time() - began < 30  # the longest takes 3, and without a bound it would take minutes


def test_very_long_names_are_no_names() -> None:
    """What is longer than any name is withheld: it is something else that was written in its place."""
    assert urls.split(f"{BASE}?{'a' * 201}=1&{'b' * 200}=2")[1] == [("b" * 200, "2")]
