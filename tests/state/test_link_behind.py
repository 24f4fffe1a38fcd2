"""A kernel that takes nothing from its link: what is sent to it does not pile up in the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session
from zmq.eventloop.zmqstream import ZMQStream

from jupyter_app_meta.server.links import links as links_module
from jupyter_app_meta.server.links.link import Office
from jupyter_app_meta.server.links.links import Links
from jupyter_app_meta.state.live.events import Changed, Sent, write_event

MESSAGE = write_event(Sent("scope", "news", '"' + "x" * 60_000 + '"'))


@pytest.fixture
def deaf() -> Iterator[tuple[Any, zmq.Socket[bytes], list[ZMQStream]]]:
    """A kernel's manager, the control socket of its kernel, which nothing reads, and the streams to it."""
    context, streams = zmq.Context(), list[ZMQStream]()
    router = context.socket(zmq.ROUTER)
    router.rcvhwm = 1
    port = router.bind_to_random_port("tcp://127.0.0.1")

    def connect(identity: bytes) -> ZMQStream:
        dealer = context.socket(zmq.DEALER)
        dealer.identity, dealer.sndhwm, dealer.linger = identity, 10, 0
        dealer.connect(f"tcp://127.0.0.1:{port}")
        streams.append(ZMQStream(dealer))
        return streams[-1]

    session = Session(key=b"0" * 32)
    place = {"transport": "tcp", "ip": "127.0.0.1", "control_port": port}
    yield SimpleNamespace(session=session, provisioner=None, connect_control=connect, **place), router, streams
    router.close(linger=0)
    context.destroy(linger=0)


@pytest.fixture
def links(deaf: Any) -> Iterator[Links]:
    """The links of a server to this kernel alone."""

    async def tab(_: str) -> None:
        return None

    with ThreadPoolExecutor(1) as threads:
        office: Any = Office(SimpleNamespace(), threads, 5.0, logging.getLogger("links"), tab)
        yield Links(office, lambda _: deaf[0])


async def heard(router: zmq.Socket[bytes], until: str, send: Callable[[], None] = lambda: None) -> list[bytes]:
    """Take what comes until a message has this text, and send before each look; return the contents."""
    found: list[bytes] = []
    async with asyncio.timeout(60):
        while not any(until in text.decode().replace(" ", "") for text in found):
            send()
            await asyncio.sleep(0.01)
            while router.poll(0):
                found.append(router.recv_multipart()[-1])
    return found


async def test_messages_to_a_kernel_that_takes_none_are_dropped(deaf: Any, links: Links) -> None:
    """Those that come to a kernel that takes them again are not."""
    _, router, streams = deaf
    assert links.name("k-1")
    for _ in range(2000):
        links.send("k-1", MESSAGE)
    assert streams[0]._send_queue.qsize() <= 1
    last = write_event(Sent("scope", "last", "1"))
    assert len(await heard(router, '"last"', lambda: links.send("k-1", last))) < 2000
    links.close()


async def test_a_kernel_that_was_behind_is_told_that_something_changed(deaf: Any, links: Links) -> None:
    """Of the changes which it does not take, it hears once that there were some."""
    _, router, _ = deaf
    assert links.name("k-1")
    change, later = write_event(Changed("scope", ("k" * 5000,), "alice")), write_event(Changed("scope"))
    for _ in range(2000):
        links.send("k-1", change, ("scope", later))
    assert len(await heard(router, '"keys":null')) < 2000
    links.close()


async def test_a_kernel_whose_link_rested_is_told_that_something_changed(
    deaf: Any, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No editor is connected to a kernel behind a gateway, and then one is."""
    monkeypatch.setattr(links_module, "is_remote", bool)
    _, router, _ = deaf
    router.router_handover = 1  # as a kernel has it: the link comes again by the same name
    assert links.name("k-1")
    links.rest("k-1")
    assert len(links) == 0
    links.send("k-1", write_event(Changed("scope", ("key",), "alice")), ("scope", write_event(Changed("scope"))))
    links.send("k-1", write_event(Sent("scope", "lost", "1")))
    assert links.name("k-1")
    assert not any(b'"lost"' in text for text in await heard(router, '"keys":null'))
    links.close()
