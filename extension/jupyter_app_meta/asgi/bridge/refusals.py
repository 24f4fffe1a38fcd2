"""The answers to requests that do not reach tornado: refusals, and the redirect to a mount's slash."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import Receive, Scope, Send

DENIAL = "websocket.http.response"
"""The extension of a server that can send a response which refuses a handshake."""

POLICY_VIOLATION = 1008
"""The code that closes a socket before it is accepted. Servers answer 403 and do not send it."""

Refuse = Callable[[Scope, Receive, Send, int, str], Awaitable[None]]
"""Answers a request that is refused: its scope, receive and send, the status, and a sentence for the visitor."""


class Refused(Exception):
    """A request is refused with ``status``; the message is a sentence for the visitor."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


async def plain(scope: Scope, receive: Receive, send: Send, status: int, sentence: str) -> None:
    """Answer with a sentence. A handshake is refused with it if the server can send it, and otherwise with 403."""
    kind = response_kind(scope)
    if kind is None:
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    body = sentence.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else body})


async def redirect(scope: Scope, send: Send, base: str) -> None:
    """Redirect a mount's own path to the path with a slash. The query is kept."""
    query = bytes(scope.get("query_string") or b"")
    location = base.encode() + (b"?" + query if query and not set(query) & set(b"\r\n\0") else b"")
    headers = [(b"location", location), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 307, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def response_kind(scope: Scope) -> str | None:
    """Return how the messages of a response begin; None for a handshake that can only be closed."""
    if scope["type"] == "http":
        return "http.response"
    return DENIAL if DENIAL in (scope.get("extensions") or ()) else None
