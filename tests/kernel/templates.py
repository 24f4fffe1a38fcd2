"""A server's side of a template and its children, as far as a test needs it: synchronous, with real processes."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from jupyter_client.session import Session
from people import Json, person

from jupyter_app_meta import wire
from jupyter_app_meta.kernel.forks import title
from jupyter_app_meta.kernel.forks.sockets import commands, frames
from jupyter_app_meta.model import AppMeta, SessionInfo

PATIENCE = 60
"""Seconds that a test waits for what has to happen."""


class Ended(Exception):
    """The process has closed its end of the socket."""


class Talk:
    """One end of a private socket, with the messages that arrived."""

    def __init__(self) -> None:
        self.own, self.theirs = socket.socketpair()
        self.own.settimeout(PATIENCE)
        self.key = uuid.uuid4().hex
        self.session = Session(key=self.key.encode())
        self.session.session = uuid.uuid4().hex
        self._decoder, self._arrived = frames.Decoder(), list[frames.Message]()
        self.id = str(uuid.uuid4())
        self.seen: list[Json] = []
        own = {"key": self.key, "session": self.session.session, "kernel_id": self.id}
        self.write(frames.KEY, json.dumps(own).encode())

    def write(self, letter: bytes, *parts: bytes) -> None:
        """Send a message to the process."""
        self.own.sendall(frames.encode(letter, parts))

    def send_multipart(self, parts: list[bytes], **given: Any) -> None:
        """Send a message of the shell channel, as a session makes it."""
        self.write(frames.SHELL, *parts)

    def read(self) -> frames.Message:
        """Return the next message; raises Ended."""
        while not self._arrived:
            try:
                data = self.own.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                raise Ended
            self._arrived += self._decoder.feed(data)
        return self._arrived.pop(0)

    def message(self) -> tuple[bytes, Json]:
        """Return the letter and the content of the next kernel message; it must be signed with this key."""
        letter, parts = self.read()
        if letter == frames.TOLD:
            return letter, {"told": parts}
        _, rest = self.session.feed_identities(parts)
        found = self.session.deserialize(rest)
        self.seen.append(found)
        return letter, found

    def told(self) -> list[bytes]:
        """Return what the process tells next, whatever it publishes before."""
        while True:
            letter, found = self.message()
            if letter == frames.TOLD:
                parts: list[bytes] = found["told"]
                return parts

    def execute(self, code: str, *, pending: bool = False, visitor: str | None = None) -> str:
        """Send a cell; return the id of its message."""
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": False}
        message = self.session.msg("execute_request", {**content, "user_expressions": {}})
        if pending:
            self._stamp(message, AppMeta(None, "run", SessionInfo(kernel_id=self.id)), "pending")
        if visitor:
            self._stamp(message, self.visit(visitor), None)
        self.session.send(self, message, ident=frames.PRIVATE)  # type: ignore[arg-type]  # it needs send_multipart only
        return str(message["header"]["msg_id"])

    def visit(self, username: str) -> AppMeta:
        """Return what a server says of a visitor of this kernel."""
        return AppMeta(person(username).request, "run", SessionInfo(kernel_id=self.id))

    def _stamp(self, message: Json, meta: AppMeta, kind: wire.Claim | None) -> None:
        header = message["header"]
        message["metadata"] = {wire.FIELD: self.stamp(header["msg_id"], header["msg_type"], meta, kind)}

    def stamp(self, msg_id: str, msg_type: str, meta: AppMeta, kind: wire.Claim | None) -> dict[str, str]:
        """Return a stamp that is signed with this kernel's key."""
        key = wire.derive_key(self.key.encode())
        assert key
        return wire.Signer(key, wire.encode(meta, claim=kind)).stamp(msg_id, msg_type)

    def claim(self, username: str, *, signer: Talk | None = None) -> None:
        """Give the kernel to a visitor."""
        header = {"msg_id": uuid.uuid4().hex, "msg_type": wire.CLAIM_TYPE}
        stamp = (signer or self).stamp(header["msg_id"], wire.CLAIM_TYPE, self.visit(username), "given")
        self.write(frames.VISITOR, json.dumps({"header": header, "stamp": stamp}).encode())

    def finish(self, msg_id: str) -> str:
        """Return what a cell printed and raised: its streams, and the names of its errors."""
        printed, missing = "", {frames.SHELL, frames.IOPUB}
        for found in self.seen:
            printed += _text(found, msg_id)
        while missing:
            letter, found = self.message()
            if letter == frames.TOLD or found["parent_header"].get("msg_id") != msg_id:
                continue
            printed += _text(found, msg_id)
            idle = found["content"].get("execution_state") == "idle"
            missing -= {letter} if letter == frames.SHELL or idle else set()
        self.seen.clear()
        return printed

    def run(self, code: str, **how: Any) -> str:
        """Run a cell, and return what it printed."""
        return self.finish(self.execute(code, **how))


def _text(message: Json, msg_id: str) -> str:
    if message["parent_header"].get("msg_id") != msg_id:
        return ""
    content = message["content"]
    if message["msg_type"] == "error":
        return f"{content['ename']}: {content['evalue']}"
    return str(content["text"]) if message["msg_type"] == "stream" else ""


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


class Child(Talk):
    """A forked kernel."""

    pid: int
    process: int

    def ended(self) -> bool:
        """Wait until the process has ended."""
        waiting = select.poll()
        waiting.register(self.process, select.POLLIN)
        return bool(waiting.poll(PATIENCE * 1000))

    def send_signal(self, number: int) -> None:
        """Send a signal to the process."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.process, number)


class Template(Talk):
    """A template, with its children."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(PATIENCE)
        lifeline, self.life = os.pipe()
        given = [self.theirs.fileno(), control.fileno(), lifeline]
        module = "jupyter_app_meta.kernel.forks.template"
        argv = [sys.executable, "-m", module, *map(str, given), "-f", title.of(self.id)]
        self.process = subprocess.Popen(
            argv, pass_fds=given, cwd=home, start_new_session=True, stdin=subprocess.DEVNULL
        )
        self.theirs.close()
        control.close()
        os.close(lifeline)
        stack.callback(self.close)
        first = self.answer()
        self.refused = first["why"] if first["said"] == "refused" else ""
        assert not self.refused or self.answer()["said"] == "started"
        self._number = 0
        self.reaped: dict[int, int] = {}

    def answer(self, *, unasked: bool = False) -> Json:
        """Return the next answer; those about children that ended are kept in ``reaped``."""
        while True:
            found, descriptors = commands.receive(self.control)
            assert found is not None, "the template has ended"
            if found["said"] == "ended":
                self.reaped[found["pid"]] = found["status"]
                if unasked:
                    return found
                continue
            return {**found, "descriptors": descriptors}

    def ask(self, code: str) -> str:
        """Run a cell until it asks for its visitor; return the id of its message."""
        msg_id = self.execute(code, pending=True)
        assert self.told() == [frames.ASKING]
        return msg_id

    def prepare(self, *imports: str) -> str:
        """Prepare the template, which imports these modules; return why it refuses, or nothing."""
        commands.send(self.control, {"do": "prepare", "imports": imports})
        found = self.answer()
        return "" if found["said"] == "ready" else str(found["why"])

    def answer_to_fork(self, child: Child) -> Json:
        """Return what the template answers when it is asked for a child."""
        self._number += 1
        self._stack.callback(child.own.close)
        commands.send(self.control, {"do": "fork", "number": self._number}, [child.theirs.fileno()])
        child.theirs.close()
        found = self.answer()
        assert found["number"] == self._number
        return found

    def fork(self) -> Child:
        """Return a new child."""
        child = Child()
        found = self.answer_to_fork(child)
        assert found["said"] == "forked"
        child.pid, [child.process] = found["pid"], found["descriptors"]
        self._stack.callback(os.close, child.process)
        self._stack.callback(_kill_group, child.pid)
        return child

    def close(self) -> None:
        """End the template and, by its lifeline, what is left of its children."""
        self.own.close()
        self.control.close()
        os.close(self.life)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()


@contextmanager
def template(home: Path) -> Iterator[Template]:
    """A template that is ready for cells."""
    with ExitStack() as stack:
        yield Template(home, stack)
