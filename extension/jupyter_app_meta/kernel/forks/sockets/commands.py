"""Commands of a server to a template, and the template's answers: JSON objects in datagrams, with descriptors.

============================================  =======================================================================
the server sends ``do``                       the template answers with ``said``
============================================  =======================================================================
prepare, ``imports``: modules that cells      ready, ``files``: those on which it depends, and ``but``: why it should
will import                                   not be forked if the deployer did not say so; or refused with ``why``
fork, ``number``; a descriptor: the child's   forked, ``number``, ``pid``, and a descriptor of the process;
end of a stream socket                        or failed, ``number``, ``why``
============================================  =======================================================================

Unasked, the template says started (``pid``) when it takes cells, refused (``why``) when it finds that it can never be
forked, and ended (``pid``, ``status``) when a child has ended. When either side closes its socket, the template ends.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

LARGEST = 64 * 1024
"""How many bytes a datagram may have."""

MOST_DESCRIPTORS = 4


def send(to: socket.socket, command: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send a command or an answer. Raises OSError when the other side has closed its socket."""
    socket.send_fds(to, [json.dumps(command).encode()], descriptors)


def receive(sent: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Return the next command or answer with its descriptors; None when the other side has closed its socket.

    A socket that does not block raises BlockingIOError while nothing has arrived.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(sent, LARGEST, MOST_DESCRIPTORS)
    except ConnectionError:
        return None, []
    for number in descriptors:
        os.set_inheritable(number, False)
    return (json.loads(data) if data else None), list(descriptors)
