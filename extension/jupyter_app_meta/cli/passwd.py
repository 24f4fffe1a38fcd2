"""``jupyter app-meta passwd``: writes a user's password into the file of users, as a hash."""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path

from ..errors import IdentityError
from .options import Refused

LEAST, MOST = 8, 1024
"""How many characters a password has."""


def write(name: str, file: str) -> str:
    """Ask for a password, write its hash, and return a sentence that says so; raises Refused."""
    try:
        from ..providers.users import editing, passwords, people
    except ImportError as error:
        raise Refused(f"{error.name} is missing: pip install 'jupyter-app-meta[server]'", 1) from error
    if problem := people.unfit(name):
        raise Refused(problem)
    try:
        is_new = editing.set_password(Path(file), name, passwords.hashed(_asked(name)))
    except IdentityError as error:
        raise Refused(str(error), 1) from error
    return f"{'Added' if is_new else 'Changed the password of'} {name} in {file}."


def _asked(name: str) -> str:
    """Return a password that was typed twice, or the line of a script."""
    if not sys.stdin.isatty():
        return _fit(sys.stdin.readline().rstrip("\r\n"))
    first = _fit(getpass(f"Password of {name}: "))
    if getpass("The same again: ") != first:
        raise Refused("the two passwords differ; nothing was written.", 1)
    return first


def _fit(password: str) -> str:
    if not LEAST <= len(password) <= MOST:
        raise Refused(f"a password must have {LEAST} to {MOST} characters, not {len(password)}.", 1)
    return password
