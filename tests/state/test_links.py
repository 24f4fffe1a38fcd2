"""The link to a kernel's control channel: it follows its kernel, answers at a bounded rate, and ends with it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import zmq
from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager
from jupyter_client.session import Session

from jupyter_app_meta import wire
from jupyter_app_meta.server.links.granting import Places
from jupyter_app_meta.server.links.kept import Kept, Terms
from jupyter_app_meta.server.links.link import IN_FLIGHT, RATE
from jupyter_app_meta.state import grants, messages
from jupyter_app_meta.state.grants import Claims
from jupyter_app_meta.state.keys import Space
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.values import Limits

KERNEL = "kernel-1"
KEY = grants.derive_key(b"a secret that servers share")
SPACE = Space.run("/", "/page")


class Process:
    """The control channel of a kernel's process, at one port."""

    def __init__(self, manager: Any, port: int) -> None:
        manager.control_port = port
        self.session = Session(key=manager.session.key)
        self._socket: Any = manager.context.socket(zmq.ROUTER, socket_class=zmq.Socket)
        manager.processes.append(self._socket)
        self._socket.linger = 0
        self._socket.bind(f"ipc://{manager.ip}-{port}")

    async def ask(self, link: str, **operation: Any) -> dict[str, Any]:
        """Ask as a kernel does, again until the answer comes; return the content of the answer."""
        grant = grants.mint(KEY, Claims(KERNEL, SPACE, link=link), time.time())
        content = {"v": 1, "id": uuid.uuid4().hex, "grant": grant, "scope": "shared", **operation}
        async with asyncio.timeout(20):
            while True:
                self.session.send(self._socket, messages.REQUEST, content, ident=link.encode())
                for _ in range(20):
                    if self._socket.poll(0):
                        return self._answer()
                    await asyncio.sleep(0.01)

    def _answer(self) -> dict[str, Any]:
        message: Any = self.session.recv(self._socket)[1]
        stamp = message["metadata"][wire.FIELD]
        key = wire.derive_key(self.session.key)
        assert wire.verify(key, message["header"]["msg_id"], messages.REPLY, stamp) == messages.LINK
        found: dict[str, Any] = message["content"]
        return found


@pytest.fixture
def manager() -> Iterator[Any]:
    """The manager of a kernel, whose sockets are files with short names."""
    with TemporaryDirectory(prefix="links-", dir="/tmp") as folder:
        manager: Any = AsyncIOLoopKernelManager(transport="ipc", ip=f"{folder}/k")
        manager.session.key = secrets.token_hex(16).encode()
        manager.processes = []
        yield manager
        for socket in manager.processes:
            socket.close()
        manager.context.destroy(0)


@pytest.fixture
def kernels(manager: Any) -> dict[str, Any]:
    """The kernels of a server, by id."""
    return {KERNEL: manager}


@pytest.fixture
async def kept(tmp_path: Path, kernels: dict[str, Any]) -> AsyncIterator[Kept]:
    """The parts of stored state in a server of this kernel."""
    store = open_store(f"sqlite:///{tmp_path}/state.db")
    terms, log = Terms(5, Limits(), frozenset()), logging.getLogger(__name__)

    async def tab(_: str) -> None:
        return None

    kept = Kept.of(store, KEY, terms, Places("/", ""), kernels.get, log, tab)
    yield kept
    kept.close()
    store.close()


async def test_link_follows_its_kernel_to_other_ports(kept: Kept, manager: Any) -> None:
    """A kernel that was started anew listens elsewhere: it is soon answered there, by the old name of the link."""
    first = Process(manager, 1)
    link = kept.links.name(KERNEL)
    assert link
    assert (await first.ask(link, op="add", key="n", amount=1))["ok"][0] == "1"
    second = Process(manager, 2)
    assert (await second.ask(link, op="add", key="n", amount=1))["ok"][0] == "2"
    assert kept.links.name(KERNEL) == link


async def test_link_ends_with_its_kernel(kept: Kept, manager: Any, kernels: dict[str, Any]) -> None:
    """Nothing of an ended kernel is left: no socket, no name, and no memory of its questions and watches."""
    process = Process(manager, 1)
    link = kept.links.name(KERNEL)
    assert link and len(kept.links) == 1
    assert "ok" in await process.ask(link, op="watch")
    kernels.clear()
    async with asyncio.timeout(20):
        while len(kept.links):
            await asyncio.sleep(0.05)
    assert kept.links.name(KERNEL) is None and kept.service._once == {} and kept.service.changes._watchers == {}


async def test_kernel_that_asks_fast_waits_for_its_answers(kept: Kept, manager: Any) -> None:
    """Each is answered. Beyond the first ones, the answers come at the rate of the limit."""
    process, more = Process(manager, 1), 60
    link = kept.links.name(KERNEL)
    assert link
    began = time.monotonic()
    for number in range(1, IN_FLIGHT + more + 1):
        assert (await process.ask(link, op="add", key="n", amount=1))["ok"][0] == str(number)
    assert time.monotonic() - began >= more / RATE
