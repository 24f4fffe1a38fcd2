"""Real kernels and clients whose messages are stamped for several people, as the server half does it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any, TypeVar

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from jupyter_client.session import Session

from jupyter_app_meta import wire
from jupyter_app_meta.model import AppMeta, SessionInfo, User
from jupyter_app_meta.policy import Policy, RawRequest

Json = dict[str, Any]
Manager = TypeVar("Manager", bound=KernelManager)

AWARE = "--ext=jupyter_app_meta"
"""The argument that loads the IPython extension."""

SETUP = """
from jupyter_app_meta import app_meta
def who():
    user = app_meta().user
    return user and user["username"]
"""


def person(username: str) -> AppMeta:
    """Return what a server says of a person who works in a notebook."""
    user = User(username=username, name=username, kind="user", assurance="provider", is_authenticated=True)
    raw = RawRequest("GET", "http://server/lab?region=emea", "http://server/", user=user)
    return AppMeta(Policy().request(raw), "edit", SessionInfo(client_id=f"tab-of-{username}"))


class Stamping(Session):
    """A client's session that stamps each message for the visitor of the moment, if there is one."""

    visitor: AppMeta | None = None
    stamp_key: bytes | None = None
    """What signs the stamps where it is not derived from this session's own key."""

    def msg(self, msg_type: str, *args: Any, **kwargs: Any) -> Json:
        """Return a message, stamped."""
        message: Json = super().msg(msg_type, *args, **kwargs)
        if self.visitor is not None:
            message["metadata"][wire.FIELD] = self.stamp(self.visitor, message)
        return message

    def stamp(self, visitor: AppMeta, message: Json) -> Json:
        """Return the stamp of a message that this visitor causes."""
        key = self.stamp_key or wire.derive_key(self.key or b"any")  # a kernel without a key believes none
        assert key is not None
        return wire.Signer(key, wire.encode(visitor)).stamp(message["msg_id"], message["msg_type"])


class Kernel:
    """A running kernel and one client of it; each message is sent in a person's name."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client
        self.session: Stamping = client.session
        self.strays: list[Json] = []  # what other messages caused than the one waited for
        self.patience = 90.0  # seconds that a message may take

    def stamp(self, username: str, message: Json) -> Json:
        """Return the stamp of a message."""
        return self.session.stamp(person(username), message)

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
        """Send a message in a person's name, in none, or with a stamp of the test's own."""
        self.session.visitor = person(username) if username else None
        message = self.session.msg(msg_type, content)
        message["header"].update(header)
        message["buffers"] = buffers or []
        if stamp is not None:
            message["metadata"] = {wire.FIELD: stamp}
        getattr(self.client, f"{channel}_channel").send(message)
        return str(message["header"]["msg_id"])

    def start(self, username: str | None, code: str, **options: Any) -> str:
        """Send a cell and do not wait."""
        content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
        return self.send(username, "execute_request", {**content, "stop_on_error": False}, **options)

    def finish(self, msg_id: str) -> str:
        """Wait for a message to be done and return what it printed, or its error."""
        text, deadline = "", time.monotonic() + self.patience
        while True:
            message = self._published(deadline)
            if message["parent_header"].get("msg_id") != msg_id:
                self.strays.append(message)
                continue
            text += _text(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return text.strip()

    def _published(self, deadline: float) -> Json:
        """Return what the kernel publishes next; its thread may sleep through a message, and is woken by another."""
        found: Json
        try:
            found = self.client.get_iopub_msg(timeout=min(10, max(0.1, deadline - time.monotonic())))
        except Empty:
            self.client.kernel_info()
            found = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
        return found

    def run(self, username: str | None, code: str, **options: Any) -> str:
        """Run a cell in a person's name and return what it printed."""
        return self.finish(self.start(username, code, **options))

    def value(self, username: str | None, code: str) -> Any:
        """Run a cell that prints JSON, and return it."""
        return json.loads(self.run(username, code))

    def comm(self, username: str | None, comm_id: str, data: Json, **options: Any) -> str:
        """Send a comm message, as a widget in a browser does."""
        return self.send(username, "comm_msg", {"comm_id": comm_id, "data": data}, **options)

    def subshell(self) -> str:
        """Make a subshell and return its id."""
        msg_id = self.send(None, "create_subshell_request", {}, channel="control")
        while True:
            reply = self.client.get_control_msg(timeout=90)
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


def managed(kind: type[Manager], home: Path, name: str, *arguments: str) -> Manager:
    """Return a manager, whose client stamps, of a kernel with further arguments, such as ``AWARE``."""
    folder = home / "kernels" / name
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", *arguments]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name, "language": "python"}))
    return kind(
        kernel_name=name,
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(folder.parent)]),
        connection_file=str(home / "connection.json"),
        session=Stamping(),
        transport="ipc" if sys.platform == "linux" else "tcp",  # a free port may be taken before the kernel takes it
    )


@contextmanager
def running(home: Path, *arguments: str, signed: bool = True) -> Iterator[Kernel]:
    """Run a kernel with further arguments, such as ``AWARE``; one that is not signed has no key."""
    manager = managed(KernelManager, home, "people", *arguments)
    if not signed:
        manager.session.key = b""
    with (home / "stdout").open("wb") as stdout, (home / "stderr").open("wb") as stderr:
        manager.start_kernel(stdout=stdout, stderr=stderr)
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            kernel = Kernel(client)
            kernel.run(None, SETUP)
            yield kernel
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
