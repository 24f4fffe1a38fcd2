"""A kernel client over a private stream socket, in place of ZeroMQ: what nbclient needs to run the cells of a page.

1. Requests go to the kernel with one identity, ``PRIVATE``. Only replies to them come back here.
2. What the kernel publishes waits for the executor. If too much waits, no more is read: then the kernel waits.
3. Once the page is complete, what is still published is heard (errors are reported) and dropped.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import Any, cast

from jupyter_client.session import DELIM, Session
from nbclient.exceptions import DeadKernelError

from ...kernel.forks.sockets import frames
from ...server.messages.objects import Json

AT_ONCE = 256 * 1024
"""How many bytes are read at once."""

MOST = 16 * 1024 * 1024
"""How many bytes of messages may wait before reading stops."""

Hear = Callable[[list[bytes]], None]


class Channel:
    """The messages of one channel that have arrived and wait to be taken."""

    def __init__(self, client: PipeClient) -> None:
        self._client = client
        self._waiting: asyncio.Queue[tuple[Json | None, int]] = asyncio.Queue()

    async def get_msg(self, timeout: float | None = None) -> Json:
        """Return the next message; raises Empty if none came in time, DeadKernelError when no reply will come."""
        while True:
            try:
                async with asyncio.timeout(timeout):
                    message, size = await self._waiting.get()
            except TimeoutError:
                raise Empty from None
            if message is not None:
                self._client.took(size)
                return message
            if self._client.has_ended:
                self.put(None)
                raise DeadKernelError("Kernel died")
            self._client.asking.set()

    def send(self, message: Json) -> None:
        """Send a message to the kernel, on its shell channel."""
        self._client.session.send(cast(Any, self._client), message)

    def put(self, message: Json | None, size: int = 0) -> None:
        """Let a message wait; None stands for the question for the visitor, or for the kernel's end."""
        self._waiting.put_nowait((message, size))


class PipeClient:
    """The server's end of the private socket of one kernel."""

    def __init__(self, end: socket.socket, key: bytes, log: logging.Logger, hear: Hear) -> None:
        end.setblocking(False)
        self.session, self.log = Session(key=key), log
        self.shell_channel, self.iopub_channel = Channel(self), Channel(self)
        self.asking, self.wanted = asyncio.Event(), asyncio.Event()
        self.attached: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.running = ""
        self.is_idle = self.has_ended = self.is_closed = self.is_quiet = False
        self._goes_on = ""
        self._end, self._decoder, self._hear = end, frames.Decoder(), hear
        self._outgoing, self._size, self._reads = bytearray(), 0, False
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._read_on()

    def write(self, letter: bytes, *parts: bytes | memoryview) -> None:
        """Send parts to the kernel."""
        if self.is_closed or self.has_ended:
            return
        is_first = not self._outgoing
        self._outgoing += frames.encode(letter, parts)
        if is_first:
            self._flush()

    def write_json(self, letter: bytes, value: object) -> None:
        """Send a value to the kernel."""
        self.write(letter, json.dumps(value).encode())

    def send_multipart(self, parts: list[Any], **options: Any) -> None:
        """Send a message that a Session has packed, which takes this for a ZeroMQ socket."""
        self.write(frames.SHELL, frames.PRIVATE, *parts[parts.index(DELIM) :])

    def execute(self, code: str, *, store_history: bool = True, stop_on_error: bool = True) -> str:
        """Ask the kernel to run a cell, unless it goes on with one (``goes_on_with``); return the id of the request."""
        if self._goes_on:
            found, self._goes_on = self._goes_on, ""
            return found
        content = {"code": code, "silent": False, "store_history": store_history, "stop_on_error": stop_on_error}
        content |= {"user_expressions": {}, "allow_stdin": False}
        message = self.session.msg("execute_request", content)
        self.running = str(message["header"]["msg_id"])
        self.shell_channel.send(message)
        return self.running

    def goes_on_with(self, msg_id: str) -> None:
        """Take this for the request of the next cell: the kernel has begun to run it."""
        self.running = self._goes_on = msg_id

    async def answer(self) -> None:
        """Wait until the kernel has answered a request."""
        message = self.session.msg("kernel_info_request")
        answered = self._asked[message["header"]["msg_id"]] = self._loop.create_future()
        try:
            self.shell_channel.send(message)
            await answered
        finally:
            del self._asked[message["header"]["msg_id"]]

    async def is_alive(self) -> bool:
        """Whether the kernel can still be heard."""
        return not (self.has_ended or self.is_closed)

    def took(self, size: int) -> None:
        """Note that a message was taken."""
        self._size -= size
        if self._size <= MOST:
            self._read_on()

    def be_quiet(self) -> None:
        """Drop what is published from now on, and what still waits: the page is complete."""
        self.is_quiet, self._size = True, 0
        self.iopub_channel = Channel(self)
        self._read_on()

    def stop_channels(self) -> None:
        """Close the socket: that ends the kernel."""
        if self.is_closed:
            return
        self.is_closed = True
        self._pause()
        self._loop.remove_writer(self._end.fileno())
        self._end.close()
        self._tell_ended()

    def _read_on(self) -> None:
        if not (self._reads or self.is_closed or self.has_ended):
            self._reads = True
            self._loop.add_reader(self._end.fileno(), self._readable)

    def _pause(self) -> None:
        if self._reads:
            self._reads = False
            self._loop.remove_reader(self._end.fileno())

    def _readable(self) -> None:
        try:
            data = self._end.recv(AT_ONCE)
            messages = self._decoder.feed(data)
        except BlockingIOError:
            return
        except (OSError, frames.BadFrames):
            data, messages = b"", []
        for letter, parts in messages:
            self._take(letter, parts)
        if not data:
            self._pause()
            self._tell_ended()
        elif self._size > MOST:
            self._pause()

    def _tell_ended(self) -> None:
        self.has_ended = True
        self.shell_channel.put(None)  # an error on both channels at once would be one that is never retrieved
        if not self.attached.done():
            self.attached.set_result("its process has ended")

    def _take(self, letter: bytes, parts: list[bytes]) -> None:
        if letter == frames.TOLD:
            self._told(*parts)
            return
        try:
            _, packed = self.session.feed_identities(parts)
            message = self.session.deserialize(packed)
        except Exception as error:  # whatever a notebook's code sent here
            self.log.warning("A kernel's message could not be read (%s).", type(error).__name__)
            return
        size = sum(map(len, parts))
        if letter == frames.SHELL:
            self._take_reply(message, size)
        elif letter == frames.IOPUB:
            self._take_published(message, parts, size)

    def _told(self, what: bytes = b"", why: bytes = b"", *_: bytes) -> None:
        if what == frames.ASKING:
            self.iopub_channel.put(None)
        elif what == frames.WANTED:
            self.wanted.set()
        elif what in (frames.ATTACHED, frames.NOT_ATTACHED) and not self.attached.done():
            self.attached.set_result(why.decode("utf-8", "replace"))

    def _take_reply(self, message: Json, size: int) -> None:
        parent: Json = message["parent_header"]
        cause = parent.get("msg_id")
        if isinstance(cause, str) and (asked := self._asked.get(cause)):
            if not asked.done():
                asked.set_result(None)
            return
        if cause == self.running:
            self.running = ""
            if not self.attached.done():
                self._end_cell(message)
        self._size += size
        self.shell_channel.put(message, size)

    def _end_cell(self, reply: Json) -> None:
        """Tell the executor that a cell has ended: nothing overtakes a reply here, so it need not wait for "idle"."""
        self.iopub_channel.put({**reply, "msg_type": "status", "content": {"execution_state": "idle"}})

    def _take_published(self, message: Json, parts: list[bytes], size: int) -> None:
        if message["msg_type"] == "status":
            content: Json = message["content"]
            self.is_idle = content.get("execution_state") == "idle"
        with suppress(Exception):  # it was read above: what fails now is the report of an odd error
            self._hear(parts)
        if not self.is_quiet:
            self._size += size
            self.iopub_channel.put(message, size)

    def _flush(self) -> None:
        try:
            sent = self._end.send(self._outgoing)
            del self._outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:  # the kernel has ended; the reader notices
            self._outgoing.clear()
        if self._outgoing:
            self._loop.add_writer(self._end.fileno(), self._flush)
        else:
            self._loop.remove_writer(self._end.fileno())
