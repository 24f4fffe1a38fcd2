"""What waits for one page: commands of its code, and cookies that the page's script fetches. The loop uses it.

1. A command goes to the page's sockets. While the page is made, it has none: then the command is written between two
   cells. While the page is away, the last ``MOST`` commands wait. So do those that no socket took.
2. The script is told a ticket, and never the cookie. A ticket is good for one answer of the server, to the visitor of
   this page.
3. Each change of the query adds to the page's address. A change that would make it longer than ``LONGEST`` is dropped.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ...state.live.allowance import Allowance
from ...state.paging.addresses import with_query
from ...state.paging.operations import Command, Redirect, SetCookie, SetQuery, SetTitle

MOST, TICKETS = 50, 20
LONGEST = 8000
"""How many characters the address of a page may have after a change of its query. Proxies refuse longer ones."""

RATE, BURST = 20, 50
"""How many commands code may send in a second, and at once."""

Message = dict[str, Any]
Write = Callable[[list[Message]], bool]
"""Writes messages to a socket. The answer is False if the socket has not taken them, as one that is just closing."""


class Outbox:
    """The commands and cookies of one page."""

    __slots__ = ("_loop", "_nudge", "_rewrite", "_tickets", "_waiting", "_writers", "address", "allowance")

    def __init__(self) -> None:
        self.address = ""
        self.allowance = Allowance(RATE, BURST)
        self._waiting: deque[Message] = deque(maxlen=MOST)
        self._tickets: dict[str, SetCookie] = {}
        self._writers: dict[object, Write] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nudge: Callable[[], object] = lambda: None
        self._rewrite: Callable[[Mapping[str, tuple[str, ...]]], object] = lambda values: None

    def begin(
        self, nudge: Callable[[], object], rewrite: Callable[[Mapping[str, tuple[str, ...]]], object], address: str
    ) -> None:
        """Take commands from now on, in this loop, for a page with this address.

        ``nudge`` is called when a command waits for the page that is made, ``rewrite`` with each change of the query.
        """
        self._loop, self._nudge, self._rewrite = asyncio.get_running_loop(), nudge, rewrite
        self.address = address

    def fits(self, change: SetQuery) -> bool:
        """Whether the address stays short enough after a change; any thread may ask."""
        return len(with_query(self.address, change.values)) <= max(LONGEST, len(self.address))

    def put_soon(self, command: Command) -> None:
        """Pass a command on, from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.put, command)

    def put(self, command: Command) -> None:
        """Pass a command on."""
        if isinstance(command, SetQuery):
            if not self.fits(command):
                return
            self.address = with_query(self.address, command.values)
            self._rewrite(command.values)
        self._waiting.append(self._message(command))
        if self._writers:
            self._flush()
        else:
            self._nudge()

    def take(self) -> list[Message]:
        """Return what waits for the page, once."""
        taken = [*self._waiting]
        self._waiting.clear()
        return taken

    def attach(self, socket: object, write: Write) -> None:
        """Write commands to this socket from now on."""
        self._writers[socket] = write
        self._flush()

    def detach(self, socket: object) -> None:
        """Write no more commands to this socket. Idempotent."""
        self._writers.pop(socket, None)

    def redeem(self, ticket: object) -> SetCookie | None:
        """Return the cookie of a ticket, once."""
        return self._tickets.pop(ticket, None) if isinstance(ticket, str) else None

    def _flush(self) -> None:
        if self._waiting:
            messages = self.take()
            taken = [write(messages) for write in tuple(self._writers.values())]
            if not any(taken):
                self._waiting.extend(messages)

    def _message(self, command: Command) -> Message:
        match command:
            case SetQuery(values):
                return {"do": "query", "given": {name: [*some] for name, some in values.items()}}
            case SetTitle(title):
                return {"do": "title", "given": title}
            case Redirect(url):
                return {"do": "redirect", "given": url}
            case SetCookie():
                return {"do": "cookie", "given": self._ticket(command)}

    def _ticket(self, cookie: SetCookie) -> str:
        while len(self._tickets) >= TICKETS:
            self._tickets.pop(next(iter(self._tickets)))
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = cookie
        return ticket


def frame(messages: list[Message]) -> str:
    """Return the text of a socket that the page's script takes for itself. No message of a kernel begins like it."""
    return json.dumps({"do": messages}, separators=(",", ":"))


def markup(messages: list[Message]) -> str:
    """Return the element of a page that is still made; nothing without a message."""
    if not messages:
        return ""
    content = json.dumps(messages).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script>document.dispatchEvent(new CustomEvent("app-meta:do", {{ detail: {content} }}))</script>\n'
