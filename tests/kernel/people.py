"""A real kernel whose messages are stamped for several people, as the server half does it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from jupyter_app_meta import wire
from jupyter_app_meta.model import AppMeta, SessionInfo, User
from jupyter_app_meta.policy import Policy, RawRequest

Json = dict[str, Any]

SEEN = "__import__('jupyter_app_meta').app_meta().user"
"""An expression for what the running code sees."""

SETUP = """
from jupyter_app_meta import app_meta
def who():
    user = app_meta().user
    return user and user["username"]
"""


def payload(username: str, **session: str) -> str:
    """Return the payload that a server would write for this person."""
    user = User(username=username, name=username, kind="user", assurance="provider", is_authenticated=True)
    raw = RawRequest("GET", "http://server/lab?region=emea", "http://server/", user=user)
    return wire.encode(AppMeta(Policy().request(raw), "edit", SessionInfo(client_id=f"tab-of-{username}", **session)))


class Kernel:
    """A running kernel and one client of it; each message is sent in somebody's name."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager, self.client = manager, client
        self.key = wire.derive_key(manager.session.key) or wire.derive_key(b"any") or b""

    def stamp(self, username: str, message: Json) -> Json:
        """Return the stamp of a message."""
        header = message["header"]
        return wire.Signer(self.key, payload(username)).stamp(header["msg_id"], header["msg_type"])

    def send(
        self,
        username: str | None,
        msg_type: str,
        content: Json,
        *,
        channel: str = "shell",
        stamp: Any = None,
        buffers: list[bytes] | None = None,
        **header: str,
    ) -> str:
        """Send a message in somebody's name, in nobody's, or with a stamp of the test's own."""
        message = self.client.session.msg(msg_type, content)
        message["header"].update(header)
        message["buffers"] = buffers or []
        given = stamp if stamp is not None else (self.stamp(username, message) if username else None)
        if given is not None:
            message["metadata"] = {wire.FIELD: given}
        getattr(self.client, f"{channel}_channel").send(message)
        return str(message["header"]["msg_id"])

    def start(self, username: str | None, code: str, **options: Any) -> str:
        """Send a cell and do not wait."""
        content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
        return self.send(username, "execute_request", {**content, "stop_on_error": False}, **options)

    def finish(self, msg_id: str, timeout: float = 30) -> str:
        """Wait for a message to be done and return what it printed, or its error."""
        text, deadline = "", time.monotonic() + timeout
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") != msg_id:
                self.strays.append(message)
                continue
            text += _text(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return text.strip()

    strays: list[Json] = []  # noqa: RUF012  # what other messages caused; replaced for each kernel

    def run(self, username: str | None, code: str, **options: Any) -> str:
        """Run a cell in somebody's name and return what it printed."""
        return self.finish(self.start(username, code, **options))

    def value(self, username: str | None, code: str) -> Any:
        """Run a cell that prints JSON, and return it."""
        return json.loads(self.run(username, code))

    def comm(self, username: str | None, comm_id: str, data: Json, **options: Any) -> str:
        """Send a comm message, as a widget of somebody's browser does."""
        return self.send(username, "comm_msg", {"comm_id": comm_id, "data": data}, **options)

    def subshell(self) -> str:
        """Make a subshell and return its id."""
        msg_id = self.send(None, "create_subshell_request", {}, channel="control")
        while True:
            reply = self.client.get_control_msg(timeout=30)
            if reply["parent_header"].get("msg_id") == msg_id:
                return str(reply["content"]["subshell_id"])


def _text(message: Json) -> str:
    content = message["content"]
    if message["msg_type"] == "stream":
        return str(content["text"])
    if message["msg_type"] == "error":
        return f"{content['ename']}: {content['evalue']}"
    if message["msg_type"] in ("execute_result", "display_data"):
        return str(content["data"].get("text/plain", ""))
    return ""


@contextmanager
def running(
    home: Path, *arguments: str, executable: str = sys.executable, signed: bool = True
) -> Iterator[Kernel]:
    """Run a kernel of an interpreter with further arguments, such as ``--ext=jupyter_app_meta``."""
    folder = home / "kernels" / "people"
    folder.mkdir(parents=True, exist_ok=True)
    argv = [executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", *arguments]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "people", "language": "python"}))
    specs = KernelSpecManager(kernel_dirs=[str(home / "kernels")])
    manager = KernelManager(kernel_name="people", kernel_spec_manager=specs, connection_file=str(home / "people.json"))
    if not signed:
        manager.session.key = b""
    manager.start_kernel(stdout=(home / "stdout").open("wb"), stderr=(home / "stderr").open("wb"))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        kernel = Kernel(manager, client)
        kernel.strays = []
        kernel.run(None, SETUP)
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
