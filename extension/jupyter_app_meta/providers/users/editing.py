"""How a password gets into the file of users: one line changes, and all comments and other lines stay.

The new text is read again before it is written, and must say the same as before but for that one password.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tomllib
from contextlib import suppress
from pathlib import Path

from ...errors import IdentityError
from . import people

_password = re.compile(r"""(\s*(?:password|"password"|'password')\s*=\s*)(?:"[^"\n]*"|'[^'\n]*')(\s*(?:#.*)?\s*)""")
_any_password = re.compile(r"""\s*["']?password["']?\s*[.=]""")


def set_password(path: Path, name: str, hash: str) -> bool:
    """Write a user's hash into a file, and return whether the user is new; raises IdentityError.

    The file is replaced in one step. Only this account can read it, but a file of another account keeps its owner.
    """
    if problem := people.unfit(name):
        raise IdentityError(problem)
    path = path.expanduser().resolve()  # a link stays a link
    if path.exists() and not path.is_file():
        raise IdentityError(f"users file {path}: it must be a regular file, because it is replaced; name another path.")
    try:
        text = path.read_bytes().decode("utf-8") if path.exists() else ""
        new = changed(text, name, hash, path)
        people.parsed(new.encode(), path)
        _replace(path, new, text)
    except OSError as error:
        raise IdentityError(f"users file {path}: it cannot be written ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise IdentityError(f"users file {path}: it is not UTF-8; save the file as UTF-8.") from error
    return name not in _tables(text, path)


def changed(text: str, name: str, hash: str, path: Path) -> str:
    """Return the text of a file with a user's new hash; raises IdentityError if the line cannot be found."""
    tables = _tables(text, path)
    if name not in tables:
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        new = f"{text}{gap}[{_key(name)}]\npassword = {json.dumps(hash)}\n"
    else:
        new = _with_line(text, name, hash)
    expected = {**tables, name: {**_table(tables, name), "password": hash}}
    with suppress(tomllib.TOMLDecodeError):
        if tomllib.loads(new) == expected:
            return new
    raise IdentityError(
        f"users file {path}: {name} is written in a form that is not changed here; begin it by [{name}]."
    )


def _tables(text: str, path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise IdentityError(people.syntax(path, str(error), text)) from error


def _table(tables: dict[str, object], name: str) -> dict[str, object]:
    found = tables.get(name)
    return found if isinstance(found, dict) else {}


def _with_line(text: str, name: str, hash: str) -> str:
    lines, begin = text.splitlines(keepends=True), people.header(text, name)
    if begin is None:
        return ""
    for number, line in enumerate(lines[begin + 1 :], begin + 1):
        if re.match(r"\s*\[", line):
            break
        if _any_password.match(line):
            found = _password.fullmatch(line)
            lines[number] = f"{found[1]}{json.dumps(hash)}{found[2]}" if found else line
            return "".join(lines)
    end = "" if lines[begin].endswith("\n") else "\n"
    lines.insert(begin + 1, f"{end}password = {json.dumps(hash)}\n")
    return "".join(lines)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _replace(path: Path, text: str, before: str) -> None:
    """Replace a file in one step; raises IdentityError if it is not as it was read before."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            if path.exists():
                _keep_owner(file.fileno(), path)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        if (path.read_bytes() if path.exists() else b"") != before.encode():
            raise IdentityError(f"users file {path}: it was changed meanwhile; run the command again.")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _keep_owner(draft: int, path: Path) -> None:
    """Give a new file the owner of the old one, because the server must read it even if another account wrote it."""
    old = path.stat()
    if hasattr(os, "fchown") and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(draft, old.st_uid, old.st_gid)
        os.fchmod(draft, old.st_mode & 0o640)
