"""URLs and texts without credentials: what a parameter's name and its value give away, also in nested URLs.

1. ``words`` judges a name, ``values`` a value; a doubtful name needs a plain value.
2. Userinfo and fragments are dropped, also from URLs inside a value; a token in a path becomes ``***``.
3. A value in which a credential is seen but cannot be cut out is withheld as a whole.
4. A withheld or changed value is listed by the name of its outermost parameter.
5. Visitors write these texts, so no text raises an error, and time is linear.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote_plus, urlencode, urlsplit

from ..withheld import Reasoned
from . import nouns, paths, texts, values
from .nouns import NAME_LENGTH, Level
from .patterns import normal as dashed
from .texts import assigned, spelled

SECRET_PHRASES = (
    "session-state",
    "session-id",
    "code-verifier",
    "x-amz-[^-]+",
    "x-goog-[^-]+",
    "saml-?(?:response|request|art)[^-]*",
)
TRACKED = frozenset(
    "gclid dclid fbclid msclkid gbraid wbraid ttclid twclid li-fat-id yclid igshid mc-eid -ga -gl".split()
)
DEPTH = 4

Pairs = list[tuple[str, str]]
Words = Collection[str]

_camel = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[A-Z][a-z]|[0-9])|(?<=[0-9])(?=[A-Za-z])")
_separators = re.compile(r"(?:[^\w\n]|_)+")
_authority = re.compile(r"[\s?#/\\]")
_label_end = re.compile(r"[\s=:@?&#;,/\\]")
_before_userinfo = ("//", ":/", ":\\", "\\\\", "/\\", "\\/")
_web_schemes = ("http:", "https:", "ws:", "wss:", "ftp:")


class Clean(NamedTuple):
    """A URL without credentials, its query's pairs, the names withheld and changed, and whether anything was cut."""

    url: str
    pairs: Pairs
    withheld: list[str]
    changed: bool
    path_changed: bool = False


def clean(url: str, secret: Words = (), unsafe: Words = (), *, hidden: Words = (), kept: Words = ()) -> Clean:
    """Return what may be shown of a URL; an empty URL for a text that is not one.

    The URL is given as HTTP decodes it (latin-1); the result is ASCII. ``secret`` has further credential names;
    ``unsafe`` has exact normal names that pass nevertheless. ``hidden`` and ``kept`` are segments of the path.
    """
    try:
        found = _clean(_repaired(url), frozenset(secret), frozenset(unsafe), 0, (frozenset(hidden), frozenset(kept)))
    except ValueError:
        return Clean("", [], [], changed=True)
    return found._replace(url=quote(found.url, safe=string.punctuation, errors="replace"))


def split(url: str, secret: Words = (), unsafe: Words = ()) -> tuple[str, Pairs, list[str]]:
    """Return the URL with the safe part of its query, the pairs of that part, and the names withheld or changed."""
    found = clean(url, secret, unsafe)
    return found.url, found.pairs, found.withheld


def without_secrets(url: str, secret: Words = (), unsafe: Words = ()) -> str:
    """Return the URL without userinfo, fragment and credential parameters."""
    return clean(url, secret, unsafe).url


def clean_path(path: str, secret: Words = (), hidden: Words = (), kept: Words = ()) -> tuple[str, list[str]]:
    """Return a URL's path without credentials, and the names of its parameters that are withheld."""

    def judge(name: str, value: str) -> str | None:
        return label(name) if says(name, value, secret) else None

    return paths.clean(path, judge, hidden, kept)


def cleaned(text: str, secret: Words = (), unsafe: Words = (), depth: int = 1, *, strict: bool = False) -> str | None:
    """Return a text without the credentials of the URL that it is or contains; None if a credential stays visible.

    ``strict`` treats identifiers (UUIDs, hashes) as credentials too.
    """
    if not text or (len(text) < values.RANDOM_LENGTH and text.isalnum()):
        return text
    plain = unquoted(text)
    if unquote_plus(plain) != plain:  # it is encoded more times than any real URL
        return None
    more, passing = frozenset(secret), frozenset(unsafe)
    result = text
    if any(char in plain for char in "=@/?"):
        if depth > DEPTH:
            return None
        result = _cut(text, more, passing, depth)
        plain = unquoted(result)
    return None if _shows(plain, more, passing, strict=strict) else result


def is_secret(name: str, more: Words = ()) -> bool:
    """Whether a name says credential, or may say so; ``more`` has further words, which count as a part of it too."""
    return says(name, None, more)


def says(name: str, value: str | None, more: Words = ()) -> bool:
    """Whether a parameter of this name and value is a credential; without a value, a doubtful name is enough."""
    if len(name) > NAME_LENGTH:
        return True
    more = frozenset(more)
    level = _known(name, more) if len(name) <= 64 else _level(name, more)
    return level is Level.CREDENTIAL or (level is Level.DOUBTFUL and not (value is not None and values.is_plain(value)))


def _level(name: str, more: frozenset[str]) -> Level:
    name = unquoted(name).strip().removeprefix("amp;")
    return Level.CREDENTIAL if _says_more(more, name) else nouns.judge(name)


# Visitors choose names. Only short names are cached, so that visitors cannot fill the memory.
_known = lru_cache(maxsize=4096)(_level)


def names_in(text: str) -> list[str]:
    """Return the names to which a text assigns something; raise ValueError if it cannot be read."""
    plain = unquoted(text)
    return [name for name, _ in (*assigned(plain), *spelled(plain))]


def _says_more(more: frozenset[str], name: str) -> bool:
    expression, text = _phrases(more), name.replace("\n", "-")
    split_up = _camel.sub("-", text)
    return bool(expression.search(_separated(text)) or (split_up != text and expression.search(_separated(split_up))))


@lru_cache(maxsize=16)
def _phrases(more: frozenset[str]) -> re.Pattern[str]:
    """Return an expression for our phrases and the deployer's words in a name whose parts are separated by dashes."""
    parts = "|".join([*SECRET_PHRASES, *(re.escape(_separated(word)) for word in sorted(more) if word)])
    return re.compile(rf"(?<![^-])(?:{parts})(?![^-])")


def _separated(text: str) -> str:
    return _separators.sub("-", text.lower())


def _clean(
    url: str, secret: frozenset[str], unsafe: frozenset[str], depth: int, segments: tuple[Words, Words] = ((), ())
) -> Clean:
    parts = urlsplit(url)
    found = parse_qsl(parts.query, keep_blank_values=True, errors="replace")
    coded = any(dashed(name) == "code" for name, _ in found)
    pairs: Pairs = []
    listed: list[str] = []
    for name, value in found:
        goes_along = coded and dashed(name) == "state" and "state" not in unsafe
        safe = None if goes_along else _safe(name, value, secret, unsafe, depth)
        if safe is not None:
            pairs.append((name, safe))
        if safe != value:
            listed.append(label(name))
    path, matrix = clean_path(parts.path, secret, *segments)
    netloc = parts.netloc.rpartition("@")[2]
    result = SplitResult(parts.scheme, netloc, path, urlencode(pairs), "")
    changed = pairs != found or netloc != parts.netloc or path != parts.path
    return Clean(result.geturl(), pairs, listed + matrix, changed, path != parts.path and not matrix)


def _safe(name: str, value: str, secret: frozenset[str], unsafe: frozenset[str], depth: int) -> str | None:
    """Return a parameter's value as it may be shown; None if it must be withheld."""
    if dashed(name) in unsafe:
        return value
    if says(name, value, secret) or cleaned(name, secret, unsafe, depth + 1) != name:
        return None
    if dashed(name) in TRACKED and value.replace("-", "").replace("_", "").replace(".", "").isalnum():
        return None if values.is_token(value) else value
    return cleaned(value, secret, unsafe, depth + 1)


def _cut(text: str, secret: frozenset[str], unsafe: frozenset[str], depth: int) -> str:
    try:
        found = _clean(text, secret, unsafe, depth)
    except ValueError:
        return text
    return found.url if found.changed else text


def _shows(plain: str, more: frozenset[str], passing: frozenset[str], *, strict: bool) -> bool:
    """Whether a text shows a credential: by its form, or by the name to which the text assigns it."""
    if values.is_token(plain) or values.is_random(plain, strict=strict) or _has_userinfo(plain):
        return True
    try:
        spelled_out = spelled(plain)
        if any(values.is_token(value) or values.is_random(value, strict=strict) for _, value in spelled_out):
            return True
        for name, value in (*assigned(plain), *spelled_out):
            if dashed(name) not in passing and says(name, value, more):
                return True
    except texts.Unreadable:
        return True
    return False


def _has_userinfo(text: str) -> bool:
    """Whether a text has the userinfo of a URL, in any form that browsers read. An e-mail address has none."""
    for before in text.split("@")[:-1]:
        user = _authority.split(before)[-1].lower()
        lead = before[: len(before) - len(user)]
        if lead.endswith(_before_userinfo) or user.count(":") > 1 or any(scheme in user for scheme in _web_schemes):
            return True
    return False


def label(name: str) -> str:
    """Return how a withheld name may be listed: never with a value that was written in its place."""
    found = _label_end.split(unquoted(name).strip(), maxsplit=1)[0] or "(unnamed)"
    return found if dashed(found) == dashed(name) else Reasoned.of(found, "part")


def unquoted(text: str) -> str:
    """Undo percent-encoding until nothing changes, so that a credential cannot hide by being encoded twice."""
    for _ in range(DEPTH + 1):
        if "%" not in text and "+" not in text:
            break
        text = unquote_plus(text)
    return text


def _repaired(text: str) -> str:
    """Decode as UTF-8, which browsers write, a text that HTTP decoded as latin-1; bad bytes are replaced."""
    try:
        return text if text.isascii() else text.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return text
