"""A URL's path without credentials: userinfo of URLs in it, ``;jsessionid=…``, and segments that are tokens.

A token's segment becomes ``***``, so that the path keeps its shape. UUIDs, dates, slugs, numbers and commits stay,
because they name what the page is about. Behind a word such as ``reset`` or ``invite`` they are the credential itself,
and do not stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from urllib.parse import quote, unquote

from ..withheld import Reasoned
from . import values, words

MASK = "***"

_nested_userinfo = re.compile(r"//[^/?#\s@]*@")
_matrix_parameter = re.compile(r";([^;/=]*)=[^;/]*")
_digest = re.compile(r"[0-9a-f]{32}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{128}")
_mixed = re.compile(r"(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_.~+=-]{8,}")
_digits = re.compile(r"[0-9]{6,}")
_words = re.compile(r"[A-Za-z]{1,20}(?:[-_ .][A-Za-z]{1,20})*(?:[-_ .]?[0-9]{1,4})?(?:\.[a-z0-9]{1,5})?")
OPENING = frozenset(
    """
    activate activation apikey auth confirm confirmation invitation invitations invite invites magic otp passcode
    password passwordless recover recovery reset secret sso token tokens unsubscribe verification verify
    """.split()
)
DIGESTS = frozenset("blob blobs checksum checksums digest digests hash hashes md object objects sha tree".split())

Words = Collection[str]
Judge = Callable[[str, str], str | None]
"""Returns the name under which a parameter of this name and value is listed as withheld; None if it may be shown."""


def clean(path: str, judge: Judge, hidden: Words = (), kept: Words = ()) -> tuple[str, list[str]]:
    """Return a path without credentials, and the names of its parameters that are withheld.

    Segments in ``hidden`` become ``***``; segments in ``kept`` stay.
    """
    withheld: list[str] = []

    def judged(found: re.Match[str]) -> str:
        listed = judge(found[1], unquote(found[0].partition("=")[2]))
        if listed is None:
            return found[0]
        withheld.append(Reasoned.of(listed, "path"))
        return ""

    if _nested_userinfo.search(unquote(path)):
        path = _nested_userinfo.sub("//", quote(unquote(path), safe="/:;=@&+,"))
    return _masked(_matrix_parameter.sub(judged, path), hidden, kept), withheld


def is_credential(segment: str, before: str = "") -> bool:
    """Whether a segment is a credential; ``before`` is the segment in front of it."""
    if values.is_token(segment):
        return True
    said = words.split(before)[-1:]
    if _digest.fullmatch(segment) and not DIGESTS.isdisjoint(said):
        return False
    if values.is_random(segment):
        return True
    opens = not OPENING.isdisjoint(said) and not _words.fullmatch(segment)
    return opens and bool(_mixed.fullmatch(segment) or _digits.fullmatch(segment))


def _masked(path: str, hidden: Words, kept: Words) -> str:
    segments = path.split("/")
    plain = [_unquoted(segment) for segment in segments]
    for number, segment in enumerate(plain):
        before = plain[number - 1] if number else ""
        if segment and (segment in hidden or (segment not in kept and is_credential(segment, before))):
            segments[number] = MASK
    return "/".join(segments)


def _unquoted(text: str) -> str:
    for _ in range(4):
        if "%" not in text:
            break
        text = unquote(text)
    return text
