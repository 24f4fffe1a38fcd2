"""Flights: messages that pages have sent and kernels have not answered, bounded by page and visitor. Pure, no I/O.

1. A busy kernel keeps messages in its own memory and the server's. Its status "idle" names a message that is done.
2. A kernel takes the messages of one socket and channel in order. So "idle" also answers those before it: while an
   asynchronous cell runs, ipykernel sends no status for the callbacks that it lets through.
3. "idle" counts if it is heard on the socket that sent the message. Once that socket is closed, any socket of the page
   counts.
4. "idle" may be published between two sockets, when no socket hears it. A kernel takes messages of several sockets in
   turn. So a closed socket's messages are done when the kernel has done more messages of one other socket, sent
   since, than the closed one has under way.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .incoming import Envelope, Refused

SPARE = 1024 * 1024
"""Extra bytes for the requests with which a page connects, so that it can reconnect to a busy kernel."""

LEFT = 64
"""Of so many closed sockets and channels it is noted what the kernel does after them. A page has hardly more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most bytes under way for a page and for a visitor, messages a second, and comms that a page opens."""

    page: int
    visitor: int
    burst: int = 2000
    rate: float = 200.0
    comms: int = 1000

    @classmethod
    def of(cls, largest: int) -> Limits:
        """Return the limits for a server whose largest message has ``largest`` bytes."""
        page = 2 * largest + 16 * 1024 * 1024
        return cls(page, 4 * page)


@dataclass(slots=True, weakref_slot=True, eq=False)
class Account:
    """The bytes that one visitor's pages have under way."""

    bytes: int = 0


@dataclass(slots=True, eq=False)
class _Lane:
    """The messages of one socket and channel, oldest first, by their ids: their cost and number.

    Once the socket is closed, it is None. ``since`` is the number of the page's last message by then, and ``turns``
    says how many later ones of each other lane the kernel has done.
    """

    socket: object | None
    channel: str
    waiting: dict[str, tuple[int, int]] = field(default_factory=dict)
    since: int = 0
    turns: Counter[_Lane] = field(default_factory=Counter)


class Flight:
    """The messages that one page has under way."""

    def __init__(self, limits: Limits, account: Account, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._account, self._clock = limits, account, clock
        self._lanes: dict[tuple[int, str], _Lane] = {}
        self._found: dict[str, _Lane] = {}
        self._left: deque[_Lane] = deque(maxlen=LEFT)
        self._number = 0
        self._comms: set[str] = set()
        self._tokens, self._since = float(limits.burst), clock()
        self.bytes = 0

    def begin(self, socket: object, envelope: Envelope, more: int = 0) -> None:
        """Note a message that is passed on; ``more`` is the size of its stamp. Raises Refused beyond a limit."""
        self._take(1)
        cost = envelope.cost + more
        if envelope.msg_id in self._found:
            raise Refused(1008, "a message with the id of another message")
        spare = SPARE if envelope.msg_type.endswith("_info_request") else 0
        if self.bytes + cost > self._limits.page + spare or self._account.bytes + cost > self._limits.visitor + spare:
            raise Refused(1008, "more than the kernel can take")
        self._count_comms(envelope)
        lane = self._lanes.setdefault((id(socket), envelope.channel), _Lane(socket, envelope.channel))
        self._number += 1
        lane.waiting[envelope.msg_id] = cost, self._number
        self._found[envelope.msg_id] = lane
        self._add(cost)

    def end(self, msg_id: str, socket: object | None) -> None:
        """Note that a socket heard that a message is done; None if the page has no socket."""
        lane = self._found.get(msg_id)
        if lane is None or lane.socket not in (None, socket):
            return
        for earlier in tuple(lane.waiting):
            self._take_turn(lane, self._forget(lane, earlier))
            if earlier == msg_id:
                return

    def _forget(self, lane: _Lane, msg_id: str) -> int:
        """Forget a message that is done; return its number."""
        cost, number = lane.waiting.pop(msg_id)
        del self._found[msg_id]
        self._add(-cost)
        return number

    def _take_turn(self, lane: _Lane, number: int) -> None:
        """Forget what closed sockets have sent as soon as the kernel must have taken all of it."""
        for left in tuple(self._left):
            if left.channel == lane.channel and number > left.since:
                if len(left.turns) >= LEFT:  # it waits for long, and sockets have come and gone: they are counted anew
                    left.turns.clear()
                left.turns[lane] += 1
            if left.turns[lane] > len(left.waiting):
                self._left.remove(left)
                for msg_id in tuple(left.waiting):
                    self._forget(left, msg_id)

    def lose(self, size: int) -> None:
        """Note a message of this size that is read but not passed on; raises Refused beyond the rate.

        A burst of such messages has at most as many bytes as a page may have under way.
        """
        self._take(1 + size * self._limits.burst / self._limits.page)

    def closed(self, comm_id: str) -> None:
        """Note that the kernel has closed a comm."""
        self._comms.discard(comm_id)

    def leave(self, socket: object) -> None:
        """Note that a socket is closed; its messages are still under way."""
        for key in [key for key in self._lanes if key[0] == id(socket)]:
            left = self._lanes.pop(key)
            left.socket, left.since = None, self._number
            if left.waiting:
                self._left.append(left)

    def close(self) -> None:
        """Note that the kernel has ended: no message is under way any more."""
        self._lanes.clear()
        self._found.clear()
        self._left.clear()
        self._add(-self.bytes)

    def _take(self, tokens: float) -> None:
        now = self._clock()
        self._tokens = min(self._limits.burst, self._tokens + (now - self._since) * self._limits.rate) - tokens
        self._since = now
        if self._tokens < 0:
            raise Refused(1008, "more messages than the kernel can take")

    def _count_comms(self, envelope: Envelope) -> None:
        if envelope.comm_id is None or envelope.msg_type == "comm_msg":
            return
        if envelope.msg_type == "comm_close":
            self.closed(envelope.comm_id)
        elif len(self._comms) >= self._limits.comms:
            raise Refused(1008, "more comms than a page may open")
        else:
            self._comms.add(envelope.comm_id)

    def _add(self, cost: int) -> None:
        self.bytes += cost
        self._account.bytes += cost
