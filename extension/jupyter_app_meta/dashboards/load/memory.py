"""How much memory is free, for this process and its kernels: of the machine, and of each control group around them.

1. What the system can take back at once (its cache of files) counts as free.
2. A container or a service has a limit of its own, and so may the groups around it. The tightest one counts.
3. A number that cannot be read is left out. If none can be read, as outside of Linux, no floor holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOST_FLOOR = 512 * 2**20
"""How many bytes stay free, at most. On a small machine, it is a tenth of the memory."""

UNLIMITED = 2**60
"""A limit of at least this many bytes is not one: older kernels write the largest number that they have."""


@dataclass(frozen=True, slots=True)
class _Names:
    """How one version of control groups calls its files, and where its tree is."""

    tree: str
    limit: str
    used: str
    cache: tuple[str, str]


_NEW = _Names("sys/fs/cgroup", "memory.max", "memory.current", ("inactive_file", "active_file"))
_OLD = _Names(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)


def is_short(root: Path = Path("/")) -> bool:
    """Whether less memory is free than must stay free, in the file system ``root``."""
    return any(free < min(size // 10, MOST_FLOOR) for size, free in _rooms(root))


def _rooms(root: Path) -> Iterator[tuple[int, int]]:
    """Yield the size of each room that this process shares, and how much of it is free, in bytes."""
    machine = _numbers(root / "proc/meminfo")
    if "MemTotal" in machine and "MemAvailable" in machine:
        yield 1024 * machine["MemTotal"], 1024 * machine["MemAvailable"]
    for folder, names in _groups(root):
        with suppress(OSError, ValueError):
            limit, used = (int((folder / name).read_text()) for name in (names.limit, names.used))
            if limit < UNLIMITED:
                told = _numbers(folder / "memory.stat")
                yield limit, limit - used + sum(told.get(name, 0) for name in names.cache)


def _groups(root: Path) -> Iterator[tuple[Path, _Names]]:
    """Yield the folder of each control group that this process is in, from the innermost one outwards."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            names = _OLD if controllers else _NEW
            top = root / names.tree
            inner = Path(os.path.normpath(path))  # in a container, the path may lead out of what it sees
            yield from ((top / group.relative_to(group.anchor), names) for group in (inner, *inner.parents))


def _numbers(path: Path) -> dict[str, int]:
    """Return the numbers of a file whose lines begin with a name; none if it cannot be read."""
    found = {}
    with suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            name, number, *_ = line.replace(":", " ").split()
            found[name] = int(number)
    return found
