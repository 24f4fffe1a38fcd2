"""The file of users, read: each table is a user, and each mistake has its file, line and fix.

[alice]
password = "$argon2id$v=19$..."     # jupyter app-meta passwd alice
display_name = "Alice Example"
groups = ["sales"]
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ... import secret_files
from ...errors import IdentityError
from . import passwords

LONGEST = 256
"""How many characters a name may have."""

TEXTS = ("name", "display_name", "initials", "color")


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the file. Without a hash the user cannot log in."""

    username: str
    hash: str | None = field(default=None, repr=False)
    groups: tuple[str, ...] = ()
    admin: bool = False
    names: Mapping[str, Any] = field(default_factory=dict)


People = Mapping[str, Person]


def read(path: Path) -> People:
    """Return the users of a file; raises IdentityError, which names the file, the line and the fix."""
    try:
        data = secret_files.read(path).content
    except OSError as error:
        fix = "`jupyter app-meta passwd NAME --users FILE` makes one" if not path.exists() else "give another file"
        raise IdentityError(f"users file {path}: it cannot be read ({secret_files.reason(error)}); {fix}.") from error
    return parsed(data, path)


def parsed(data: bytes, path: Path) -> People:
    """Return the users that a file's content names; raises IdentityError as ``read`` does."""
    try:
        text = data.decode("utf-8")
        tables = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise IdentityError(f"users file {path}, line {line}: it is not UTF-8; save the file as UTF-8.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise IdentityError(syntax(path, str(error), text)) from error
    found = {}
    for name, table in tables.items():
        problem = next(_problems(name, table), None)
        if problem:
            key, sentence = problem
            raise IdentityError(f"users file {path}, line {_line(text, name, key)}: {sentence}")
        found[name] = _person(name, table)
    return found


def syntax(path: Path, said: str, text: str) -> str:
    """Return what is wrong with a file's syntax; the parser's words never quote the line."""
    place = re.search(r"\(at line (\d+), column \d+\)", said)
    what = "it is nested too deep" if "recursion" in said else said.partition(" (at ")[0]
    line = place[1] if place else len(text.splitlines())
    return f"users file {path}, line {line}: {what}; a user is a table, such as [alice] and then groups = ['sales']."


def _person(name: str, table: Mapping[str, Any]) -> Person:
    names = {key: table[key] for key in TEXTS if key in table}
    return Person(name, table.get("password"), tuple(table.get("groups", ())), table.get("admin", False), names)


def _problems(name: str, table: object) -> Iterator[tuple[str, str]]:
    """Yield the key and the sentence of each mistake in a user's table. No sentence has a value of the file."""
    if not isinstance(table, dict):
        yield "", f"{name!r} is not a user; a user is a table, such as [{name}] on a line of its own."
        return
    if problem := unfit(name):
        yield "", problem
    for key, value in table.items():
        if key == "password":
            fits, expected = isinstance(value, str) and passwords.is_hash(value), _HASH.format(name)
        elif key == "groups":
            fits = isinstance(value, list) and all(isinstance(group, str) and group for group in value)
            expected = "groups must be a list of texts, such as ['sales']."
        elif key == "admin":
            fits, expected = isinstance(value, bool), "admin must be true or false."
        elif key in TEXTS:
            fits, expected = isinstance(value, str) and bool(value), f"{key} must be a text, such as 'Alice Example'."
        else:
            fits, expected = False, _unknown(key)
        if not fits:
            yield key, f"[{name}] {expected}"


_HASH = "password must be an argon2 hash, which `jupyter app-meta passwd {}` writes."
KEYS = ("password", "groups", "admin", *TEXTS)


def _unknown(key: str) -> str:
    near = get_close_matches(key, KEYS, 1)
    return f"{key} has no meaning; " + (f"did you mean {near[0]}?" if near else f"use {', '.join(KEYS)}.")


def unfit(name: str) -> str:
    """Return why a text cannot be a user's name; empty if it can."""
    if not name or name != name.strip() or not name.isprintable():
        return f"{name!r} cannot be a user's name: it must have printable characters, and no space at its ends."
    return f"a user's name may have {LONGEST} characters, not {len(name)}." if len(name) > LONGEST else ""


def header(text: str, name: str) -> int | None:
    """Return the number of the line (from 0) that begins a user's table; None if no line does so plainly."""
    for number, line in enumerate(text.splitlines()):
        if re.match(r"\s*\[[^\[]", line):
            try:
                tables = tomllib.loads(line)
            except tomllib.TOMLDecodeError:
                continue
            if tables == {name: {}}:
                return number
    return None


def _line(text: str, name: str, key: str) -> int:
    """Return the line (from 1) of a key in a user's table, or else of the table, or else of the name."""
    lines, begin = text.splitlines(), header(text, name)
    if begin is None:
        return next((number for number, line in enumerate(lines, 1) if name in line), 1)
    for number, line in enumerate(lines[begin + 1 :], begin + 2):
        if re.match(r"\s*\[", line):
            break
        if key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
            return number
    return begin + 1
