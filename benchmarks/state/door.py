"""A server extension of the benchmarks alone: kernels may also ask for state by HTTP, over a Unix socket.

The socket is ``door`` in the server's runtime folder. A question is the same JSON as on the control channel. The same
service answers it, in a thread as there.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir
from jupyter_server.serverapp import ServerApp
from tornado import httpserver, netutil, web

NAME = "door"
THREADS = 8


def _load_jupyter_server_extension(app: ServerApp) -> None:
    """Open the door."""
    assert app.web_app is not None
    routes = [("/", Door, {"settings": app.web_app.settings, "threads": ThreadPoolExecutor(THREADS)})]
    server = httpserver.HTTPServer(web.Application(routes))
    server.add_socket(netutil.bind_unix_socket(str(Path(jupyter_runtime_dir()) / NAME)))


class Door(web.RequestHandler):
    """Answers one question of one kernel."""

    def initialize(self, settings: dict[str, object], threads: ThreadPoolExecutor) -> None:
        """Take what the server's extensions share."""
        self._settings_of_server, self._threads = settings, threads

    async def post(self) -> None:
        """Answer."""
        service = getattr(self._settings_of_server["app_meta_state"], "service")  # noqa: B009  # it is an object here
        content = json.loads(self.request.body)
        kernel_id = self.request.headers["Kernel"]
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, service.answer, kernel_id, content)
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(answer))
