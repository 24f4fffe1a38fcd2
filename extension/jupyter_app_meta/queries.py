"""Query strings without credentials: what a parameter's name gives away, also in nested URLs.

A name says credential as a whole or as a part between separators, whatever its case: ``api_key``,
``X-Auth.Token``, ``accessToken``, ``user[password]`` do; ``keyword`` and ``country_code`` do not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

SECRET_PARTS = frozenset(
    "token xsrf csrf ticket sig signature key apikey password passwd pwd passphrase secret jwt auth "
    "authorization credential credentials assertion otp bearer sessionid".split()
)
SECRET_ENDS = ("token", "secret", "password", "passwd", "apikey", "signature")
SECRET_NAMES = frozenset(("code", "session-state"))
SECRET_STARTS = ("saml", "x-amz-", "x-goog-")
NEVER = frozenset(("session-id",))
DEPTH = 4

_camel = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_separators = re.compile(r"[\W_]+")
_assignment = re.compile(r"([^\s?&#;=/]+)=")
_userinfo = re.compile(r"//[^/?#\s]*@")


def split(
    url: str, secret: Collection[str] = (), unsafe: Collection[str] = ()
) -> tuple[str, list[tuple[str, str]], list[str]]:
    """Return the URL with its safe query only, that query's pairs, and the names withheld.

    Userinfo and fragment are dropped. ``secret`` has more credential names, ``unsafe`` exact
    normal names that pass nevertheless.
    """
    return _split(url, frozenset(secret), frozenset(unsafe), 0)


def without_secrets(url: str, secret: Collection[str] = (), unsafe: Collection[str] = ()) -> str:
    """Return the URL without userinfo, fragment and credential parameters."""
    return split(url, secret, unsafe)[0]


def _split(
    url: str, secret: frozenset[str], unsafe: frozenset[str], depth: int
) -> tuple[str, list[tuple[str, str]], list[str]]:
    try:
        parts = urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "", [], ["url"]
    kept: list[tuple[str, str]] = []
    gone: list[str] = []
    pairs = parse_pairs(parts.query)
    names = frozenset(_dashed(name) for name, _ in pairs)
    for name, value in pairs:
        cleaned = value if _dashed(name) in unsafe else _safe(name, value, names, secret, unsafe, depth)
        if cleaned is None or _dashed(name) in NEVER:
            gone.append(name)
        else:
            kept.append((name, cleaned))
    clean = parts._replace(netloc=netloc, query=urlencode(kept), fragment="")
    return clean.geturl(), kept, gone


def parse_pairs(query: str) -> list[tuple[str, str]]:
    """Return the pairs of a query as tornado has it (latin-1); bad UTF-8 is replaced, never refused."""
    text = query.encode("latin-1", "replace").decode("utf-8", "replace") if not query.isascii() else query
    return parse_qsl(text, keep_blank_values=True, errors="replace")


def _safe(
    name: str, value: str, names: frozenset[str], secret: frozenset[str], unsafe: frozenset[str], depth: int
) -> str | None:
    """Return the value as it may be shown, None where it must be withheld."""
    if is_secret(name, secret) or (_dashed(name) == "state" and "code" in names):
        return None
    plain = _unquoted(value)
    if not any(char in plain for char in "=@"):
        return value
    if depth >= DEPTH or unquote_plus(plain) != plain:
        return None
    cleaned, _, gone = _split(value, secret, unsafe, depth + 1)
    result = cleaned if gone or _userinfo.search(value) else value
    leftover = _unquoted(result)
    exposed = any(is_secret(n, secret) and _dashed(n) not in unsafe for n in _assigned(leftover))
    return None if exposed or _userinfo.search(leftover) else result


def _assigned(text: str) -> Iterator[str]:
    return (match.group(1) for match in _assignment.finditer(text))


def _unquoted(value: str) -> str:
    """Undo percent-encoding until nothing changes: a credential does not hide by being encoded twice."""
    for _ in range(DEPTH + 1):
        plain = unquote_plus(value)
        if plain == value:
            break
        value = plain
    return value


def _dashed(name: str) -> str:
    return name.strip().lower().replace("_", "-")


@lru_cache(maxsize=4096)
def is_secret(name: str, more: frozenset[str] = frozenset()) -> bool:
    """Whether a parameter's name says credential; ``more`` are further words, read the same way."""
    whole = "-".join(part for part in _separators.split(_camel.sub("-", name).lower()) if part)
    plain = _dashed(name)
    if plain in SECRET_NAMES or whole in SECRET_NAMES or whole.startswith(SECRET_STARTS):
        return True
    parts = frozenset((*whole.split("-"), *_separators.split(plain)))
    if parts & SECRET_PARTS or any(part.endswith(SECRET_ENDS) for part in parts):
        return True
    return any(f"-{word}-" in f"-{whole}-" or f"-{word}-" in f"-{plain}-" for word in more if word)
