"""The links of one server, one for each kernel that has received a grant.

1. A link is opened at the kernel's first grant, and closed when the kernel has ended. A kernel keeps the name of its
   link, so grants from before a restart lead to the new socket.
2. A kernel that has another process or other ports gets a new socket. If that fails, it is tried again.
3. A kernel of a dashboard behind a gateway knows this server by one name only, that of the connection to the gateway.
   The kernel's manager has that name, and it is the link's.
4. A kernel behind a gateway of a server of notebooks has a link while an editor is connected to it or it is busy: a
   gateway does not cull a kernel that is connected.
5. A kernel may be promised a link before it has a control channel. It has the link's name at once, and the link as soon
   as it has the channel and a grant is made, until the promise is taken back.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from tornado.ioloop import IOLoop

from ...state import messages
from ..protocols import LINK
from .control import has_control, is_remote
from .leaving import Leaving
from .link import Link, Office
from .processes import Process
from .work import Content

PERIOD = 1.0
"""Seconds between two looks at the kernels."""


def new_name(patience: float) -> str:
    """Return a name for a link that no other code can guess; its kernel waits ``patience`` seconds for an answer."""
    return messages.link_name(secrets.token_hex(16), patience)


class Links:
    """Opens and closes links; ``kernel`` returns the manager of the kernel with an id, or None."""

    def __init__(self, office: Office, kernel: Callable[[str], Any | None]) -> None:
        self._office, self._kernel = office, kernel
        self._links: dict[str, Link] = {}
        self._names: dict[str, str] = {}
        self._promised: set[str] = set()
        self._resting: dict[str, Process] = {}
        self._leaving = Leaving(self.rest, office.log)
        self._missed: dict[str, dict[str, Content]] = {}
        self._loop: IOLoop | None = None
        self._next: object = None

    @property
    def tally(self) -> Mapping[str, int]:
        """How many questions were answered, by result."""
        return self._office.tally

    @property
    def page_threads(self) -> Executor:
        """The threads that answer questions about pages."""
        return self._office.pages

    def __len__(self) -> int:
        return len(self._links)

    def name(self, kernel_id: str) -> str | None:
        """Return the name of a kernel's link, which is open from now on; None if the kernel cannot have one."""
        if (link := self._links.get(kernel_id)) and link.is_over:
            self._links.pop(kernel_id).close()
        if kernel_id not in self._links and not self._open(kernel_id) and kernel_id not in self._promised:
            return None
        self._leaving.end(kernel_id)
        return self._names[kernel_id]

    def leave(self, kernel_id: str) -> None:
        """Let the link of a kernel behind a gateway rest once the kernel is idle: its last editor has left."""
        if kernel_id in self._links and is_remote(self._kernel(kernel_id)):
            self._leaving.begin(kernel_id)

    def rest(self, kernel_id: str) -> None:
        """Close the link of a kernel until its name is asked for. What the kernel was not told is told then."""
        if link := self._links.pop(kernel_id, None):
            self._resting[kernel_id] = link.process
            link.close()

    def promise(self, kernel_id: str) -> None:
        """Give a kernel a link as soon as it can have one, and the link's name now."""
        self._promised.add(kernel_id)
        self._names[kernel_id] = new_name(self._office.timeout)

    def forget(self, kernel_id: str) -> None:
        """Take a promise back, because the kernel has ended."""
        self._promised.discard(kernel_id)
        if kernel_id not in self._links:
            self._names.pop(kernel_id, None)

    def send(self, kernel_id: str, content: Content, later: tuple[str, Content] | None = None) -> None:
        """Send an event to a kernel that has a link, unless the link rests, or the kernel does not take what was sent.

        Then ``later``, a name and an event, is sent as soon as the kernel takes events again: once for each name.
        """
        if (link := self._links.get(kernel_id)) is None and kernel_id not in self._resting:
            return
        if link and not link.is_behind:
            link.send(messages.EVENT, content)
        elif later:
            self._missed.setdefault(kernel_id, {})[later[0]] = later[1]

    def send_soon(self, kernel_id: str, content: Content) -> None:
        """Send an event, from any thread."""
        if self._loop is not None:
            self._loop.add_callback(self.send, kernel_id, content)

    def call_soon(self, seconds: float, function: Callable[[], None]) -> bool:
        """Call a function on the loop after so many seconds, from any thread. False: no kernel had a link yet."""
        if (loop := self._loop) is None:
            return False
        loop.add_callback(loop.call_later, seconds, function) if seconds else loop.add_callback(function)
        return True

    def close(self) -> None:
        """Close all links."""
        if self._loop is not None and self._next is not None:
            self._loop.remove_timeout(self._next)
        self._next = None
        self._leaving.close()
        for kernel_id in tuple(self._links):
            self._close(kernel_id)

    def _open(self, kernel_id: str) -> bool:
        kernel = self._kernel(kernel_id)
        if kernel is None or not has_control(kernel):
            return False
        given: str | None = getattr(kernel, LINK, None)
        name = self._names[kernel_id] = given or self._names.get(kernel_id) or new_name(self._office.timeout)
        if self._next is None:
            self._loop = IOLoop.current()
            self._next = self._loop.call_later(PERIOD, self._look)
        link = self._links[kernel_id] = Link(self._office, kernel_id, kernel, name)
        self._compare(kernel_id, self._resting.pop(kernel_id, link.process), link.process)
        return True

    def _compare(self, kernel_id: str, before: Process, now: Process) -> None:
        """Forget what the last process of a kernel watched whose link rested, if the kernel has another."""
        if now.is_another_than(before):
            self._missed.pop(kernel_id, None)
            self._office.service.restarted(kernel_id)

    def _look(self) -> None:
        """Close the links of kernels that have ended, and open those anew whose kernels have restarted."""
        self._next = None
        for kernel_id in tuple(self._names):
            try:
                self._look_at(kernel_id)
            except Exception as error:  # of one kernel, at this moment: the others, and the next look, must not suffer
                self._office.log.warning("jupyter-app-meta: a kernel has no link now (%s).", type(error).__name__)
        if self._names and self._loop is not None and self._next is None:
            self._next = self._loop.call_later(PERIOD, self._look)

    def _look_at(self, kernel_id: str) -> None:
        kernel, link = self._kernel(kernel_id), self._links.get(kernel_id)
        if kernel is None and kernel_id in self._promised:
            return
        if kernel is None:
            self._close(kernel_id)
            del self._names[kernel_id]
            self._resting.pop(kernel_id, None)
            self._leaving.end(kernel_id)
            with suppress(RuntimeError):  # the server ends, and its threads have
                self._office.threads.submit(self._office.service.ended, kernel_id)
        elif link is None and kernel_id in self._resting:
            before, self._resting[kernel_id] = self._resting[kernel_id], Process.of(kernel)
            self._compare(kernel_id, before, self._resting[kernel_id])
        elif link is None:
            self._open(kernel_id)
        elif Process.of(kernel).is_another_than(link.process):
            self._close(kernel_id)
            self._office.service.restarted(kernel_id)
            self._open(kernel_id)
        elif kernel_id in self._missed and not link.is_behind:
            for content in self._missed.pop(kernel_id).values():
                link.send(messages.EVENT, content)

    def _close(self, kernel_id: str) -> None:
        self._missed.pop(kernel_id, None)
        if link := self._links.pop(kernel_id, None):
            link.close()
