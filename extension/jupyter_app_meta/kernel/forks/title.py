"""The name under which ``ps`` shows a forked kernel: that of its connection file, as for any kernel.

A child shows the command line of its template. So the server gives the template an argument with a name of the same
length, and each child writes its own over it.
"""

from __future__ import annotations

import ctypes
import re
from functools import cache
from pathlib import Path

_NAME = re.compile(rb"template-[0-9a-f-]{36}\.json")
_START = 47
"""Where /proc/self/stat says at which address the command line begins."""


def of(kernel_id: str) -> str:
    """Return the argument of a template with this id."""
    return f"template-{kernel_id}.json"


@cache
def find() -> tuple[int, int] | None:
    """Return at which address that argument is, and its length; None if there is none. It is the same in each fork."""
    if (found := _NAME.search(Path("/proc/self/cmdline").read_bytes())) is None:
        return None
    # what is in parentheses may contain blanks: the name of the program, which comes second
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(fields[_START - 2]) + found.start(), len(found[0])


def show(kernel_id: str) -> None:
    """Show this process, a child, under the name of its kernel, if its template has such an argument."""
    name = f"kernel-{kernel_id}.json".encode()
    if (place := find()) is not None and len(name) <= place[1]:
        ctypes.memmove(place[0], name.ljust(place[1], b"\0"), place[1])
