"""The control channel of a kernel behind a gateway that loses connections, or has no such kernel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from harness import free_port
from jupyter_client.session import Session
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1
from tornado.web import Application, HTTPError
from tornado.websocket import WebSocketHandler

from jupyter_app_meta.server.gateway.client import Gateway, GatewayFailed
from jupyter_app_meta.server.links import control
from jupyter_app_meta.server.links.control import Remote
from jupyter_app_meta.server.messages.frames import V1


class Channels(WebSocketHandler):
    """The channels of a gateway's kernels; those of ``none`` are not there."""

    opened: list[Channels]
    refusals: list[int]

    def select_subprotocol(self, subprotocols: list[str]) -> str:
        """Speak the gateway's protocol."""
        return V1

    def prepare(self) -> None:
        """Refuse what is not there, and what the test says."""
        if "none" in self.request.path:
            raise HTTPError(404)
        if self.refusals:
            raise HTTPError(self.refusals.pop(0))

    def open(self, *args: str, **kwargs: str) -> None:
        """Note the connection."""
        self.opened.append(self)
        self.heard: list[bytes | str] = []

    def on_message(self, message: str | bytes) -> None:
        """Note a message."""
        self.heard.append(message)


@pytest.fixture
async def opened() -> list[Channels]:
    """The connections that a gateway has had."""
    return []


@pytest.fixture
async def refusals() -> list[int]:
    """The statuses with which the gateway refuses the next connections."""
    return []


@pytest.fixture
async def gateway(
    opened: list[Channels], refusals: list[int], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gateway]:
    """A gateway that is asked by its address."""
    monkeypatch.setattr(control, "FIRST", 0.01)
    port = free_port()
    channels = type("Mine", (Channels,), {"opened": opened, "refusals": refusals})
    server = Application([("/api/kernels/.*/channels", channels)]).listen(port, "127.0.0.1")
    options = GatewayClient(url=f"http://127.0.0.1:{port}")
    yield Gateway(options, logging.getLogger("gateway"))
    server.stop()
    await server.close_all_connections()


async def until(wanted: Any) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(60):
        while not wanted():
            await asyncio.sleep(0.01)


async def test_a_lost_connection_is_made_again(gateway: Gateway, opened: list[Channels]) -> None:
    """What is sent meanwhile is dropped, and counts as behind; what comes on other channels is not heard."""
    heard: list[list[bytes]] = []
    session = Session(key=b"0" * 32)
    remote: Any = Remote(gateway, "k", "the-name", session)
    remote.on_recv(heard.append)
    assert remote.sending()
    session.send(remote, "app_meta_state_event", {"lost": 1})
    for number in (1, 2):
        await until(lambda: len(opened) == number and not remote.sending())  # noqa: B023  # used in this round
        socket = opened[-1]
        assert socket.get_argument("session_id") == "the-name"
        session.send(remote, "app_meta_state_event", {"sent": number})
        await until(lambda: socket.heard)  # noqa: B023
        assert f'"sent":{number}'.encode() in b"".join(map(bytes, socket.heard))  # type: ignore[arg-type]
        for channel in ("iopub", "control"):
            parts = [b"{}", b"{}", b"{}", channel.encode()]
            await socket.write_message(serialize_msg_to_ws_v1(parts, channel), binary=True)
        await until(lambda: len(heard) == number)  # noqa: B023
        assert session.feed_identities(heard[-1])[1][-1] == b"control"
        socket.close()
    remote.close()
    remote.close()
    assert remote.closed()


async def test_a_kernel_that_the_gateway_does_not_have_is_given_up(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while. The log says so, and that it was refused, once each."""
    monkeypatch.setattr(control, "PATIENCE", 0.1)
    remote = Remote(gateway, "none", "the-name", Session(key=b"0" * 32))
    await until(lambda: remote.is_over)
    assert remote.sending()
    for text in ("no stored state now", "no stored state until an editor uses it again"):
        assert caplog.text.count(text) == 1
    remote.close()


async def test_a_refusal_that_passes_costs_the_connection_little(
    gateway: Gateway, opened: list[Channels], refusals: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """A token is renewed, and a proxy answers 404 while its gateway starts: the gateway is asked again."""
    refusals += [401, 404, 403, 404]
    remote = Remote(gateway, "k", "the-name", Session(key=b"0" * 32))
    await until(lambda: opened or remote.is_over)
    assert not remote.is_over and caplog.text.count("a kernel gets no stored state") == 1
    remote.close()


async def test_a_token_that_cannot_be_renewed_at_the_moment_is_asked_for_again(
    gateway: Gateway, opened: list[Channels], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the deployer's class does not end the connection for good."""
    load, errors = GatewayClient.load_connection_args, [OSError("a secret"), KeyError("another")]

    def fails_first(self: GatewayClient, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return load(self, **options)  # type: ignore[no-untyped-call]  # jupyter_server's own

    monkeypatch.setattr(GatewayClient, "load_connection_args", fails_first)
    with pytest.raises(GatewayFailed, match=r"gateway_token_renewer_class gave no token for .* \(KeyError\)\.$"):
        await gateway.connect("k", "the-name")
    remote = Remote(gateway, "k", "the-name", Session(key=b"0" * 32))
    await until(lambda: opened or remote.is_over)
    assert not remote.is_over and not errors
    remote.close()


async def test_a_gateway_that_is_away_for_days_is_asked_again(
    gateway: Gateway, opened: list[Channels], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause, which grows, stays a number."""
    monkeypatch.setattr(control, "LONGEST", 0.0)
    tries, connect = 0, gateway.connect

    async def away(kernel_id: str, name: str) -> Any:
        nonlocal tries
        tries += 1
        if tries <= 1100:
            raise GatewayFailed("it is away")
        return await connect(kernel_id, name)

    monkeypatch.setattr(gateway, "connect", away)
    remote = Remote(gateway, "k", "the-name", Session(key=b"0" * 32))
    await until(lambda: opened or remote.is_over)
    assert not remote.is_over
    remote.close()


@pytest.mark.parametrize("count", [0, 2**40])
async def test_a_damaged_message_is_dropped(
    gateway: Gateway, opened: list[Channels], caplog: pytest.LogCaptureFixture, count: int
) -> None:
    """The connection goes on, and the next message is heard."""
    heard: list[list[bytes]] = []
    remote = Remote(gateway, "k", "the-name", Session(key=b"0" * 32))
    remote.on_recv(heard.append)
    await until(lambda: opened)
    whole = serialize_msg_to_ws_v1([b"{}", b"{}", b"{}", b"whole"], "control")
    await opened[0].write_message(count.to_bytes(8, "little") + whole[8:], binary=True)
    await opened[0].write_message(whole, binary=True)
    await until(lambda: heard or remote.is_over)
    assert [frames[-1] for frames in heard] == [b"whole"] and len(opened) == 1
    assert caplog.text.count("a gateway's message was dropped") == 1
    remote.close()
