"""Log lines that no outside text can forge, and that hold no credential.

1. A text from outside becomes one line: control characters, line breaks of every kind, characters that reverse or hide
   others, and halves of surrogate pairs are escaped.
2. Line breaks stay in texts of the code itself (the format, a traceback, ``Lines``). The lines after the first are
   indented, so that none of them looks like another record.
3. URLs lose their userinfo and the credentials in their query. Headers of credentials lose their values.
4. A record is never lost: if it cannot be formatted, its parts are shown.
5. A long text is cut. Half a credential does not look like one, so a word that may hold one is never cut in half.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterable, Mapping
from numbers import Number
from typing import Any

from ...policy import urls

LIMIT = 4_000
"""How many characters of one record's message are logged."""

LONGEST = 40_000
"""How many characters of a traceback are logged."""

AS_IT_IS: Mapping[str, bool] = {"app_meta_as_it_is": True}
"""The ``extra`` of the one record that shows the deployer a credential on purpose."""

HIDDEN = "[secret]"
INDENT = "\n    "
LOGGERS = ("jupyter_app_meta", "tornado.access", "tornado.application", "tornado.general", "asyncio", "traitlets")

_word = re.compile(r"[^\s'\"<>(),]+")
_header = re.compile(r"(?i)((?:proxy-)?authorization|(?:set-)?cookie)([\"']?\s*[:=]\s*)[^\n]+")
_bearer = re.compile(r"(?i)\b(bearer|token)( +)(?=[^\s\d]*\d)[\w.~+/=-]{8,}")
_before_token = re.compile(r"(?i)\b(?:bearer|token) +\Z")
_mark = re.compile(r"[?&=@]|//")
_line_break = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


class Lines(str):
    """One of our own texts whose line breaks are kept, such as a traceback."""

    __slots__ = ()


def printable(text: object, limit: int = 200) -> str:
    """Return a text from outside as one line of at most ``limit`` printable characters."""
    whole = _text(text)
    shown = _escaped(whole[:limit])
    is_cut = len(whole) > limit or len(shown) > limit
    return beginning(shown, max(limit - 1, 0)) + "…" if is_cut else shown


def paragraph(text: object, limit: int = LONGEST) -> str:
    """Return a text with its line breaks and its further lines indented; otherwise like ``printable``."""
    lines = _line_break.split(beginning(_text(text), limit).rstrip())
    return INDENT.join(without_secrets(_escaped(line)) for line in lines)


def without_secrets(text: str) -> str:
    """Return a text without the credentials of the URLs and headers in it."""
    text = _bearer.sub(rf"\1\2{HIDDEN}", _header.sub(rf"\1\2{HIDDEN}", text))
    return _word.sub(_without_secrets, text) if "=" in text or "@" in text else text


def beginning(text: str, limit: int) -> str:
    """Return the first characters of a text. Of a word that is cut, only a part without half a credential is left."""
    head = text[:limit]
    if len(text) <= limit:
        return head
    last = next(iter(deque(_word.finditer(head), maxlen=1)), None)
    if last is None or last.end() < len(head):
        return head
    before, word = head[: last.start()], last[0]
    return before + ("" if _before_token.search(before) else _harmless_beginning(word))


def _harmless_beginning(word: str) -> str:
    """Return a cut word up to its query or authority, or up to its last whole segment; a plain word unchanged."""
    mark = _mark.search(word)
    whole = word[: mark.start()] if mark else word[: word.rfind("/") + 1] or word
    safe = urls.cleaned(whole)
    return HIDDEN if safe is None else safe


class Filter(logging.Filter):
    """Makes records safe to show; every record passes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite a record once."""
        if not getattr(record, "app_meta_as_it_is", False):
            record.app_meta_as_it_is = True
            record.msg, record.args = _message(record), None
            if record.exc_info and record.exc_info[0]:
                found = record.exc_text or logging.Formatter().formatException(record.exc_info)
                record.exc_text = paragraph(found)
        return True


_filter = Filter()


def guard(*more: logging.Logger | None) -> None:
    """Filter the records of our loggers, of the libraries in use, and of these loggers; idempotent."""
    for logger in (*map(logging.getLogger, LOGGERS), *filter(None, more)):
        logger.addFilter(_filter)


def join(log: logging.Logger) -> None:
    """Guard a server's log, and let our loggers write to it, as tornado's do, unless they have a handler."""
    guard(log)
    ours = logging.getLogger(LOGGERS[0])
    if not ours.hasHandlers():
        ours.parent = log


def _message(record: logging.LogRecord) -> str:
    try:
        if not record.args:
            shown = record.msg if isinstance(record.msg, str) else _text(record.msg)
            return paragraph(shown) if isinstance(shown, Lines) else _one(shown)
        message = str(record.msg) % _shown(record.args)
    except Exception:  # a record must not be lost because of its format
        return _one(f"{_text(record.msg)} {_text(record.args)}")
    return paragraph(message, LONGEST if _has_lines(record.args) else LIMIT)


def _one(text: str) -> str:
    return without_secrets(printable(text, LIMIT))


def _has_lines(args: Any) -> bool:
    return any(isinstance(value, Lines) for value in (args.values() if isinstance(args, Mapping) else args))


def _shown(args: Any) -> Any:
    if isinstance(args, Mapping):
        return {name: _fit(value) for name, value in args.items()}
    return tuple(map(_fit, args))


def _fit(value: object) -> object:
    """Return an argument whose text is one line in every format."""
    if value is None or isinstance(value, Number | Lines):
        return value
    is_fit = isinstance(value, str) and len(value) <= LIMIT and value.isprintable()
    return value if is_fit else _Shown(value)


class _Shown:
    """Takes the place of an object: the printable text is logged."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return printable(self._value, LIMIT)

    def __repr__(self) -> str:
        return printable(_text(self._value, repr), LIMIT)


def _text(value: object, to: Any = str) -> str:
    try:
        return str(to(value))
    except Exception as error:
        return f"<{type(value).__name__} that cannot be shown ({type(error).__name__})>"


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(_characters(text))


def _characters(text: str) -> Iterable[str]:
    for character in text:
        if character.isprintable():
            yield character
        else:
            yield character.encode("unicode_escape").decode("ascii")


def _without_secrets(found: re.Match[str]) -> str:
    word = found[0]
    if not any(mark in word for mark in ("?", "&", "//")):
        return word
    safe = urls.cleaned(word)
    return HIDDEN if safe is None else safe
