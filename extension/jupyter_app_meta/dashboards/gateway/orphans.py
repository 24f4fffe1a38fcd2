"""The kernels that a gateway runs for this server, as files, so that the next server ends those of a killed one.

1. Each kernel has a file in the server's folder of connection files. The file's name is the kernel's id at the gateway,
   and its text is the gateway's URL.
2. The file is removed when the gateway has ended the kernel. What could not be ended is tried again.
3. A folder of a killed server is removed when no such file is left in it. A server adopts those of its own gateway.
"""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

from ...server.gateway.client import Gateway, GatewayFailed

FOLDER = "gateway"
_id = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Orphans:
    """Knows the kernels that must be ended at a gateway."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self._gateway, self._folder = gateway, folder / FOLDER
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._left: set[str] = {file.name for file in self._folder.iterdir()}

    @property
    def _log(self) -> logging.Logger:
        return self._gateway.log

    def add(self, kernel_id: str) -> None:
        """Note a kernel that was started."""
        if _id.fullmatch(kernel_id):
            (self._folder / kernel_id).write_text(self._gateway.url, encoding="utf-8")

    async def end(self, kernel_id: str) -> None:
        """End a kernel; if the gateway cannot do that now, try again later."""
        try:
            await self._gateway.end(kernel_id)
        except GatewayFailed as error:
            if kernel_id not in self._left:
                self._log.warning("A kernel could not be ended, and this is tried again: %s", error)
            self._left.add(kernel_id)
            return
        self._left.discard(kernel_id)
        if _id.fullmatch(kernel_id):
            (self._folder / kernel_id).unlink(missing_ok=True)

    async def sweep(self) -> None:
        """End what a killed server, or a gateway that was away, has left."""
        if found := tuple(self._left):
            await asyncio.gather(*(self.end(kernel_id) for kernel_id in found))
            if ended := len(found) - len(self._left):
                self._log.info("Ended %d kernels that were left at the gateway %s.", ended, self._gateway.url)


def adopt(left: Path, own: Path, url: str) -> bool:
    """Move the notes of a dead server's kernels at this gateway; return whether it has no others."""
    others = 0
    for file in _files(left):
        if url and file.read_text(encoding="utf-8") == url and _id.fullmatch(file.name):
            (own / FOLDER).mkdir(mode=0o700, exist_ok=True)
            file.rename(own / FOLDER / file.name)
        else:
            others += 1
    return not others


def has_left(folder: Path) -> bool:
    """Whether a server that ends leaves kernels at a gateway."""
    return bool(_files(folder))


def _files(folder: Path) -> list[Path]:
    place = folder / FOLDER
    return [file for file in place.iterdir() if file.is_file()] if place.is_dir() else []
