"""URLs and query strings without credentials: what a parameter's name gives away, also in nested URLs.

1. A name says credential as a whole or as a part between separators, whatever its case: ``api_key``,
   ``X-Auth.Token``, ``accessToken``, ``user[password]`` do; ``keyword`` and ``country_code`` do not.
2. Userinfo and fragments are dropped, also from URLs inside a value.
3. A value in which a credential is seen but cannot be cut out is withheld as a whole.
4. Whatever the bytes are, nothing is raised and time is linear: visitors write these texts.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, unquote_plus, urlencode, urlsplit

SECRET_PARTS = (
    "token xsrf csrf ticket sig signature key apikey password passwords passwd pwd passphrase passcode secret "
    "secrets jwt auth oauth authorization credential credentials assertion otp totp bearer hmac sid"
).split()
SECRET_PHRASES = ("session-state", "session-id", "code-verifier", "x-amz-[^-]+", "x-goog-[^-]+", "saml[^-]*")
SECRET_ENDS = (
    "token secret password passwd passphrase passcode apikey accesskey secretkey privatekey authkey signature "
    "sessionid sessid credential credentials"
).split()
SECRET_NAMES = ("code", "pass")  # as a part they are harmless: country_code, pass_rate
NAME_LENGTH = 200  # what is longer is no name but something that was written in its place
DEPTH = 4

Pairs = list[tuple[str, str]]
Words = Collection[str]

_camel = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[A-Z][a-z]|[0-9])|(?<=[0-9])(?=[A-Za-z])")
_separators = re.compile(r"(?:[^\w\n]|_)+")
_delimiters = re.compile(r"[\s?&#;/]")
_authority = re.compile(r"[\s?#/\\]")
_label_end = re.compile(r"[\s=:@?&#;,/\\]")
_nested_userinfo = re.compile(r"//[^/?#\s@]*@")
_matrix_parameter = re.compile(r";([^;/=]*)=[^;/]*")
_before_userinfo = ("//", ":/", ":\\", "\\\\", "/\\", "\\/")
_web_schemes = ("http:", "https:", "ws:", "wss:", "ftp:")


class Clean(NamedTuple):
    """A URL without credentials, its query's pairs, the names withheld, and whether anything was cut."""

    url: str
    pairs: Pairs
    withheld: list[str]
    changed: bool


def split(url: str, secret: Words = (), unsafe: Words = ()) -> tuple[str, Pairs, list[str]]:
    """Return the URL with its safe query only, that query's pairs, and the names withheld.

    The URL is as HTTP has it (latin-1), the result is ASCII, and empty for a text that is no URL.
    ``secret`` has more credential names, ``unsafe`` exact normal names that pass nevertheless.
    """
    try:
        clean = _clean(_repaired(url), frozenset(secret), frozenset(unsafe), 0)
    except ValueError:
        return "", [], []
    return quote(clean.url, safe=string.punctuation, errors="replace"), clean.pairs, clean.withheld


def without_secrets(url: str, secret: Words = (), unsafe: Words = ()) -> str:
    """Return the URL without userinfo, fragment and credential parameters."""
    return split(url, secret, unsafe)[0]


def cleaned(text: str, secret: Words = (), unsafe: Words = (), depth: int = 1) -> str | None:
    """Return a text without the credentials of the URL that it is or holds; None where they stay visible."""
    plain = _unquoted(text)
    if unquote_plus(plain) != plain:  # encoded more often than anybody needs
        return None
    if "=" not in plain and "@" not in plain:
        return text
    if depth > DEPTH:
        return None
    more, passing = frozenset(secret), frozenset(unsafe)
    result = _cut(text, more, passing, depth)
    plain = _unquoted(result)
    names = (name for name in assigned(plain) if dashed(name) not in passing)
    return None if _any_secret(names, more) or _has_userinfo(plain) else result


def assigned(text: str) -> Iterator[str]:
    """Return the names to which a text assigns something: ``a`` and ``b`` of ``x?a=1&b=2``."""
    return (_delimiters.split(before.rstrip())[-1] for before in text.split("=")[:-1])


def quoted(text: str) -> Iterator[str]:
    """Return the names in JSON that stands in a text: ``a`` of ``x{"a": 1}``."""
    plain = _unquoted(text)
    return (before.rstrip()[:-1].rpartition('"')[2] for before in plain.split(":")[:-1] if before.rstrip()[-1:] == '"')


def clean_path(path: str, secret: Words = ()) -> tuple[str, list[str]]:
    """Return a path without the userinfo of URLs in it and without ``;jsessionid=…``, and the names withheld."""
    withheld: list[str] = []

    def judged(found: re.Match[str]) -> str:
        if not is_secret(found[1], secret):
            return found[0]
        withheld.append(_label(found[1]))
        return ""

    plain = unquote(path)
    if _nested_userinfo.search(plain):
        path = _nested_userinfo.sub("//", quote(plain, safe="/:;=@&+,"))
    return _matrix_parameter.sub(judged, path), withheld


def is_secret(name: str, more: Words = ()) -> bool:
    """Whether a parameter's name says credential; ``more`` are further words, read the same way."""
    return len(name) > NAME_LENGTH or _any_secret([_unquoted(name).replace("\n", "-")], more)


def dashed(name: str) -> str:
    """Return the form in which names are compared."""
    return name.strip().lower().replace("_", "-")


def _any_secret(names: Iterable[str], more: Words) -> bool:
    says, text = _says(frozenset(more)), "\n".join(names)
    split = _camel.sub("-", text)
    return bool(says.search(_separated(text)) or (split != text and says.search(_separated(split))))


@lru_cache(maxsize=16)
def _says(more: frozenset[str]) -> re.Pattern[str]:
    """Return what finds a credential's name among names in lines, their parts separated by dashes."""
    parts = "|".join([*SECRET_PARTS, *SECRET_PHRASES, *(re.escape(_separated(word)) for word in sorted(more) if word)])
    ends, names = "|".join(SECRET_ENDS), "|".join(SECRET_NAMES)
    return re.compile(
        rf"(?<![^-\n])(?:{parts})(?![^-\n])|(?:{ends})(?![^-\n])|(?<![^\n])(?:amp)?-?(?:{names})-?(?![^\n])"
    )


def _separated(text: str) -> str:
    return _separators.sub("-", text.lower())


def _clean(url: str, secret: frozenset[str], unsafe: frozenset[str], depth: int) -> Clean:
    parts = urlsplit(url)
    found = parse_qsl(parts.query, keep_blank_values=True, errors="replace")
    coded = any(dashed(name) == "code" for name, _ in found)
    pairs: Pairs = []
    withheld: list[str] = []
    for name, value in found:
        safe = None if coded and dashed(name) == "state" else _safe(name, value, secret, unsafe, depth)
        if safe is None:
            withheld.append(_label(name))
        else:
            pairs.append((name, safe))
    path, matrix = clean_path(parts.path, secret)
    netloc = parts.netloc.rpartition("@")[2]
    result = SplitResult(parts.scheme, netloc, path, urlencode(pairs), "")
    changed = pairs != found or netloc != parts.netloc or path != parts.path
    return Clean(result.geturl(), pairs, withheld + matrix, changed)


def _safe(name: str, value: str, secret: frozenset[str], unsafe: frozenset[str], depth: int) -> str | None:
    """Return a parameter's value as it may be shown, None where it must be withheld."""
    if dashed(name) in unsafe:
        return value
    if is_secret(name, secret) or cleaned(name, secret, unsafe, depth + 1) != name:
        return None
    return cleaned(value, secret, unsafe, depth + 1)


def _cut(text: str, secret: frozenset[str], unsafe: frozenset[str], depth: int) -> str:
    try:
        clean = _clean(text, secret, unsafe, depth)
    except ValueError:
        return text
    return clean.url if clean.changed else text


def _has_userinfo(text: str) -> bool:
    """Whether a text has the userinfo of a URL, in any form that browsers read; an e-mail address is none."""
    for before in text.split("@")[:-1]:
        user = _authority.split(before)[-1].lower()
        lead = before[: len(before) - len(user)]
        if lead.endswith(_before_userinfo) or user.count(":") > 1 or any(scheme in user for scheme in _web_schemes):
            return True
    return False


def _label(name: str) -> str:
    """Return what may be said of a withheld name: never a value that was written in its place."""
    return _label_end.split(_unquoted(name).strip(), maxsplit=1)[0] or "(unnamed)"


def _unquoted(text: str) -> str:
    """Undo percent-encoding until nothing changes: a credential does not hide by being encoded twice."""
    for _ in range(DEPTH + 1):
        if "%" not in text and "+" not in text:
            break
        text = unquote_plus(text)
    return text


def _repaired(text: str) -> str:
    """Return a text that HTTP read as latin-1 as the UTF-8 that browsers write; bad bytes are replaced."""
    try:
        return text if text.isascii() else text.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return text
