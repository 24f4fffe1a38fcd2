"""A kernel socket whose own share of a round trip is small and always the same.

A blocking TCP socket, read in one thread; a frame is searched for a few bytes, not parsed. With
``quickack`` each segment is acknowledged at once; without it the operating system delays that by
up to 40 ms, as it does for every browser.
"""

from __future__ import annotations

import socket as sockets
from collections.abc import Sequence
from select import select
from time import perf_counter_ns

from harness import Format, Json, Socket, Visitor, pack

_CONTENT = {
    "silent": False,
    "store_history": False,
    "user_expressions": {},
    "allow_stdin": False,
    "stop_on_error": True,
}
_METADATA = {
    "deletedCells": [],
    "recordTiming": False,
    "cellId": "a6c2f1de-07fb-4b0e-93a4-0b8a4a4c1f0e",
    "trusted": True,
}
_IDLE = b'"idle"'  # of a status message, whether its JSON has spaces or, by orjson, has none
_FINAL = _MASKED = 0x80
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x1, 0x2, 0x8, 0x9, 0xA


class Wire:
    """A kernel socket that times its round trips."""

    def __init__(self, socket: Socket, *, quickack: bool) -> None:
        assert socket.connection.sock is not None
        self._origin, self._tcp, self._quickack = socket, socket.connection.sock, quickack
        self._data = b""

    @classmethod
    def connect(
        cls, person: Visitor, kernel_id: str, kind: str = "stamped", *, quickack: bool = True, frames: Format = "v1"
    ) -> Wire:
        """Open a socket of one of the kinds that ``both`` knows."""
        query = "" if kind == "stamped" else f"&socket={kind}"
        return cls(person.connect(kernel_id, query=query, format=frames), quickack=quickack)

    def execute(self, code: str = "pass") -> tuple[str, int]:
        """Run code; return its message's id and the nanoseconds until its reply and its idle status."""
        return self.request("execute_request", {"code": code, **_CONTENT}, reply=b'"execute_reply"')

    def request(
        self, msg_type: str, content: Json, *, reply: bytes = b"", buffers: Sequence[bytes] = ()
    ) -> tuple[str, int]:
        """Send a message; return its id and the nanoseconds until its idle status, and its reply if it has one."""
        message = {**self._origin.message(msg_type, content, _METADATA), "buffers": list(buffers)}
        frame = _frame(pack(message, "shell", self._origin.format))
        msg_id = str(message["header"]["msg_id"])
        start = perf_counter_ns()
        self._tcp.sendall(frame)
        self.await_end(msg_id, reply)
        return msg_id, perf_counter_ns() - start

    def await_end(self, msg_id: str, reply: bytes = b"") -> None:
        """Read until the message's idle status, and its reply if it has one, have come."""
        cause, missing = msg_id.encode(), {_IDLE, reply} - {b""}
        while missing:
            data = self._receive()
            if cause in data:
                missing = {mark for mark in missing if mark not in data}

    def settle(self, quiet: float = 0.2) -> None:
        """Read until nothing has come for a while (seconds)."""
        while self._data or select([self._tcp], [], [], quiet)[0]:
            self._receive()

    def ask(self, code: str) -> str:
        """Run code and return what it prints."""
        return self._origin.run(code).text

    def close(self) -> None:
        """Close the socket as a browser tab does."""
        self._origin.close()

    def _receive(self) -> bytes:
        while True:
            head = self._read(2)
            size = head[1] & 0x7F
            if size >= 126:
                size = int.from_bytes(self._read(2 if size == 126 else 8), "big")
            payload = self._read(size)
            opcode = head[0] & 0x0F
            if opcode == _CLOSE:
                raise ConnectionError(f"closed by the server: {payload!r}")
            if opcode != _PING:
                return payload
            self._tcp.sendall(_frame(payload, _PONG))

    def _read(self, size: int) -> bytes:
        while len(self._data) < size:
            if self._quickack:
                # Not sticky: Linux falls back to delaying after a while.
                self._tcp.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_QUICKACK, 1)
            data = self._tcp.recv(65536)
            if not data:
                raise ConnectionError("the server is gone")
            self._data += data
        taken, self._data = self._data[:size], self._data[size:]
        return taken


def _frame(payload: str | bytes, opcode: int = 0) -> bytes:
    """Return a client's WebSocket frame; its mask is zero, which costs the server as much as any."""
    data = payload.encode() if isinstance(payload, str) else payload
    opcode = opcode or (_TEXT if isinstance(payload, str) else _BINARY)
    size = len(data)
    if size < 126:
        length = bytes([_MASKED | size])
    elif size < 65536:
        length = bytes([_MASKED | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([_MASKED | 127]) + size.to_bytes(8, "big")
    return b"".join((bytes([_FINAL | opcode]), length, bytes(4), data))
