"""The relay of a kernel at a gateway that takes no messages, or refuses for a moment."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from harness import free_port
from jupyter_client.session import Session
from jupyter_server.gateway.gateway_client import GatewayClient
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError

from jupyter_app_meta.dashboards.gateway import relay as relay_module
from jupyter_app_meta.dashboards.gateway.relay import Relay
from jupyter_app_meta.server.gateway.client import Gateway, GatewayFailed


async def never(*_: object) -> bool:
    """Wait for a gateway that does not answer."""
    await asyncio.get_running_loop().create_future()
    return True


async def test_a_gateway_that_takes_nothing_ends_the_kernel(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits for it has a bound, and the page ends as soon as more comes."""
    monkeypatch.setattr(relay_module, "MOST", 50_000)
    gateway: Any = SimpleNamespace(has=never, log=logging.getLogger("gateway"), url="http://gateway", options=None)
    session: Any = Session(key=b"0" * 32)
    died = asyncio.Event()
    relay = Relay(gateway, "k-1", "link", session.clone(), died.set)
    with zmq.Context() as context:
        addresses = {channel: f"inproc://{channel}" for channel in ("shell", "control", "iopub")}
        relay.start(context, addresses)
        client = context.socket(zmq.DEALER)
        client.connect(addresses["shell"])
        for _ in range(100):
            session.send(client, "comm_msg", {"data": "x" * 1000})
        async with asyncio.timeout(60):
            await died.wait()
        assert relay._waits == sum(map(len, relay._waiting)) < 60_000
        client.close(linger=0)
        relay.close()
    assert [record.message for record in caplog.records].count(
        "The gateway http://gateway does not take a page's messages."
    ) == 1


async def test_what_a_closed_connection_does_not_take_waits_for_the_next_one() -> None:
    """And what a connection has taken waits no more."""

    def closed(*_: object, **__: object) -> None:
        raise WebSocketClosedError

    async def taken(frame: bytes, binary: bool) -> None:
        frames.append(frame)

    frames: list[bytes] = []
    anything: Any = None
    relay = Relay(anything, "k-1", "link", anything, lambda: None)
    web: Any = SimpleNamespace(write_message=closed)
    relay._web = web
    relay._write(b"abc")
    assert [*relay._waiting] == [b"abc"] and relay._waits == 3
    web.write_message = taken
    relay._send(relay._waiting.popleft())
    async with asyncio.timeout(60):
        while relay._waits:
            await asyncio.sleep(0)
    assert frames == [b"abc"]


@pytest.mark.parametrize("most", [2, 3])
async def test_a_refusal_may_pass(most: int) -> None:
    """A token is renewed, and a proxy asks its own login: the gateway is asked again, as often as the options say."""
    failures = [GatewayFailed("refused", status) for status in (401, 403, 404)]

    async def has(_: str) -> bool:
        if failures:
            raise failures.pop()
        return True

    async def connect(*_: str) -> str:
        return "connected"

    options = SimpleNamespace(gateway_retry_max=most, gateway_retry_interval=0, gateway_retry_interval_max=0)
    gateway: Any = SimpleNamespace(has=has, connect=connect, options=options, log=logging.getLogger("gateway"))
    anything: Any = None
    relay = Relay(gateway, "k-1", "link", anything, lambda: None)
    if most == 3:
        assert str(await relay._connected()) == "connected"
    else:
        with pytest.raises(GatewayFailed):
            await relay._connected()


async def test_a_gateway_that_closes_each_connection_is_asked_so_often(caplog: pytest.LogCaptureFixture) -> None:
    """After longer and longer pauses, and not without an end. One that lasted is none of these."""
    made: list[float] = []
    died = asyncio.Event()

    async def nothing() -> None:
        return None

    async def has(_: str) -> bool:
        return True

    async def connect(*_: str) -> object:
        made.append(asyncio.get_running_loop().time())
        assert len(made) < 100
        return SimpleNamespace(read_message=nothing, close=lambda: None)

    options = SimpleNamespace(gateway_retry_max=3, gateway_retry_interval=0.02, gateway_retry_interval_max=60)
    gateway: Any = SimpleNamespace(
        has=has, connect=connect, options=options, log=logging.getLogger("gateway"), url="http://gateway"
    )
    anything: Any = None
    relay = Relay(gateway, "k-1", "link", anything, died.set)
    async with asyncio.timeout(60):
        await relay._run()
    assert died.is_set() and len(made) == 5
    assert all(made[place + 1] - made[place] >= pause for place, pause in ((1, 0.02), (2, 0.04), (3, 0.08)))
    assert "closes each connection to it at once" in caplog.text


class Absent(RequestHandler):
    """Has no kernel: a gateway says so in JSON, a proxy without its gateway in HTML."""

    def get(self, kernel_id: str) -> None:
        """Say so."""
        self.set_status(404)
        self.finish({"message": "Kernel does not exist"} if kernel_id == "gone" else "<h1>404</h1>")


async def test_only_the_gateway_knows_that_a_kernel_has_gone() -> None:
    """While it starts, a proxy in front of it answers 404."""
    port = free_port()
    server = Application([("/api/kernels/(.*)", Absent)]).listen(port, "127.0.0.1")
    gateway = Gateway(GatewayClient(url=f"http://127.0.0.1:{port}"), logging.getLogger("gateway"))
    assert not await gateway.has("gone")
    with pytest.raises(GatewayFailed, match="answered 404"):
        await gateway.has("hidden")
    gateway.close()
    server.stop()
    await server.close_all_connections()
