"""Requests at the border: every bound, every refusal, and what a handler and the middleware above hear."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
from exchange import END, GONE, HOST, Exchange, ask, http_scope
from jupyter_server.base.call_context import CallContext
from starlette.types import Message, Receive, Scope, Send
from tornado import web
from tornado.httputil import HTTPHeaders

from jupyter_app_meta.asgi.bridge import Limits
from jupyter_app_meta.asgi.bridge.connection import Peer, encoded
from jupyter_app_meta.asgi.bridge.outbox import Unfinished

told: ContextVar[str] = ContextVar("told", default="nothing")
LENGTH = (b"content-length", b"100")


class Hello(web.RequestHandler):
    """Says what it was asked."""

    def get(self) -> None:
        """Say it."""
        request: Any = self.request
        self.write(
            {"base": request.base, "path": request.path, "uri": request.uri, "cookie": request.headers.get("Cookie")}
        )

    def post(self) -> None:
        """Say how long the body is."""
        self.write(str(len(self.request.body)))


@web.stream_request_body
class Taking(web.RequestHandler):
    """Takes its body in pieces, and has begun to answer."""

    ended = ""

    async def data_received(self, chunk: bytes) -> None:
        """Answer each piece."""
        self.write(chunk)
        await self.flush()

    def post(self) -> None:
        """Be done."""
        Taking.ended = "post"

    def on_connection_close(self) -> None:
        """Note that no more comes."""
        super().on_connection_close()
        Taking.ended = "closed"


class Waiting(web.RequestHandler):
    """Works until its client leaves."""

    left: asyncio.Event

    async def get(self) -> None:
        """Work."""
        Waiting.left = asyncio.Event()
        await Waiting.left.wait()

    def on_connection_close(self) -> None:
        """Stop."""
        Waiting.left.set()


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ({"headers": []}, 400),
        ({"headers": [(b"host", b"")]}, 400),
        ({"headers": [HOST, HOST]}, 400),
        ({"headers": [(b"host", b"a b")]}, 400),
        ({"headers": [], "http_version": "1.0"}, 200),
        ({"headers": [(b"host", b"")], "http_version": "1"}, 200),
        ({"method": "POST", "headers": [HOST, LENGTH]}, 413),
        ({"method": "POST", "headers": [HOST, (b"content-length", b"9" * 5000)]}, 413),
        ({"method": "PROPFIND"}, 405),
        ({"path": "/dash", "root_path": "/dash"}, 307),
    ],
)
async def test_what_is_refused_before_a_handler(scope: dict[str, Any], status: int) -> None:
    """A request without one readable Host, with too large a body, of no method, or without the mount's slash."""
    exchange = Exchange(END)
    await ask(Hello, exchange, http_scope(**scope), limits=Limits(max_body=99))
    assert exchange.status == status


async def test_redirect_to_the_mount_keeps_the_query() -> None:
    """The mount without its slash is redirected to its base; a query that would break the header is left out."""
    for query, location in ((b"a=1&b=%20", b"/t/a%20b/?a=1&b=%20"), (b"a\r\nSet-Cookie: b", b"/t/a%20b/")):
        exchange = Exchange()
        await ask(Hello, exchange, http_scope(path="/t/a b", root_path="/t/a b", query_string=query))
        assert dict(exchange.sent[0]["headers"])[b"location"] == location


async def test_request_below_a_mount_knows_its_base() -> None:
    """The handler sees the route, the base and the address that the browser asked; cookies of HTTP/2 are one line."""
    cookies = [(b"cookie", b"a=1"), (b"cookie", b"b=2")]
    scope = http_scope(path="/d/x y", root_path="/d", raw_path=b"/d/x%20y", query_string=b"q=1", http_version="2")
    exchange = Exchange(END)
    await ask(Hello, exchange, {**scope, "headers": [HOST, *cookies]})
    assert exchange.body == b'{"base": "/d/", "path": "/x%20y", "uri": "/d/x%20y?q=1", "cookie": "a=1; b=2"}'


async def test_refusals_are_answered_by_the_function_that_is_given() -> None:
    """It is told the status and a sentence, and nothing has been sent."""
    heard: list[Any] = []

    async def refuse(scope: Scope, receive: Receive, send: Send, status: int, sentence: str) -> None:
        heard.extend([status, sentence])

    exchange = Exchange({"type": "http.request", "body": b"x" * 100, "more_body": True})
    await ask(Hello, exchange, http_scope(method="POST"), limits=Limits(max_body=99), refuse=refuse)
    assert heard[0] == 413 and "at most 99 bytes" in heard[1] and not exchange.sent


@pytest.mark.parametrize("handler", [Hello, Taking])
async def test_body_that_does_not_come_is_refused(handler: type[web.RequestHandler]) -> None:
    """408 after the time that is given, also for a handler that takes its body in pieces."""
    exchange = Exchange()
    await ask(handler, exchange, http_scope(method="POST"), limits=Limits(body_timeout=0.01))
    assert exchange.status == 408


async def test_body_of_exactly_the_limit_is_taken() -> None:
    """The bound is the most that is taken."""
    exchange = Exchange({"type": "http.request", "body": b"x" * 50, "more_body": True}, {**END, "body": b"x" * 50})
    await ask(Hello, exchange, http_scope(method="POST", headers=[HOST, LENGTH]), limits=Limits(max_body=100))
    assert exchange.body == b"100"


async def test_response_that_began_is_given_up_if_its_body_is_refused() -> None:
    """A handler that answers as its body comes is told, and the response does not end as if it were whole."""
    exchange = Exchange({"type": "http.request", "body": b"x" * 60, "more_body": True})
    exchange.on_send = lambda message: exchange.put({"type": "http.request", "body": b"x" * 60, "more_body": True})
    with pytest.raises(Unfinished):
        await ask(Taking, exchange, http_scope(method="POST"), limits=Limits(max_body=100))
    assert Taking.ended == "closed" and all(message.get("more_body", True) for message in exchange.sent)


@pytest.mark.parametrize("handler", [Hello, Taking])
async def test_client_that_leaves_with_half_its_body_starts_nothing(handler: type[web.RequestHandler]) -> None:
    """No handler begins, or the one that has begun is told; nothing is sent."""
    exchange = Exchange({"type": "http.request", "body": b"", "more_body": True}, GONE)
    await ask(handler, exchange, http_scope(method="POST"))
    assert not exchange.sent


async def test_handler_is_told_that_its_client_has_left() -> None:
    """The request ends with the client, and its handler stops."""
    exchange = Exchange(END, GONE)
    await ask(Waiting, exchange)
    await asyncio.wait_for(Waiting.left.wait(), 5)


async def test_handler_is_told_that_its_request_is_cancelled() -> None:
    """A server that ends cancels its requests; the cancellation goes on."""
    exchange = Exchange(END)
    asking = asyncio.ensure_future(ask(Waiting, exchange))
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asking), 0.05)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(Waiting.left.wait(), 5)


async def test_middleware_that_repeats_the_body_does_not_stop_the_loop() -> None:
    """A ``receive`` that never waits is asked once more, and not again."""
    asked = 0

    class Busy(Waiting):
        async def get(self) -> None:
            """Work for a few turns of the loop."""
            for _ in range(20):
                await asyncio.sleep(0)

    async def again() -> Message:
        nonlocal asked
        asked += 1
        return END

    exchange = Exchange()
    exchange.receive = again  # type: ignore[method-assign]  # as such middleware does
    await ask(Busy, exchange)
    assert exchange.status == 200 and asked == 2


async def test_page_that_is_not_taken_can_be_given_up() -> None:
    """A handler that waits for its write no longer, and closes what it detaches, ends a request that hangs in send."""

    class Stalled(web.RequestHandler):
        async def get(self) -> None:
            self.write("piece")
            try:
                await asyncio.wait_for(self.flush(), 0.01)
            except TimeoutError:
                self.detach().close()

    exchange = Exchange(END, hold="http.response.body")
    with pytest.raises(Unfinished, match="given up by its handler"):
        await ask(Stalled, exchange)
    assert exchange.types == ["http.response.start"]


@pytest.mark.parametrize("body", ["0123", "012345678910"], ids=["shorter", "longer"])
async def test_body_of_another_length_is_not_whole(body: str) -> None:
    """A body with fewer or more bytes than its Content-Length is given up."""

    class Wrong(web.RequestHandler):
        async def get(self) -> None:
            self.set_header("Content-Length", "10")
            self.write(body[:2])
            await self.flush()
            self.write(body[2:])

    exchange = Exchange(END)
    with pytest.raises(Unfinished):
        await ask(Wrong, exchange)
    assert all(message.get("more_body", True) for message in exchange.sent)


class Raw(HTTPHeaders):
    """Headers that were not checked, as those of tornado's older versions."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        super().__init__()
        self._pairs = pairs

    def get_all(self) -> Any:
        """Return them."""
        return iter(self._pairs)


@pytest.mark.parametrize(
    "pair", [("X", "a\r\nb"), ("X", "a\nb"), ("X", "a\0b"), ("X\r\nY", "a"), ("", "a"), ("a b", "c")]
)
def test_header_that_would_break_the_response_is_refused(pair: tuple[str, str]) -> None:
    """A line break or a NUL in a value, and a name that is none; the value is not in the message."""
    with pytest.raises(ValueError, match="valid name") as refused:
        encoded(Raw(pair))
    assert pair[1] == "a" or pair[1] not in str(refused.value)


def test_headers_of_the_server_and_of_the_hop_are_left_out() -> None:
    """Servers write them; all others stay, repeated ones too, in latin-1."""
    own = [(name, "x") for name in ("Date", "Server", "Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "TE")]
    assert encoded(Raw(*own, ("Set-Cookie", "a"), ("Set-Cookie", "b"), ("X-É".replace("É", "E"), "é"))) == [
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"x-e", b"\xe9"),
    ]


@pytest.mark.parametrize(("status", "sent"), [(304, 304), (204, 204), (999, 500), (418, 418)])
async def test_each_status_is_one_that_servers_know(status: int, sent: int) -> None:
    """A status that no server knows becomes 500; a response without a body has no length."""

    class Odd(web.RequestHandler):
        def get(self) -> None:
            self.set_status(status, "odd")
            self.set_header("Content-Length", "5")
            if status not in (204, 304):
                self.write("12345")

    exchange = Exchange(END)
    await ask(Odd, exchange)
    assert exchange.status == sent
    assert (b"content-length" in dict(exchange.sent[0]["headers"])) is (status not in (204, 304))


async def test_upgrade_where_there_is_no_socket_is_refused() -> None:
    """Tornado's own protocol would answer 101 on a plain request: 426, and nothing is upgraded."""

    class Upgrading(web.RequestHandler):
        def get(self) -> None:
            self.set_status(101)
            self.finish()

    exchange = Exchange(END)
    await ask(Upgrading, exchange)
    assert exchange.status == 426


@pytest.mark.parametrize("fails", [False, True])
async def test_variables_of_a_handler_come_up_with_its_response(*, fails: bool) -> None:
    """Send wrappers and the code behind see them, also after an error; jupyter_server's own stay below."""

    class Telling(web.RequestHandler):
        async def get(self) -> None:
            CallContext.set("visitor", "alice")
            await asyncio.sleep(0)
            told.set("by the handler")
            if fails:
                raise ZeroDivisionError

    exchange, seen = Exchange(END), []
    exchange.on_send = lambda message: seen.append(told.get())
    await ask(Telling, exchange)
    assert seen == ["by the handler"] * 2 and told.get() == "by the handler"
    assert CallContext.get("visitor") is None
    told.set("nothing")


async def test_variables_of_another_context_never_come_up() -> None:
    """What is written in the context of another request carries nothing of that request."""
    foreign = copy_context()
    foreign.run(told.set, "another visitor")

    class Writing(web.RequestHandler):
        def get(self) -> None:
            foreign.run(self.finish, "text")

    exchange = Exchange(END)
    await ask(Writing, exchange)
    assert exchange.body == b"text" and told.get() == "nothing"


async def test_value_of_a_send_wrapper_stays() -> None:
    """Each value is carried once: what middleware sets afterwards is not set back."""

    class Pieces(web.RequestHandler):
        async def get(self) -> None:
            told.set("by the handler")
            for _ in range(3):
                self.write("piece")
                await self.flush()

    def wrapper(message: Message) -> None:
        if message["type"] == "http.response.start":
            told.set("by the wrapper")

    exchange = Exchange(END)
    exchange.on_send = wrapper
    await ask(Pieces, exchange)
    assert told.get() == "by the wrapper"
    told.set("nothing")


def test_peer_is_what_the_server_tells() -> None:
    """Its address, its scheme as HTTP has it, and the address of a unix socket as tornado writes it."""
    assert Peer.of(http_scope(client=("10.0.0.1", 5), scheme="wss")) == Peer("10.0.0.1", "https", ("10.0.0.1", 5))
    assert Peer.of(http_scope(client=None)) == Peer("0.0.0.0", "http", None)
