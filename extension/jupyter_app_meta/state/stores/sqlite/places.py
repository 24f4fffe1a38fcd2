"""Where a SQLite file lies: made for the server's account alone, and whether other machines share its file system."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .... import secret_files

MOUNTS = Path("/proc/self/mounts")
# File systems that other machines share: the memory map of SQLite's WAL does not reach over them.
REMOTE = re.compile(r"nfs\d?|cifs|smb\d?|smbfs|fuse(\..*)?|lustre|gpfs|beegfs|ceph|glusterfs|afs|9p", re.ASCII)


def make_private(path: Path) -> None:
    """Make the file, 0600, and the folders that are missing, 0700. What is there keeps its permissions."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def writable(path: Path) -> bool:
    """Return whether this process may write the file, and the folder in which SQLite keeps its journal."""
    return all(os.access(place, os.W_OK) for place in (path, path.parent))


def shared_with_others(path: Path) -> bool:
    """Return whether other accounts of the machine may read or write the file."""
    return os.name == "posix" and path.exists() and bool(path.stat().st_mode & 0o077)


def foreign(path: Path) -> str:
    """Return that the file belongs to another account, and how to fix it; empty if it does not."""
    return secret_files.foreign(path.stat(), path) if path.exists() else ""


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds the path, from a table like ``/proc/mounts``; "" if none does."""
    found, kind = -1, ""
    for line in mounts.splitlines():
        _, point, this, *_ = line.split(" ")
        # Spaces in mount points are written as \040.
        folder = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point))
        # Of two mounts at one point the later one is seen.
        if path.is_relative_to(folder) and len(folder.parts) >= found:
            found, kind = len(folder.parts), this
    return kind


def remote(path: Path) -> str:
    """Return the type of file system if other machines may share it, or "". Known on Linux only."""
    try:
        mounts = MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
    kind = file_system(path.resolve(), mounts)
    return kind if REMOTE.fullmatch(kind) else ""
