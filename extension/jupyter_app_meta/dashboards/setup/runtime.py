"""The folder of a server's sockets and kernel keys. Its path is short, and it is removed when the server ends.

1. A socket's path has at most 103 characters, so a long TMPDIR is not used. If no folder is short enough, kernels are
   reached by TCP, and the log says so.
2. A killed server leaves its folder behind. The account's next server removes the folder: a lock tells that its server
   has ended, even if another process has its process id now.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import DashboardError
from ..gateway import orphans

try:
    import fcntl
except ImportError:  # on Windows, folders of killed servers stay
    fcntl = None  # type: ignore[assignment]  # the code below checks for None

PREFIX = "app-meta-"
LOCK = "server.lock"

LONGEST = 50
"""With a longer folder, the path of a kernel's socket would not fit into the system's 103 characters."""


@contextmanager
def folder(log: logging.Logger, gateway: str = "") -> Iterator[Path]:
    """Remove the folders of dead servers, and yield a new one that only this account can read; remove it in the end.

    A server whose kernels run at this gateway takes over the kernels that a killed one has left there.
    """
    place = parent()
    made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    lock = _lock(made)
    _sweep(place, made, gateway, log)
    if os.name == "posix" and len(str(made)) >= LONGEST:
        log.warning(
            "%s is too long for sockets: kernels are reached by TCP on this machine. Set TMPDIR to a shorter folder.",
            made,
        )
    try:
        yield made
    finally:
        if not orphans.has_left(made):  # else the next server ends what is left, and removes the folder
            shutil.rmtree(made, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def parent() -> str:
    """Return where the folder is made: in the first place that is short enough, or else in Python's own choice.

    Raises DashboardError if this account cannot write in any of them.
    """
    further: tuple[str, ...] = (os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp")  # noqa: S108  # mkdtemp makes it private
    try:
        own = tempfile.gettempdir()
    except FileNotFoundError:  # Python has tried to write a file, even in the last two places
        own, further = "", further[:1]
    short = (place for place in (own, *further) if place and len(place) + len(PREFIX) + 9 < LONGEST)
    found = next((place for place in short if os.access(place, os.W_OK | os.X_OK)), own)
    if not found:
        tried = dict.fromkeys(filter(None, (os.environ.get("TMPDIR"), *further, "/tmp", "/var/tmp")))  # noqa: S108  # as above
        raise DashboardError(
            f"The sockets and keys of kernels need a folder, and this account cannot write in {', '.join(tried)}. "
            "Set TMPDIR to a folder in which it can."
        )
    return found


def _lock(made: Path) -> int | None:
    """Hold a lock as long as this process lives. The lock's file gets its name only after it is locked."""
    if fcntl is None:
        return None
    draft = made / f".{LOCK}"
    held = os.open(draft, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    draft.rename(made / LOCK)
    return held


def _sweep(parent: str, own: Path, gateway: str, log: logging.Logger) -> None:
    if fcntl is None:
        return
    for left in Path(parent).glob(f"{PREFIX}*"):
        with suppress(OSError):  # it belongs to another account, or its server still runs
            if left == own or left.is_symlink() or left.stat().st_uid != os.getuid():
                continue
            held = os.open(left / LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not orphans.adopt(left, own, gateway):
                    continue  # a server of the other gateway needs it
                shutil.rmtree(left, ignore_errors=True)
                log.info("Removed %s, which a killed server had left behind.", left)
            finally:
                os.close(held)
