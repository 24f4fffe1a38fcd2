"""A process that runs a page's cells without ZeroMQ: the template, and each child that is forked from it.

It takes its key first, then messages: cells, the claim, and what it should do when a browser connects.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import sys
import threading
import weakref
from typing import Any

from ... import wire
from ...errors import BadStamp
from .. import claims
from . import application, attaching, ending
from .ahead import rehearsal
from .ahead.reads import Reads
from .ahead.unique import Unique
from .seeds import Seeds
from .sockets import frames
from .sockets.private import Private


class Loop(asyncio.SelectorEventLoop):
    """An event loop that has nothing in the system that a child would share, apart from the pipe that wakes it."""

    def __init__(self) -> None:
        super().__init__(selectors.PollSelector())


class Process:
    """The parts of this process that the steps of a fork change."""

    def __init__(self, private: Private, lifeline: int) -> None:
        self.private, self.lifeline = private, lifeline
        self.loop = Loop()
        asyncio.set_event_loop(self.loop)
        self.seeds, self.reads, self.unique = Seeds(), Reads(), Unique()
        self.files: list[weakref.ref[Any]] = []
        self.is_child = False
        self.app: application.Application
        self.attached: Any = None
        self._is_attached = threading.Event()

    def begin(self, argv: list[str]) -> None:
        """Become a kernel."""
        self.app = application.started(self.private, self.loop, self.first_message(), argv)
        self.loop.add_reader(self.private.fileno(), self.receive)

    def first_message(self) -> dict[str, str]:
        """Return the key of this process; end it if the server has closed its end instead."""
        message = self.private.next()
        if message is None:
            os._exit(0)
        letter, parts = message
        if letter != frames.KEY:
            raise frames.BadFrames("The first message has to be the key.")
        found: dict[str, str] = json.loads(parts[0])
        return found

    def receive(self) -> None:
        """Handle the messages that have arrived; stop when the server has closed its end."""
        for letter, parts in self.private.arrived():
            self.handle(letter, parts)
        if self.private.has_ended:
            self.loop.remove_reader(self.private.fileno())
            self.loop.stop()

    def handle(self, letter: bytes, parts: list[bytes]) -> None:
        """Handle a message."""
        if letter == frames.SHELL:
            self.app.handle(parts)
        elif letter == frames.QUIET:
            self.app.iopub_socket.is_quiet = True
        elif letter == frames.VISITOR and self.is_child:
            self._take_claim(json.loads(parts[0]))
        elif letter == frames.ATTACH and self.is_child:
            self._attach(json.loads(parts[0]))

    def wait_for_visitor(self) -> None:
        """Handle messages until the visitor is known. Meanwhile the event loop stands still, as the cell that asks."""
        if not self.private.has_more():
            rehearsal.rehearse(self)
        while not claims.the_claim.is_given:
            if (message := self.private.next()) is None:
                ending.end(self)
            self.handle(*message)

    def connect(self, patience: float) -> None:
        """Wait at most this many seconds for the sockets of an ordinary kernel. Code that needs them calls this."""
        if self._is_attached.is_set():
            return
        self.tell(frames.WANTED)
        if threading.current_thread() is not threading.main_thread():
            self._is_attached.wait(patience)
            return
        while self.attached is None and (message := self.private.next(patience)) is not None:
            self.handle(*message)

    def _take_claim(self, claim: dict[str, Any]) -> None:
        header = claim["header"]
        key = wire.derive_key(self.app.session.key)
        try:
            payload = wire.verify(key, header["msg_id"], header["msg_type"], claim["stamp"])
            if header["msg_type"] == wire.CLAIM_TYPE and wire.claim(payload) == "given":
                claims.the_claim.give(wire.decode(payload), wire.grant(payload))
        except BadStamp as error:
            self.app.log.warning("A claim of this kernel was refused: %s", error)

    def _attach(self, info: dict[str, Any]) -> None:
        try:
            self.attached = self.attached or attaching.attach(self.app, info)
        except OSError as error:
            self.tell(frames.NOT_ATTACHED, (error.strerror or "").encode())
        else:
            self._is_attached.set()
            self.tell(frames.ATTACHED)

    def tell(self, *parts: bytes) -> None:
        """Tell the server something, after all that was sent before."""
        self.private.send(frames.TOLD, parts)

    def flush(self) -> None:
        """Send what the cells have printed."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
