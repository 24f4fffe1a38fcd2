"""Whether the words of a name say credential.

1. The last word is the noun: ``api_key`` is a key, ``token_count`` a count. Numbers, and words that only carry a value
   (``token_value``, ``password_confirmation``), do not count as the last word.
2. A word before the noun may make it harmless: ``sort_key``, ``time_signature``, ``page_token``, ``country_code``.
3. If the words do not decide, the name is doubtful. Then only a plain value (``values.is_plain``) is harmless.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

from . import lexicon
from .vocabulary import PLAIN
from .words import KNOWN, run_together, split

NAME_LENGTH = 200  # a longer text is not a name, but a value in the place of one

Words = tuple[str, ...]


class Level(IntEnum):
    """How surely a name is that of a credential."""

    HARMLESS = 0
    DOUBTFUL = 1
    CREDENTIAL = 2


def judge(name: str) -> Level:
    """Return how surely a name is that of a credential. Capitals can be read in two ways; the stricter one counts."""
    return _known(name) if len(name) <= 64 else _judge(name[:NAME_LENGTH])


def _judge(name: str) -> Level:
    words = split(name)
    level = _level(words)
    return level if all(word in KNOWN for word in words) else max(level, _level(run_together(name)))


# Visitors choose names. Only short names are cached, so that visitors cannot fill the memory.
_known = lru_cache(maxsize=4096)(_judge)


def _level(words: Words) -> Level:
    if not words:
        return Level.HARMLESS
    words = _without_carriers(words)
    level = _of_noun(words[-1], words[:-1])
    return min(level, Level.DOUBTFUL) if words[0] in _ASKING and len(words) > 1 else level


def _of_noun(noun: str, before: Words) -> Level:
    if noun in lexicon.IDENTIFIERS and noun != "uid":
        return _identifier(before)
    judged = _nouns.get(noun)
    if judged:
        return judged(before)
    if noun in lexicon.WEAK:
        return Level.HARMLESS if noun in _COUNTED and _is_plain(before) else Level.DOUBTFUL
    if noun in lexicon.CREDENTIALS:
        return Level.CREDENTIAL
    if lexicon.CREDENTIALS.isdisjoint(before) or (len(noun) > 1 and noun in PLAIN):
        return Level.HARMLESS
    return Level.DOUBTFUL


def _without_carriers(words: Words) -> tuple[str, ...]:
    """Leave out the last words if they only carry what is named before them."""
    kept = words
    while (
        len(kept) > 1
        and kept[-1] in lexicon.CARRIERS
        and not (kept[-1] in ("string", "str") and kept[-2].startswith("conn"))
    ):
        kept = kept[:-1]
    return kept if _bears(kept) else words


def _bears(words: Words) -> bool:
    return words[-1] in lexicon.CREDENTIALS or words[-1] in _nouns


def _identifier(before: Words) -> Level:
    if not {"session", "sess", "phpsess", "jsession"}.isdisjoint(before[-1:]):
        return Level.CREDENTIAL
    return Level.HARMLESS if lexicon.CREDENTIALS.isdisjoint(before) else Level.DOUBTFUL


def _key(before: Words) -> Level:
    if not before:
        return Level.CREDENTIAL
    qualifier = before[-1]
    if qualifier in lexicon.KEY_OF_DATA_TOO:
        return Level.DOUBTFUL
    if qualifier in lexicon.KEY_OF_CREDENTIAL or qualifier in lexicon.CREDENTIALS:
        return Level.CREDENTIAL
    return Level.HARMLESS if _is_plain(before) else Level.DOUBTFUL


def _is_plain(before: Words) -> bool:
    return bool(before) and len(before[-1]) > 1 and before[-1] in PLAIN


def _code(before: Words) -> Level:
    if before in ((), ("amp",)) or before[-2:] == ("one", "time") or before[-2:] == ("two", "factor"):
        return Level.CREDENTIAL
    return (
        Level.CREDENTIAL
        if before[-1] in lexicon.CODE_OF_CREDENTIAL or before[-1] in lexicon.CREDENTIALS
        else Level.HARMLESS
    )


def _token(before: Words) -> Level:
    return Level.HARMLESS if before and before[-1] in lexicon.TOKEN_OF_DATA else Level.CREDENTIAL


def _signature(before: Words) -> Level:
    return Level.HARMLESS if before and before[-1] in lexicon.SIGNATURE_OF_DATA else Level.CREDENTIAL


def _of_login(before: Words) -> Level:
    """Judge a word that says credential only behind another: ``auth_hash``, ``oauth_state``, ``code_challenge``."""
    said = before and (
        before[-1] in lexicon.LOGINS or before[-1] in lexicon.PASSWORDS or before[-1] in ("code", "token", "csrf")
    )
    return Level.CREDENTIAL if said else Level.HARMLESS


def _pass(before: Words) -> Level:
    said = not before or before[-1] in lexicon.PASS_OF_CREDENTIAL or before[-1] in lexicon.PEOPLE
    return Level.CREDENTIAL if said else Level.HARMLESS


def _pin(before: Words) -> Level:
    return Level.HARMLESS if before and before[-1] in PLAIN else Level.CREDENTIAL


def _string(before: Words) -> Level:
    said = before and (before[-1] in ("connection", "conn") or before[-1] in lexicon.CREDENTIALS)
    return Level.CREDENTIAL if said else Level.HARMLESS


def _link(before: Words) -> Level:
    return Level.CREDENTIAL if before and before[-1] in ("magic", "reset", "login", "signin") else Level.HARMLESS


def _sign(before: Words) -> Level:
    if before and before[-1] in lexicon.LOGINS:
        return Level.CREDENTIAL
    return Level.HARMLESS if before else Level.DOUBTFUL


def _remember(before: Words) -> Level:
    return Level.DOUBTFUL if before and before[-1] == "remember" else Level.HARMLESS


def _hint(before: Words) -> Level:
    return Level.CREDENTIAL if before and before[-1] == "token" else Level.HARMLESS


def _phrase(before: Words) -> Level:
    return Level.CREDENTIAL if before and before[-1] in ("pass", "seed", "recovery") else Level.HARMLESS


_ASKING = frozenset("has is needs requires require show hide use with without no allow enable disable".split())
_COUNTED = frozenset("tokens keys sessions tickets signatures cookies".split())
_nouns = {
    "key": _key,
    "code": _code,
    "token": _token,
    "signature": _signature,
    "sig": _signature,
    "state": _of_login,
    "hash": _of_login,
    "digest": _of_login,
    "challenge": _of_login,
    "pass": _pass,
    "pin": _pin,
    "string": _string,
    "str": _string,
    "link": _link,
    "sign": _sign,
    "me": _remember,
    "hint": _hint,
    "phrase": _phrase,
    "word": _phrase,
}
