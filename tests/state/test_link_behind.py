"""A kernel that takes nothing from its link: what is sent to it does not pile up in the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session
from zmq.eventloop.zmqstream import ZMQStream

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


def taken(router: zmq.Socket[bytes]) -> int:
    """Take all messages that come, and return how many they are."""
    count = 0
    while router.poll(500):
        router.recv_multipart()
        count += 1
    return count


async def test_messages_to_a_kernel_that_takes_none_are_dropped(deaf: Any) -> None:
    """Those that come at once to a kernel that takes them are not."""
    kernel, router, streams = deaf
    with ThreadPoolExecutor(1) as threads:

        async def tab(_: str) -> None:
            return None

        office: Any = Office(SimpleNamespace(), threads, 5.0, logging.getLogger("links"), tab)
        links = Links(office, lambda _: kernel)
        assert links.name("k-1")
        for _ in range(2000):
            links.send("k-1", MESSAGE)
        assert streams[0]._send_queue.qsize() <= 1
        assert 10 <= taken(router) < 2000
        streams[0].flush()
        taken(router)
        for _ in range(5):
            links.send("k-1", MESSAGE)
        streams[0].flush()
        assert taken(router) == 5
        links.close()


async def test_a_kernel_that_was_behind_is_told_that_something_changed(deaf: Any) -> None:
    """Of a thousand changes which it does not take, it hears once that there were some."""
    kernel, router, _ = deaf
    with ThreadPoolExecutor(1) as threads:

        async def tab(_: str) -> None:
            return None

        office: Any = Office(SimpleNamespace(), threads, 5.0, logging.getLogger("links"), tab)
        links = Links(office, lambda _: kernel)
        assert links.name("k-1")
        change, later = write_event(Changed("scope", ("k" * 5000,), "alice")), write_event(Changed("scope"))
        for _ in range(2000):
            links.send("k-1", change, ("scope", later))
        assert taken(router) < 2000
        heard: list[bytes] = []
        async with asyncio.timeout(60):
            while not heard or b'"keys":null' not in heard[-1].replace(b" ", b""):
                await asyncio.sleep(0.05)
                while router.poll(0):
                    heard.append(router.recv_multipart()[-1])
        links.close()
