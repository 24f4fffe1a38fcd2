"""The kernel of a page under test: it starts with its visitor, runs one message at a time, and ends with its page."""

from __future__ import annotations

import ast
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any

from ..errors import DashboardError

Message = dict[str, Any]

BEGIN = """\
__import__("jupyter_app_meta.kernel.extension").kernel.extension.load_page(get_ipython())
__import__("jupyter_app_meta.testing").testing.fake_request(**__import__("json").loads({visitor!r})).start()
"""
"""What runs before the first cell. It leaves no name behind."""

LONGEST = 80
"""How long the path of a folder with sockets may be."""

START = 60.0
"""For how many seconds a kernel may start."""


class TooLong(Exception):
    """A cell or a callback ran for longer than it may, and was interrupted."""


class Ended(Exception):
    """The kernel has ended; the message is the end of what its process wrote."""


class Kernel:
    """A kernel that runs a notebook for one visitor. ``hear`` gets each message that the kernel publishes."""

    def __init__(self, name: str, folder: Path, hear: Callable[[Message], None]) -> None:
        self._hear = hear
        self._files = Path(tempfile.mkdtemp(prefix="app-meta-"))
        try:
            self._manager = self._started(name, folder)
        except BaseException:
            shutil.rmtree(self._files, ignore_errors=True)
            raise
        self._client = self._manager.client()
        self._client.start_channels(stdin=False, hb=False)
        try:
            self._client.wait_for_ready(timeout=START)
        except RuntimeError as error:
            said = self._last_words()
            self.close()
            raise DashboardError(f"The kernel {name} does not start: {said or error}") from error
        except BaseException:  # Ctrl-C
            self.close()
            raise

    def _started(self, name: str, folder: Path) -> Any:
        from jupyter_client.manager import KernelManager

        options: dict[str, Any] = {"connection_file": str(self._files / "kernel.json")}
        if os.name == "posix" and len(str(self._files)) < LONGEST:
            options["transport"] = "ipc"  # no port is taken
        manager: Any = KernelManager(kernel_name=name, **options)
        with (self._files / "log").open("wb") as log:
            manager.start_kernel(cwd=str(folder), stdout=log, stderr=log)
        return manager

    def visit(self, visitor: dict[str, Any]) -> None:
        """Make all that runs from now on see this visitor; raises DashboardError if the kernel cannot."""
        reply = self.execute(BEGIN.format(visitor=json.dumps(visitor)), START, silent=True)
        if reply.get("status") == "error":
            raise DashboardError(
                f"The kernel cannot have a visitor ({reply.get('ename')}: {reply.get('evalue')}). It must be a Python "
                "kernel, in whose environment jupyter-app-meta is installed."
            )

    def execute(
        self, code: str, timeout: float, silent: bool = False, sent: Callable[[str], None] = lambda _: None
    ) -> Message:
        """Run code, and return the kernel's reply. ``sent`` is called with the id of the request."""
        msg_id = self._client.execute(code, silent=silent, store_history=not silent, allow_stdin=False)
        sent(msg_id)
        return self._replied(msg_id, timeout)

    def _replied(self, msg_id: str, timeout: float) -> Message:
        self._until_idle(msg_id, timeout)
        while True:
            reply = self._next(self._client.get_shell_msg, time.monotonic() + START)
            if reply["parent_header"].get("msg_id") == msg_id:
                content: Message = reply["content"]
                return content

    def evaluate(self, expression: str) -> Message:
        """Return the value of an expression that is a JSON object."""
        wanted = {"value": f"__import__('json').dumps({expression})"}
        msg_id = self._client.execute("", silent=True, store_history=False, allow_stdin=False, user_expressions=wanted)
        found = self._replied(msg_id, START)["user_expressions"]["value"]
        value: Message = json.loads(ast.literal_eval(found["data"]["text/plain"]))
        return value

    def tell(self, comm_id: str, data: Message, timeout: float) -> None:
        """Send a widget's message as its page would, and wait until the kernel has handled it."""
        message = self._client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self._client.shell_channel.send(message)
        self._until_idle(message["header"]["msg_id"], timeout)

    def say(self, comm_id: str, data: Message) -> None:
        """Send a widget's message, and do not wait."""
        self._client.shell_channel.send(self._client.session.msg("comm_msg", {"comm_id": comm_id, "data": data}))

    def take(self) -> None:
        """Take in what the kernel has published by now, from tasks and threads too."""
        while True:
            try:
                self._hear(self._client.get_iopub_msg(timeout=0))
            except Empty:
                return

    def _until_idle(self, msg_id: str, timeout: float) -> None:
        deadline, is_late = time.monotonic() + timeout, False
        while True:
            try:
                if time.monotonic() >= deadline:  # a cell that prints without end always has one more message
                    raise TimeoutError
                message = self._next(self._client.get_iopub_msg, deadline)
            except TimeoutError:
                if is_late:
                    raise TooLong from None
                self._manager.interrupt_kernel()
                deadline, is_late = time.monotonic() + START, True
                continue
            self._hear(message)
            if message["parent_header"].get("msg_id") == msg_id and is_idle(message):
                if is_late:
                    raise TooLong
                return

    def _next(self, get: Callable[..., Message], deadline: float) -> Message:
        """Return the next message; raises TimeoutError at the deadline, and Ended."""
        while True:
            try:
                return get(timeout=min(1.0, max(0.0, deadline - time.monotonic())))
            except Empty:
                if not self._manager.is_alive():
                    raise Ended(self._last_words()) from None
                if time.monotonic() >= deadline:
                    raise TimeoutError from None

    def _last_words(self) -> str:
        try:
            return (self._files / "log").read_text("utf-8", "replace").strip()[-2000:]
        except OSError:
            return ""

    def close(self) -> None:
        """End the kernel. Idempotent."""
        if self._files.exists():
            self._client.stop_channels()
            self._manager.shutdown_kernel(now=True)
            shutil.rmtree(self._files, ignore_errors=True)


def is_idle(message: Message) -> bool:
    """Whether a message says that the kernel has done what it was asked for."""
    return bool(message["msg_type"] == "status" and message["content"].get("execution_state") == "idle")
