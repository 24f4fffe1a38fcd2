"""A server extension: one server that has plain kernel sockets beside the stamped ones.

    …/channels?session_id=…                     as the server is configured: stamped
    …/channels?session_id=…&socket=plain        the connection class that it would have without us
    …/channels?session_id=…&socket=nodelay      the same, with TCP_NODELAY as stamped ones have it

``GET /benchmarks/memory`` says how much memory the server uses.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
from functools import lru_cache
from tempfile import TemporaryFile
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from tornado import web

MALLINFO = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


def _load_jupyter_server_extension(app: ServerApp) -> None:
    """Let a connection's URL choose its class."""
    KernelWebsocketHandler.kernel_websocket_connection_class = property(_wanted)  # type: ignore[method-assign,assignment]  # its seam
    assert app.web_app is not None
    app.web_app.add_handlers(".*$", [(f"{app.base_url}benchmarks/memory", MemoryHandler)])


def _wanted(handler: KernelWebsocketHandler) -> type:
    stamped: type = handler.settings["kernel_websocket_connection_class"]
    match handler.get_query_argument("socket", "stamped"):
        case "plain":
            return _plain(stamped)
        case "nodelay":
            return _nodelay(_plain(stamped))
        case _:
            return stamped


def _plain(stamped: type) -> type:
    plain: type = stamped.__bases__[-1]
    assert hasattr(stamped, "app_meta_context")
    assert not hasattr(plain, "app_meta_context")
    return plain


@lru_cache
def _nodelay(plain: Any) -> type:
    def connect(self: Any) -> Any:
        self.websocket_handler.set_nodelay(True)
        return plain.connect(self)

    made: type = type(plain)(plain.__name__, (plain,), {"__module__": plain.__module__, "connect": connect})
    return made


class MemoryHandler(APIHandler):
    """The server's memory in bytes, garbage not counted."""

    @web.authenticated
    def get(self) -> None:
        """Answer what the allocators have handed out."""
        gc.collect()
        self.finish({"in_use": _malloc() + _pymalloc()})


class _Mallinfo(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_size_t) for name in MALLINFO)


def _malloc() -> int:
    """Return the bytes that malloc has handed out; needs glibc 2.33 or newer."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo
    info = mallinfo2()
    return int(info.uordblks) + int(info.hblkhd)


def _pymalloc() -> int:
    """Return the bytes of Python's small objects; CPython tells them on stderr only."""
    stderr = os.dup(2)
    with TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            sys._debugmallocstats()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        file.seek(0)
        found = re.search(r"# bytes in allocated blocks\s*=\s*([\d,]+)", file.read().decode())
    assert found
    return int(found[1].replace(",", ""))
