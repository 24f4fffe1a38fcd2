"""The YAML header of a notebook in text.

1. The header comes first: between two lines ``---`` in a ``.md`` file, and the same behind ``#`` in a ``.py`` file,
   after the lines ``#!…`` and ``# -*- coding: … -*-``.
2. It is read only here, so that the header that was checked is the one that takes effect.
3. It has plain values. Aliases are refused because a few lines of them expand to gigabytes, and deep nesting because
   reading it takes minutes.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import yaml

LONGEST = 16 * 1024
"""How many characters a header, or the options of a cell, may have."""

DEEPEST = 20
"""How deep values may be nested."""

_start = re.compile(r"(?:#!.*\n)?(?:#.*?coding[:=].*\n)?")
_script = re.compile(r"#[ ]?---[ \t]*\n((?:#(?![ ]?---[ \t]*$).*\n)*)#[ ]?---[ \t]*(?:\n|\Z)", re.MULTILINE)
_document = re.compile(r"---[ \t]*\n((?:(?!---[ \t]*$).*\n)*)---[ \t]*(?:\n|\Z)", re.MULTILINE)
_hidden = re.compile(r"<!--\s*---[ \t]*\n((?:(?!---[ \t]*$).*\n)*)---[ \t]*\n\s*-->[ \t]*(?:\n|\Z)", re.MULTILINE)
_comment = re.compile(r"^#[ ]?", re.MULTILINE)


def read(text: str, *, script: bool) -> tuple[dict[str, Any], str]:
    """Return the metadata in the header of a script or document, and the text after it.

    The lines of ``text`` end with a newline alone. Raises ValueError if the header cannot be read.
    """
    found, rest = _divided(text, script=script)
    said = _parsed(found)
    if not isinstance(said, dict):  # prose between two rules, not a header
        return {}, text
    own = said.pop("jupyter", None)  # jupytext writes the metadata of a notebook there, except for MyST
    return {**said, **(own if isinstance(own, dict) else {})}, rest


def check(text: str, what: str = "it") -> None:
    """Raise ValueError for YAML that is too long, expands or is nested too deep; an error of syntax is let through."""
    if len(text) > LONGEST:
        raise ValueError(f"{what} must not be longer than {LONGEST} characters")
    depth = 0
    with suppress(yaml.YAMLError):  # the reader's own message is better
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"{what} must not have an alias (*name)")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"{what} must not be nested deeper than {DEEPEST}")


def _divided(text: str, *, script: bool) -> tuple[str, str]:
    """Return the YAML of a header (empty if there is none) and the text after the header."""
    if not script:
        match = _document.match(text) or _hidden.match(text)
        return (match[1], text[match.end() :]) if match else ("", text)
    rest = _start.sub("", text, count=1)
    match = _script.match(rest)
    return (_comment.sub("", match[1]), rest[match.end() :]) if match else ("", rest)


def _parsed(text: str) -> Any:
    """Return the value of YAML, with the types of JSON; raises ValueError."""
    if not text:
        return {}
    try:
        check(text)
        return json.loads(json.dumps(yaml.safe_load(text), default=str))
    except Exception as error:  # YAML's own, and those of the numbers and dates that it makes
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error
