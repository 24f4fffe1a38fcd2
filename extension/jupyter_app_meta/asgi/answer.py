"""A host's answer to the GET of a handshake. It is inspected, and not sent to a client.

1. The answer that accepts a socket is the first one, has status 204 and the handshake's password, and is complete.
2. A refusing status is known as soon as the answer begins. The host may finish, but its client has gone.
"""

from __future__ import annotations

import asyncio

from .types import Message

PASSED = b"x-app-meta-handshake"
"""The header that has the password."""

GRACE = 0.1
"""How many seconds the host has to raise an error after it has answered."""


class Answer:
    """A host's answer to the GET."""

    def __init__(self, password: bytes) -> None:
        self.status = 0
        self._password = password
        self._is_ours = self._is_complete = self._was_asked = False
        self._is_known, self._has_left = asyncio.Event(), asyncio.Event()

    @property
    def has_passed(self) -> bool:
        """Whether this is the answer that accepts the socket, and it is complete."""
        return self.status == 204 and self._is_ours and self._is_complete

    @property
    def is_error(self) -> bool:
        """Whether its status refuses the socket."""
        return 400 <= self.status <= 599

    async def wait(self, task: asyncio.Task[None], limit: float) -> None:
        """Wait at most this long for the answer or the task's end, and then a moment for an error of the task."""
        known = asyncio.ensure_future(self._is_known.wait())
        try:
            await asyncio.wait({known, task}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if known.done():
                await asyncio.wait({task}, timeout=min(GRACE, limit))
        finally:
            known.cancel()

    def leave(self) -> None:
        """Act as a client that has gone."""
        self._has_left.set()

    async def receive(self) -> Message:
        """Return a request without a body, and then, when the client has gone, the message that says so."""
        if not self._was_asked:
            self._was_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self._begin(message)
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_complete = bool(self.status)
            self._is_known.set()

    def _begin(self, message: Message) -> None:
        is_first = not self.status
        self.status = int(message["status"])
        passwords = [value for name, value in message.get("headers", ()) if bytes(name).lower() == PASSED]
        self._is_ours = is_first and passwords == [self._password]
        if not self._is_ours:
            self._is_known.set()
