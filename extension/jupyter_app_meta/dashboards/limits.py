"""How much of a server there is, and how much of it one visitor or one address may have.

Defaults are found from the machine: memory for pages, descriptors for connections. 0 is no limit.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

DEFAULT_LIMIT = 10 * 1024 * 1024
"""Bytes that a page may upload at once."""

ENVELOPE = 64 * 1024
"""Bytes of a message beside what is uploaded."""

PAGE_MEMORY = 128 * 2**20
"""Bytes that a page is reckoned to take: a kernel of 40 MB, and what a notebook loads."""

PAGE_DESCRIPTORS = 24
"""Descriptors that a page is reckoned to take in the server."""

MOST_PAGES, FEWEST_PAGES = 500, 4
PAGES_PER_VISITOR, PAGES_PER_ADDRESS = 20, 100
FEWEST_CONNECTIONS = 32
WANTED_DESCRIPTORS = 16_384

_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def reaches(count: int, limit: int | None) -> bool:
    """Whether so many are as many as may be."""
    return bool(limit) and count >= (limit or 0)


def largest(upload: int) -> int:
    """Return how many bytes a message may have in which so many are uploaded."""
    return upload + ENVELOPE


def memory() -> int:
    """Return the bytes of memory that this process and its kernels may have."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for path in _CGROUPS:
        with suppress(OSError, ValueError):
            found.append(int(Path(path).read_text()))
    return min(found, default=8 * 2**30)


def descriptors(*, at_most: bool = False) -> int:
    """Return how many descriptors this process may have, or take (``raise_descriptors``)."""
    try:
        import resource  # Windows has none
    except ImportError:
        return 2 * WANTED_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = hard if at_most else soft
    return WANTED_DESCRIPTORS if found == resource.RLIM_INFINITY else found


def raise_descriptors() -> None:
    """Take as many descriptors as the system allows and we want: each page needs some."""
    try:
        import resource  # as above
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft not in (resource.RLIM_INFINITY, wanted) and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _pages() -> int:
    room = min(memory() // PAGE_MEMORY, descriptors(at_most=True) // 2 // PAGE_DESCRIPTORS)
    return max(FEWEST_PAGES, min(MOST_PAGES, room))


def _given(given: int | None, found: int) -> int:
    return found if given is None else given


PAGES = _pages()
"""How many pages there may be, by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many pages and connections there may be, and for how long; None is found from the machine."""

    max_pages: int = PAGES
    max_pages_per_visitor: int | None = None
    max_pages_per_address: int | None = None
    max_connections: int | None = None
    quiet_timeout: float = 86_400
    idle_timeout: float = 300
    connect_timeout: float = 60
    max_upload: int = DEFAULT_LIMIT

    def found(self) -> Limits:
        """Return these limits with a number in the place of each None."""
        pages = self.max_pages
        by_visitor = max(1, min(PAGES_PER_VISITOR, pages // 2)) if pages else PAGES_PER_VISITOR
        by_address = max(1, pages * 3 // 4) if pages else PAGES_PER_ADDRESS
        return replace(
            self,
            max_pages_per_visitor=_given(self.max_pages_per_visitor, by_visitor),
            max_pages_per_address=_given(self.max_pages_per_address, by_address),
            max_connections=_given(self.max_connections, max(FEWEST_CONNECTIONS, descriptors() // 2)),
        )
