"""The words of a name: ``PHPSESSID``, ``phpSessId`` and ``php_sess_id`` have the same words.

A name is split at separators, capitals and digits. Words that are run together are taken apart with the tables of
``lexicon`` and ``vocabulary``. An English word that only looks like several (``monkey``, ``author``) stays whole.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from . import lexicon
from .vocabulary import PLAIN

_NOUNS = (
    lexicon.CREDENTIALS | lexicon.WEAK | lexicon.QUALIFIED | lexicon.IDENTIFIERS | lexicon.CARRIERS | lexicon.LOGINS
)
_QUALIFIERS = lexicon.KEY_OF_CREDENTIAL | lexicon.CODE_OF_CREDENTIAL | lexicon.TOKEN_OF_DATA | lexicon.SIGNATURE_OF_DATA
KNOWN = _NOUNS | _QUALIFIERS | PLAIN | lexicon.PEOPLE | lexicon.TECHNICAL
_PLURALS = KNOWN - lexicon.CREDENTIALS

LONGEST = 40  # letters; a longer run is split only at words that say credential

_INSIDE = re.compile(
    r"(.*?)(credential|password|apikey|secret|session|sessid|cookie|oauth|token|passw|csrf|xsrf|jwt|saml|hmac)(.*)"
)
_ENGLISH = re.compile(
    r"(?:co)?author(?!iz|is)\w*|authenticat(?:ed|es|ing)|betoken\w*|pallbearers?|basso|signets?|authoriz(?!ation)\w*|authoris(?!ation)\w*|authentic(?:ally)?|tokeni[sz]\w*|secret(?:ar|e|i)\w*|ob?sess\w*|\w*possess\w*"
    r"|\w*assess\w*|sess(?:ile|ion(?:s|al))|\w+key(?:s|ed|ing|ish)|\w*(?:monk|turk|hock|donk|jock|whisk|lack|mick|rick|smok|cock|flunk|pork|dick|bark|mal?ark|spik|spook)"
    r"e?y|log(?:ins?|inov)|credulous\w*|\w*essoes?|remember(?:ing|s)|\w*(?:be|en|de)code|sacred|\w+lasso|goddess|princess|\w+process"
)
_camel = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\x00-\x7f]+")
_separators = re.compile(r"(?:[^\w]|_)+")


def split(name: str) -> tuple[str, ...]:
    """Return the words of a name, lower-case, without numbers."""
    return tuple(word for chunk in _chunks(name) for word in _of_chunk(chunk))


def run_together(name: str) -> tuple[str, ...]:
    """Return the words of a name, regardless of its capitals: ``aPiKeY``."""
    return tuple(word for chunk in _chunks(name) for word in _segments(_letters(chunk)))


def _chunks(name: str) -> list[str]:
    return [chunk for chunk in _separators.split(unicodedata.normalize("NFKC", name)) if chunk]


def _letters(chunk: str) -> str:
    return "".join(char for char in chunk.lower() if not char.isdigit())


def _of_chunk(chunk: str) -> tuple[str, ...]:
    pieces = [piece.lower() for piece in _camel.findall(chunk) if not piece.isdigit()]
    return tuple(word for piece in pieces for word in _segments(piece))


@lru_cache(maxsize=4096)
def _known_segments(piece: str) -> tuple[str, ...]:
    if piece in KNOWN or _ENGLISH.fullmatch(piece):
        return (piece,)
    if len(piece) > 3 and piece.endswith("s") and piece[:-1] in _PLURALS:
        return (piece[:-1],)
    return _compound(piece) or _marked(piece) or (piece,)


def _segments(piece: str) -> tuple[str, ...]:
    """Return the words of which a run of letters is made; the run itself if none is found."""
    if not piece:
        return ()
    return _known_segments(piece) if len(piece) <= LONGEST else (_marked(piece) or (piece,))


def _compound(piece: str) -> tuple[str, ...]:
    """Return the fewest known words, two to five, that make up the piece."""
    best: list[tuple[str, ...] | None] = [(), *[None] * len(piece)]
    for end in range(2, len(piece) + 1):
        for start in range(end):
            head, word = best[start], piece[start:end]
            if head is None or len(head) > 4 or not _fits(word, first=start == 0):
                continue
            known, found = best[end], (*head, word)
            if known is None or len(found) < len(known):
                best[end] = found
    return best[-1] or ()


def _fits(word: str, *, first: bool) -> bool:
    if len(word) > 2:
        return word in KNOWN
    return word in (lexicon.SHORT_HEADS if first else lexicon.SHORT_WORDS)


def _marked(piece: str) -> tuple[str, ...]:
    """Split the piece at a word that says credential."""
    for noun in lexicon.SUFFIXES:
        if piece.endswith(noun) and len(piece) > len(noun):
            return (*_segments(piece[: -len(noun)]), noun)
    for noun in lexicon.PREFIXES:
        if piece.startswith(noun) and len(piece) > len(noun):
            return (noun, *_segments(piece[len(noun) :]))
    found = _INSIDE.fullmatch(piece)
    return (*_segments(found[1]), found[2], *_segments(found[3])) if found else ()
