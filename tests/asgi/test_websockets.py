"""WebSockets at the border: codes, bounds, clients that leave or do not read, and what tornado asks of our class."""

from __future__ import annotations

import ast
import asyncio
import inspect
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

import jupyter_server
import pytest
import tornado
from exchange import HUNG_UP, Exchange, ask, connect, http_scope, websocket_scope
from starlette.types import Message
from tornado import web, websocket

from jupyter_app_meta.asgi.bridge import socket as module
from jupyter_app_meta.asgi.bridge.connection import Connection
from jupyter_app_meta.asgi.bridge.outbox import Outbox
from jupyter_app_meta.asgi.bridge.socket import Socket, sendable, size
from jupyter_app_meta.dashboards.web.uploads import Limited

CONNECT: Message = {"type": "websocket.connect"}
told: ContextVar[str] = ContextVar("told", default="nothing")


def text(message: str) -> Message:
    """Return a message of the client."""
    return {"type": "websocket.receive", "text": message}


class Echo(Limited):
    """Echoes, and keeps what it hears. As the dashboards' handler, it takes the connection's own WebSocket."""

    heard: list[Any]

    def initialize(self) -> None:
        """Hear nothing yet."""
        Echo.heard = []

    def on_message(self, message: str | bytes) -> Any:
        """Echo it."""
        Echo.heard.append(message)
        return self.write_message(message, binary=isinstance(message, bytes))

    def on_too_big(self) -> None:
        """Keep it."""
        Echo.heard.append("too big")

    def on_pong(self, data: bytes) -> None:
        """Keep it."""
        Echo.heard.append("pong")

    def on_close(self) -> None:
        """Keep it."""
        Echo.heard.append((self.close_code, self.close_reason))


async def test_client_is_served_and_its_end_is_heard() -> None:
    """Text, bytes, and the client's code; a close without a code and a line that broke have none."""
    for code, heard in ((4001, (4001, "bye")), (1005, (None, "bye")), (1006, (None, "bye")), (1012, (1012, "bye"))):
        exchange = Exchange(CONNECT, text("ü"), {"type": "websocket.receive", "bytes": b"\0", "text": None})
        serving = asyncio.ensure_future(connect(Echo, exchange))
        await exchange.until(3)
        exchange.put({"type": "websocket.disconnect", "code": code, "reason": "bye"})
        await serving
        assert exchange.sent[1:] == [
            {"type": "websocket.send", "text": "ü"},
            {"type": "websocket.send", "bytes": b"\0"},
        ]
        assert Echo.heard == ["ü", b"\0", heard]


async def test_what_came_before_a_client_left_is_handled() -> None:
    """In order, and then the end."""
    exchange = Exchange(CONNECT, text("1"), text("2"), text("3"), HUNG_UP)

    class Slow(Echo):
        async def on_message(self, message: str | bytes) -> None:
            await asyncio.sleep(0)
            Echo.heard.append(message)

    await connect(Slow, exchange)
    assert Echo.heard == ["1", "2", "3", (None, None)]


async def test_handler_that_waits_for_its_write_hears_that_the_client_left() -> None:
    """The write fails at once, although the server never takes it."""

    class Writing(Echo):
        async def open(self, *args: str, **kwargs: str) -> None:
            try:
                await self.write_message("never taken")
            except websocket.WebSocketClosedError:
                Echo.heard.append("closed")

    exchange = Exchange(CONNECT, hold="websocket.send")
    serving = asyncio.ensure_future(connect(Writing, exchange))
    await exchange.until(1)
    exchange.put(HUNG_UP)
    await serving
    assert Echo.heard == ["closed", (None, None)]


@pytest.mark.parametrize("data", ["x" * 101, "ü" * 51, b"x" * 101], ids=["text", "utf-8", "bytes"])
async def test_message_beyond_the_limit_closes_with_1009(data: str | bytes) -> None:
    """Its bytes count; the handler is told, as it is with tornado's own server, and never gets the message."""
    exchange = Exchange(CONNECT, {"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data})

    class Small(Echo):
        @property
        def max_message_size(self) -> int:
            return 100

    exchange.on_send = lambda message: exchange.put(HUNG_UP) if message["type"] == "websocket.close" else None
    await connect(Small, exchange)
    assert exchange.sent[-1] == {"type": "websocket.close", "code": 1009, "reason": "message too big"}
    assert Echo.heard == ["too big", (1009, "message too big")] and size(data) > 100


@pytest.mark.parametrize("place", ["open", "on_message", "on_pong"])
async def test_error_of_a_handler_closes_with_1011(place: str) -> None:
    """Wherever it fails, the handler is told of the end."""

    def fail(*args: Any) -> None:
        raise ZeroDivisionError

    class Failing(Echo):
        def open(self, *args: str, **kwargs: str) -> None:
            self.ping(b"")

    setattr(Failing, place, fail)
    exchange = Exchange(CONNECT, text("x"))
    exchange.on_send = lambda message: exchange.put(HUNG_UP) if message["type"] == "websocket.close" else None
    await connect(Failing, exchange)
    assert exchange.sent[-1]["code"] == 1011 and Echo.heard[-1] == (1011, None)


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        *[(None, 1000), (1000, 1000), (1003, 1003), (1007, 1007), (1014, 1014), (3000, 3000), (4999, 4999)],
        *[(code, 1011) for code in (1004, 1005, 1006, 1015, 2999, 5000, 0, -1)],
    ],
)
def test_each_close_code_is_one_that_may_be_sent(code: int | None, sent: int) -> None:
    """RFC 6455, 7.4: what no endpoint may send becomes 1011, so that closing never fails."""
    assert sendable(code) == sent


async def test_reason_is_cut_where_a_frame_ends() -> None:
    """A close frame has room for 123 bytes, and no half character."""

    class Talking(Echo):
        def open(self, *args: str, **kwargs: str) -> None:
            self.close(4000, "ü" * 100)
            self.close(4001)

    exchange = Exchange(CONNECT)
    exchange.on_send = lambda message: exchange.put(HUNG_UP) if message["type"] == "websocket.close" else None
    await connect(Talking, exchange)
    assert exchange.sent[1:] == [{"type": "websocket.close", "code": 4000, "reason": "ü" * 61}]


async def test_nothing_is_handled_or_written_after_a_close() -> None:
    """Messages of the client are dropped, and a write fails as with tornado."""

    class Closing(Echo):
        def on_message(self, message: str | bytes) -> None:
            Echo.heard.append(message)
            own = self.ws_connection
            self.close(4000)
            for socket in (self, own):
                with pytest.raises(websocket.WebSocketClosedError):
                    socket.write_message("late")  # type: ignore[union-attr]  # both are there

    exchange = Exchange(CONNECT, text("1"), text("2"), text("3"), HUNG_UP)
    await connect(Closing, exchange)
    assert Echo.heard == ["1", (4000, None)] and exchange.types == ["websocket.accept", "websocket.close"]


async def test_client_that_reads_nothing_is_closed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket ends although the server takes neither its messages nor its end."""
    monkeypatch.setattr(module, "LINGER", 0.01)

    class Flooding(Echo):
        def open(self, *args: str, **kwargs: str) -> None:
            self.write_message("never taken")
            self.close(1013)

    exchange = Exchange(CONNECT, hold="websocket.send")
    await connect(Flooding, exchange)
    assert exchange.types == ["websocket.accept"] and Echo.heard == [(1013, None)]


@pytest.mark.parametrize("hold", ["", "websocket.send"])
async def test_ping_is_answered_when_the_writes_before_it_are_taken(hold: str) -> None:
    """Then at once; a client that reads nothing does not answer."""

    class Pinging(Echo):
        def open(self, *args: str, **kwargs: str) -> None:
            self.write_message("before")
            self.ping(b"")

    exchange = Exchange(CONNECT, hold=hold)
    serving = asyncio.ensure_future(connect(Pinging, exchange))
    await exchange.until(1 if hold else 2)
    for _ in range(10):
        await asyncio.sleep(0)
    exchange.put(HUNG_UP)
    await serving
    assert Echo.heard == ([] if hold else ["pong"]) + [(None, None)]


async def test_handler_is_told_that_its_request_is_cancelled() -> None:
    """A server that ends cancels its sockets; the cancellation goes on."""
    exchange = Exchange(CONNECT)
    serving = asyncio.ensure_future(connect(Echo, exchange))
    await exchange.until(1)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    async with asyncio.timeout(5):
        while not Echo.heard:
            await asyncio.sleep(0)
    assert Echo.heard == [(None, None)]


async def test_client_that_leaves_before_it_is_accepted_is_not_waited_for() -> None:
    """The server says so when it is to accept, and the handler is told."""
    exchange = Exchange(CONNECT)

    def gone(message: Message) -> None:
        raise OSError("the client has gone")

    exchange.on_send = gone
    await connect(Echo, exchange)
    assert Echo.heard == [(None, None)]


async def test_receive_that_fails_or_never_waits_ends_the_socket() -> None:
    """An error of middleware counts as the client's end; a message that is repeated for ever is not waited for."""

    class Once(Echo):
        def on_message(self, message: str | bytes) -> None:
            self.close(4000)

    for after in ("error", "text"):
        exchange, asked = Exchange(CONNECT), 0

        async def receive(exchange: Exchange = exchange, after: str = after) -> Message:
            nonlocal asked
            asked += 1
            if asked == 1:
                return CONNECT
            if after == "error" or asked > 100:
                raise RuntimeError("of middleware")
            return text("again")

        exchange.receive = receive  # type: ignore[method-assign]  # as middleware does
        await connect(Once, exchange)
        assert Echo.heard[-1] == ((4000, None) if after == "text" else (None, None))


@pytest.mark.parametrize("extensions", [{"websocket.http.response": {}}, {}, None])
async def test_refusal_is_the_handlers_response_where_the_server_can_send_it(extensions: dict[str, Any] | None) -> None:
    """Otherwise the socket is closed before it is accepted, which servers answer with 403."""

    class Denied(Echo):
        def prepare(self) -> None:
            raise web.HTTPError(429)

    exchange = Exchange(CONNECT)
    await connect(Denied, exchange, websocket_scope(extensions=extensions))
    if extensions:
        assert exchange.status == 429 and b"429" in exchange.body
    else:
        assert exchange.sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    "scope",
    [
        {"headers": []},
        {"path": "/dash", "root_path": "/dash"},
        {"path": "/dash", "root_path": "/dash", "extensions": {}},
    ],
)
async def test_handshake_that_cannot_be_read_is_refused(scope: dict[str, Any]) -> None:
    """No Host, and no route: nothing is accepted."""
    exchange = Exchange(CONNECT)
    await connect(Echo, exchange, websocket_scope(**scope))
    assert exchange.types[0] in ("websocket.http.response.start", "websocket.close")


async def test_protocol_that_was_not_offered_is_not_chosen() -> None:
    """A handler that chooses one answers 500; one that was offered is accepted with the handler's headers."""

    class Choosing(Echo):
        def select_subprotocol(self, subprotocols: list[str]) -> str | None:
            self.set_header("X-Own", "1")
            return "wanted"

    refused, accepted = Exchange(CONNECT), Exchange(CONNECT, HUNG_UP)
    await connect(Choosing, refused, websocket_scope(subprotocols=["other"]))
    assert refused.status == 500
    await connect(Choosing, accepted, websocket_scope(subprotocols=["other", "wanted"]))
    assert accepted.sent[0]["subprotocol"] == "wanted" and dict(accepted.sent[0]["headers"]) == {b"x-own": b"1"}


async def test_tornados_own_protocol_is_refused() -> None:
    """It needs a stream of bytes: 426, and no 101 is ever sent."""

    class Native(websocket.WebSocketHandler):
        pass

    for extension, kind in (
        ("websocket.http.response", "websocket.http.response.start"),
        ("other", "websocket.close"),
    ):
        exchange = Exchange(CONNECT)
        await connect(Native, exchange, websocket_scope(headers=[(b"host", b"x"), KEY], extensions={extension: {}}))
        assert exchange.types[0] == kind and exchange.sent[0].get("status", 426) == 426


KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")


async def test_handshake_that_a_server_hands_in_as_a_page_is_not_accepted() -> None:
    """A server without a WebSocket library does so; the dashboards' handler answers 426."""
    upgrade = [(b"upgrade", b"websocket"), (b"connection", b"upgrade"), (b"sec-websocket-version", b"13"), KEY]
    exchange = Exchange({"type": "http.request", "body": b""})
    await ask(Echo, exchange, http_scope(headers=[(b"host", b"x"), *upgrade]))
    assert exchange.status == 426


async def test_variables_come_up_as_it_is_accepted_and_at_its_end_only() -> None:
    """A message that is written in the context of another request brings nothing of that request."""
    foreign = copy_context()
    foreign.run(told.set, "another visitor")

    class Telling(Echo):
        def prepare(self) -> None:
            told.set("at the handshake")

        def on_message(self, message: str | bytes) -> None:
            told.set("in a message")
            foreign.run(self.write_message, message)

    exchange, seen = Exchange(CONNECT, text("x")), []
    exchange.on_send = lambda message: seen.append(told.get())
    serving = asyncio.ensure_future(_told_after(connect(Telling, exchange)))
    await exchange.until(2)
    exchange.put(HUNG_UP)
    assert await serving == "in a message"
    assert seen == ["at the handshake"] * 2


async def _told_after(serving: Any) -> str:
    await serving
    return told.get()


def read_of(name: str, *packages: Any) -> set[str]:
    """Return which attributes of ``….name`` these packages use, by their sources."""
    found = set()
    for package in packages:
        for path in Path(inspect.getfile(package)).parent.rglob("*.py"):
            if (
                "test" in path.parts
                or "tests" in path.parts
                or name not in (source := path.read_text(encoding="utf-8"))
            ):
                continue
            for node in ast.walk(ast.parse(source)):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Attribute)
                    and node.value.attr == name
                ):
                    found.add(node.attr)
    return found


def test_our_socket_has_all_that_tornado_and_jupyter_server_use() -> None:
    """Whatever they read of ``ws_connection``, in the versions that are installed."""
    used = read_of("ws_connection", tornado, jupyter_server)
    assert {"accept_connection", "write_message", "is_closing", "client_terminated"} <= used
    ours = Socket(Outbox(ConnectionError), Exchange().receive, [])
    assert not {name for name in used if not hasattr(ours, name)}


def test_our_connection_has_all_that_tornados_handlers_use() -> None:
    """... and of ``request.connection``, but for what only a stream of bytes can have."""
    path = Path(inspect.getfile(web))
    used = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self.request.connection"
    }
    assert {"set_close_callback", "write_headers", "finish", "detach"} <= used
    connection = Connection(http_scope(), Outbox(ConnectionError))
    assert not {name for name in used if not hasattr(connection, name)}
