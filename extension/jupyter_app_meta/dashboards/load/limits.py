"""How many pages and connections a server may have, and how many of them one visitor or one address may have.

Defaults are found from the machine: from its memory for pages, from its descriptors for connections. 0 means no limit.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

DEFAULT_LIMIT = 10 * 1024 * 1024
"""How many bytes a page may upload at once."""

ENVELOPE = 64 * 1024
"""How many bytes a message has in addition to the upload."""

PAGE_MEMORY = 128 * 2**20
"""How many bytes a page is estimated to take: a kernel of 40 MB, and what the notebook loads."""

PAGE_DESCRIPTORS = 24
"""How many descriptors a page is estimated to take in the server."""

MOST_PAGES, FEWEST_PAGES = 500, 4
PAGES_PER_VISITOR, PAGES_PER_ADDRESS = 20, 100
FEWEST_CONNECTIONS = 32
WANTED_DESCRIPTORS = 16_384

_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def reaches(count: int, limit: int | None) -> bool:
    """Whether a count has reached its limit; 0 and None mean no limit."""
    return bool(limit) and count >= (limit or 0)


def largest(upload: int) -> int:
    """Return how many bytes the message of an upload may have; ``upload`` is the largest upload in bytes."""
    return upload + ENVELOPE


def memory() -> int:
    """Return how many bytes of memory this process and its kernels may have."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for path in _CGROUPS:
        with suppress(OSError, ValueError):
            found.append(int(Path(path).read_text()))
    return min(found, default=8 * 2**30)


def descriptors(*, at_most: bool = False) -> int:
    """Return how many descriptors this process may have; with ``at_most``, as many as it may raise its limit to."""
    try:
        import resource  # Windows does not have it
    except ImportError:
        return 2 * WANTED_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = hard if at_most else soft
    return WANTED_DESCRIPTORS if found == resource.RLIM_INFINITY else found


def raise_descriptors() -> None:
    """Raise the limit of descriptors as far as the system allows and pages need."""
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
    """How many pages and connections there may be, and for how long. None means that the machine decides."""

    max_pages: int = PAGES
    max_pages_per_visitor: int | None = None
    max_pages_per_address: int | None = None
    max_connections: int | None = None
    quiet_timeout: float = 86_400
    idle_timeout: float = 300
    connect_timeout: float = 60
    max_upload: int = DEFAULT_LIMIT

    def found(self) -> Limits:
        """Return these limits with a number in place of each None."""
        pages = self.max_pages
        by_visitor = max(1, min(PAGES_PER_VISITOR, pages // 2)) if pages else PAGES_PER_VISITOR
        by_address = max(1, pages * 3 // 4) if pages else PAGES_PER_ADDRESS
        return replace(
            self,
            max_pages_per_visitor=_given(self.max_pages_per_visitor, by_visitor),
            max_pages_per_address=_given(self.max_pages_per_address, by_address),
            max_connections=_given(self.max_connections, max(FEWEST_CONNECTIONS, descriptors() // 2)),
        )
