"""Pages whose kernels are forked, and the processes behind them."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import psutil
from harness import Server
from stage import Opened, eventually, visit


def ready(server: Server) -> None:
    """Wait until all templates are ready, or are known not to be."""
    http = server.visitor().http
    eventually(lambda: http.get("healthz?ready").status_code == 200, 120)


def opened_how(server: Server, person: str, path: str, **query: str) -> tuple[Opened, str]:
    """Open a page; return it and how its kernel began, from the access log."""

    def starts() -> list[str]:
        return re.findall(rf" page 200 {person} {path} \d+ms (\w+)$", server.log, re.MULTILINE)

    before = len(starts())
    opened = visit(server, person, path, **query)
    return opened, eventually(lambda: starts()[before:])[0]


def forked(server: Server, person: str, path: str, **query: str) -> Opened:
    """Open a page whose kernel is forked, as soon as its template is ready."""

    def opened() -> list[Opened]:
        made, how = opened_how(server, person, path, **query)
        if how == "forked":
            return [made]
        made.close()
        return []

    return eventually(opened, 240)[0]  # the template has a low priority while visitors wait for cold kernels


def lives(process: int) -> bool:
    """Whether a process has not ended; its parent may not have waited for it yet."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    return False


def inhabitants(folder: Path) -> list[int]:
    """Return the processes that run in a notebook's folder."""
    home = str(folder.resolve())
    return [each.pid for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == home and lives(each.pid)]
