"""Kernels behind a gateway that restart, and those whose last editor has left while they are busy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import zmq
from control import Kernel

from jupyter_app_meta.server.gateway.client import GatewayFailed
from jupyter_app_meta.server.links import leaving, processes
from jupyter_app_meta.server.links import links as links_module
from jupyter_app_meta.server.links.link import Office
from jupyter_app_meta.server.links.links import Links


class Service:
    """Notes what it is told, and answers nothing."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def answer(self, kernel_id: str, content: object, tab: str | None = None) -> dict[str, Any] | None:
        """Note it."""
        self.told.append("asked")
        return None

    def glance(self, kernel_id: str, content: object, tab: str | None = None) -> None:
        """Have no answer at once."""

    def restarted(self, kernel_id: str) -> None:
        """Note it."""
        self.told.append("restarted")

    def ended(self, kernel_id: str) -> None:
        """Note it."""
        self.told.append("ended")


class Far(Kernel):
    """A kernel behind a gateway: its manager knows no process, and the gateway keeps the ports."""

    def new_process(self) -> None:
        """Get another process, as at a restart."""
        self.session.session = f"{self.session.session}-again"

    async def restart_kernel(self) -> str:
        """Restart, as the manager of a kernel behind a gateway does."""
        self.new_process()
        return "restarted"


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    """A kernel behind a gateway."""
    for module in (processes, links_module):
        monkeypatch.setattr(module, "is_remote", lambda kernel: isinstance(kernel, Far))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    far = Far(context)
    far.router.router_handover = 1  # as a kernel has it: a link comes again by the same name
    yield far
    far.router.close(linger=0)
    context.destroy(linger=0)


@pytest.fixture
def service() -> Service:
    """A service that answers nothing."""
    return Service()


@pytest.fixture
def links(kernel: Far, service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Links]:
    """The links of a server with this kernel, which looks at it when the test says so."""
    monkeypatch.setattr(links_module, "PERIOD", 3600.0)
    with ThreadPoolExecutor(1) as threads:

        async def tab(_: str) -> None:
            return None

        yield Links(Office(service, threads, 20.0, logging.getLogger("links"), tab), lambda _: kernel)


async def asked(links: Links, kernel: Far, service: Service) -> None:
    """Let the kernel ask a question, and wait until the service has it."""
    before, name = service.told.count("asked"), links.name("k-1")
    assert name is not None
    links.send("k-1", {})
    async with asyncio.timeout(60):
        while not kernel.router.poll(0):  # a socket knows the link as soon as it has heard of it
            await asyncio.sleep(0.01)
        kernel.router.recv_multipart()
        kernel.ask(name, before)
        while service.told.count("asked") == before:
            await asyncio.sleep(0.01)


async def test_the_first_question_of_a_new_process_tells_of_a_restart(
    kernel: Far, service: Service, links: Links
) -> None:
    """The gateway restarts a kernel that died. What the new process watches, nothing forgets later."""
    await asked(links, kernel, service)
    await asked(links, kernel, service)
    assert service.told == ["asked", "asked"]
    kernel.new_process()
    await asked(links, kernel, service)
    links._look()
    await asked(links, kernel, service)
    assert service.told == ["asked", "asked", "restarted", "asked", "asked"]
    links.close()


async def test_a_restart_by_the_manager_is_seen_without_a_question(kernel: Far, service: Service, links: Links) -> None:
    """The next look forgets what was watched, and the first question of the new process forgets nothing."""
    await asked(links, kernel, service)
    assert await processes.noting_restarts(kernel, kernel.restart_kernel)() == "restarted"
    links._look()
    assert service.told == ["asked", "restarted"]
    await asked(links, kernel, service)
    links._look()
    assert service.told == ["asked", "restarted", "asked"]
    links.close()


async def test_a_process_that_asks_before_its_restart_has_returned_keeps_its_watches(
    kernel: Far, service: Service, links: Links
) -> None:
    """The gateway answers the manager when the new process already works."""

    async def restart() -> None:
        kernel.new_process()
        await asked(links, kernel, service)

    await asked(links, kernel, service)
    await processes.noting_restarts(kernel, restart)()
    links._look()
    assert service.told == ["asked", "restarted", "asked"]
    links.close()


async def test_a_restart_that_fails_forgets_nothing(kernel: Far, service: Service, links: Links) -> None:
    """The process lives on, and watches."""

    async def restart() -> None:
        raise OSError("the gateway is away")

    await asked(links, kernel, service)
    with pytest.raises(OSError, match="away"):
        await processes.noting_restarts(kernel, restart)()
    links._look()
    assert service.told == ["asked"]
    links.close()


@pytest.mark.parametrize("is_looked_at", [True, False])
async def test_a_restart_while_the_link_rests_is_seen(
    kernel: Far, service: Service, links: Links, is_looked_at: bool
) -> None:
    """By a look, or when the link is opened again."""
    await asked(links, kernel, service)
    links.rest("k-1")
    await processes.noting_restarts(kernel, kernel.restart_kernel)()
    if is_looked_at:
        links._look()
        assert service.told == ["asked", "restarted"]
    await asked(links, kernel, service)
    links._look()
    assert service.told == ["asked", "restarted", "asked"]
    links.close()


class Gateway:
    """Says of its kernel what the test says, in turn."""

    def __init__(self, *states: str | GatewayFailed) -> None:
        self.states = [*states]

    async def state(self, kernel_id: str) -> str:
        """Say it."""
        found = self.states.pop(0)
        if isinstance(found, GatewayFailed):
            raise found
        return found


class Busy:
    """Says again and again that its kernel is busy."""

    async def state(self, kernel_id: str) -> str:
        """Say it."""
        return "busy"


AWAY, GONE = GatewayFailed("it is away"), GatewayFailed("no such kernel", 404, is_explained=True)


@pytest.mark.parametrize(
    "states",
    [
        ("idle", "idle"),
        ("busy", "busy", "idle", "busy", "idle", "idle"),
        ("busy", AWAY, AWAY, "starting", "idle"),
        ("busy", GONE, GONE),
    ],
)
async def test_a_link_stays_while_its_kernel_is_busy(
    monkeypatch: pytest.MonkeyPatch, states: tuple[str | GatewayFailed, ...]
) -> None:
    """It is idle only if it is so twice: between two cells it is for a moment. No answer says nothing."""
    for pause in ("PAUSE", "MOMENT"):
        monkeypatch.setattr(leaving, pause, 0.0)
    gateway: Any = Gateway(*states, "asked too often")
    await leaving.until_idle(gateway, "k-1")
    assert gateway.states == ["asked too often"]


async def test_a_link_does_not_stay_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays for as long as code may use state."""
    monkeypatch.setattr(leaving, "PAUSE", 0.0)
    monkeypatch.setattr(leaving, "LIFETIME", 0.05)
    gateway: Any = Busy()
    async with asyncio.timeout(60):
        await leaving.until_idle(gateway, "k-1")
