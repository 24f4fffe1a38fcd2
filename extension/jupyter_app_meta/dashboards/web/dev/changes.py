"""The route that a page of ``serve --dev`` asks once a second: which version the files beside its notebook are."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tornado import web

from ..kernels import KernelRoute
from . import bar

WATCHED = {".ipynb", ".py", ".md", ".toml", ".yaml", ".json", ".csv", ".css", ".html", ".js"}
MOST = 2000
"""How many files are looked at: those in the notebook's folder and in the folders in it."""


def version(folder: Path) -> str:
    """Return a text that changes when one of the files changes, appears or vanishes."""
    digest = hashlib.sha256()
    for line in sorted(islice(_files(folder), MOST)):
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[str]:
    for pattern in ("*", "*/*"):
        for path in folder.glob(pattern):
            hidden = any(part.startswith((".", "_")) for part in path.relative_to(folder).parts[:-1])
            if path.suffix in WATCHED and not hidden and not path.name.startswith("."):
                try:
                    found = path.stat()
                except OSError:
                    continue
                yield f"{path}\0{found.st_mtime_ns}\0{found.st_size}\n"


class ChangesHandler(KernelRoute):
    """Tells the author's page of its kernel which version the files are. On any other server it does not exist."""

    @web.authenticated
    async def get(self, kernel_id: str) -> None:
        """Answer with the version."""
        if not bar.is_shown(self):
            raise web.HTTPError(404)
        visit = await self.visit(kernel_id)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/plain")
        await self.finish(await asyncio.to_thread(version, visit.notebook.parent))
