"""Files with secrets: the one function that reads them, and which accounts may own and change them.

1. The owner of a file can change it, and so choose the secret. The owner must be the server's own account or root.
2. Every account that may write a file can do the same. A file that all may write is refused.
3. Which accounts may read a file is judged by its reader: the group of a Kubernetes secret may.
4. What counts is the file that was opened, not the link or the name that led to it.
5. A pipe may hold a secret, as from a shell's `<(pass show token)`. Reading waits for a program that has opened the
   pipe to write, for ``PATIENCE`` at most, and not for one that might come.
6. What is wrong is an OSError, as if the file could not be read. Its ``strerror`` says how to fix it.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from io import FileIO
from pathlib import Path
from shlex import quote
from typing import NamedTuple

LARGEST = 4 * 1024 * 1024
"""How many bytes a file may have."""

PATIENCE = 60.0
"""Seconds within which a program must write into a pipe: it may ask a person for a password first."""

FOR_ALL = 0o002


REMEDY = "start the program that writes first, or name a regular file"


class Read(NamedTuple):
    """The content of a file, and its permissions."""

    content: bytes
    mode: int


def read(path: Path) -> Read:
    """Return what a file with a secret has; raises OSError also where another account may have written it."""
    with open(path, "rb", buffering=0, opener=_without_waiting) as file:
        found = os.fstat(file.fileno())
        if problem := unsafe(found, path):
            raise PermissionError(errno.EACCES, problem, str(path))
        content = _content(file, path)
    if not content and stat.S_ISFIFO(found.st_mode):
        raise OSError(errno.EIO, f"no program writes into this pipe: {REMEDY}", str(path))
    if len(content) > LARGEST:
        raise OSError(errno.EFBIG, f"it has more than {LARGEST} bytes", str(path))
    return Read(content, stat.S_IMODE(found.st_mode))


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # to open a pipe would wait for one who writes


def _content(file: FileIO, path: Path) -> bytes:
    """Return what a file has, and no more than one byte beyond ``LARGEST``."""
    content, end = b"", time.monotonic() + PATIENCE
    while len(content) <= LARGEST and (part := file.read(LARGEST + 1 - len(content))) != b"":
        if part is not None:
            content += part
        elif not select.select([file], [], [], max(0.0, end - time.monotonic()))[0]:
            raise OSError(errno.EIO, f"nothing was written into it within {PATIENCE:.0f} seconds: {REMEDY}", str(path))
    return content


def text(path: Path) -> str:
    """Return the text of a file with a secret, without white space around it; raises OSError and UnicodeDecodeError."""
    return read(path).content.decode("utf-8").strip()


def reason(error: OSError | UnicodeDecodeError) -> str:
    """Return why a file could not be read, and how to fix it."""
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror or type(error).__name__


def unsafe(found: os.stat_result, path: Path) -> str:
    """Return why another account may have written a file, and how to fix it; empty if none may."""
    if problem := foreign(found, path):
        return problem
    is_open = os.name == "posix" and found.st_mode & FOR_ALL and not stat.S_ISCHR(found.st_mode)
    return f"every account may change it: chmod 600 {quote(str(path))}" if is_open else ""


def foreign(found: os.stat_result, path: Path) -> str:
    """Return that a file belongs to another account than ours and root, and how to fix it; empty if it does not."""
    if os.name != "posix" or found.st_uid in {0, os.geteuid()}:
        return ""
    own, owner = _account(os.geteuid()), _account(found.st_uid)
    others = own if own == "root" else f"{own} or root"
    return f"it belongs to {owner}, not to {others}: sudo chown {own} {quote(str(path))}, or run this as {owner}"


def _account(uid: int) -> str:
    import pwd  # only on POSIX

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may lack the names of accounts
        return str(uid)
