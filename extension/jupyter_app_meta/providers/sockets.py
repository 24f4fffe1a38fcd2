"""The open WebSockets of visitors who logged in: they close when their visitor is not known any more.

A browser's socket outlives the cookie that opened it, and nothing asks a socket for a cookie again. This holds for all
sockets that the provider was asked about: those of kernels, and a Jupyter server's terminals and events as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketHandler

PAUSE = 5.0
"""Seconds between two looks at whether the visitors are still known."""

OUT = (1008, "the visitor is not logged in any more")
"""What a socket is closed with."""


class OpenSockets:
    """The sockets that were opened for visitors. ``is_current`` says whether a visitor is still known."""

    def __init__(self, is_current: Callable[[object], bool]) -> None:
        self._is_current = is_current
        self._users: WeakKeyDictionary[WebSocketHandler, object] = WeakKeyDictionary()
        self._timer: object = None

    def note(self, handler: Any, user: object) -> None:
        """Remember whose request a handler answers, if it answers by a socket."""
        if isinstance(handler, WebSocketHandler):
            self._users[handler] = user
            self._wait()

    def look(self) -> None:
        """Close each socket whose visitor is not known any more. A socket that is not open yet is looked at again."""
        for handler, user in list(self._users.items()):
            if handler.ws_connection and not self._is_current(user):
                del self._users[handler]
                handler.close(*OUT)

    def _look_again(self) -> None:
        self._timer = None
        self.look()
        self._wait()

    def _wait(self) -> None:
        if self._users and self._timer is None:
            self._timer = IOLoop.current().call_later(PAUSE, self._look_again)
