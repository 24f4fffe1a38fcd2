"""The links to kernels that restart, fail and ask much."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from control import Kernel

from jupyter_app_meta.server.links import links as links_module
from jupyter_app_meta.server.links.kept import THREADS, Kept
from jupyter_app_meta.server.links.link import IN_FLIGHT, SHARE, WRITING, Office
from jupyter_app_meta.server.links.links import Links


class Service:
    """Notes what it is told. It answers once it is let."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.let = threading.Event()
        self.waiting: list[str] = []
        self.questions: list[str] = []

    def answer(self, kernel_id: str, content: Any, tab: str | None = None) -> dict[str, Any] | None:
        """Answer nothing."""
        self.told.append(("asked", kernel_id))
        self.waiting.append(kernel_id)
        self.questions.append(content["id"])
        self.let.wait(20)
        return None

    def glance(self, kernel_id: str, content: Any, tab: str | None = None) -> dict[str, Any] | None:
        """Have an answer at once to questions that are named so."""
        return {"id": content["id"], "ok": tab} if content["op"] == "glance" else None

    def restarted(self, kernel_id: str) -> None:
        """Note it."""
        self.told.append(("restarted", kernel_id))

    def ended(self, kernel_id: str) -> None:
        """Note it."""
        self.told.append(("ended", kernel_id))


@pytest.fixture
def kernels() -> Iterator[dict[str, Kernel]]:
    """The kernels of a server."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = {f"k-{number}": Kernel(context) for number in range(1, 6)}
    yield {**made}
    for kernel in made.values():  # also of one that the test has taken away
        kernel.router.close(linger=0)
    context.destroy(linger=0)


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that is let go in the end."""
    service = Service()
    yield service
    service.let.set()


@pytest.fixture
def links(kernels: dict[str, Kernel], service: Service) -> Iterator[Links]:
    """The links of a server with these kernels, which looks at them when the test says so."""
    with ThreadPoolExecutor(THREADS) as threads:

        async def tab(_: str) -> str:
            return "t-1"

        links = Links(Office(service, threads, 20.0, logging.getLogger("links"), tab), kernels.get)
        yield links
        service.let.set()


async def until(service: Service, *told: tuple[str, str]) -> None:
    """Wait until the service was told all of this."""
    async with asyncio.timeout(60):
        while not {*told} <= {*service.told}:
            await asyncio.sleep(0.01)


async def known(links: Links, kernels: dict[str, Kernel], kernel_id: str) -> None:
    """Wait until the kernel's socket knows the link: it does as soon as it has heard of it."""
    links.send(kernel_id, {})
    async with asyncio.timeout(60):
        while not kernels[kernel_id].router.poll(0):
            await asyncio.sleep(0.01)


async def test_the_first_question_after_a_restart_comes_after_what_was_watched_is_forgotten(
    kernels: dict[str, Kernel], service: Service, links: Links
) -> None:
    """A look at the kernel a moment later forgets nothing more, so what the new process watches stays watched."""
    service.let.set()
    name = links.name("k-1")
    assert name is not None
    await known(links, kernels, "k-1")
    kernels["k-1"].provisioner.pid = 2
    kernels["k-1"].ask(name, 1)
    await until(service, ("asked", "k-1"))
    links._look()
    assert service.told == [("restarted", "k-1"), ("asked", "k-1")]
    links.close()


async def test_a_kernel_whose_link_cannot_be_opened_gets_one_later(
    kernels: dict[str, Kernel], service: Service, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The looks go on after an error, a link has the name that grants know, and the end of a kernel is not missed."""
    monkeypatch.setattr(links_module, "PERIOD", 0.01)
    name = links.name("k-1")
    kernels["k-1"].fails, kernels["k-1"].provisioner.pid = True, 2
    await until(service, ("restarted", "k-1"))
    assert len(links) == 0
    kernels["k-1"].fails = False
    async with asyncio.timeout(60):
        while len(links) == 0:
            await asyncio.sleep(0.01)
    assert links.name("k-1") == name
    kernels["k-1"].fails, kernels["k-1"].provisioner.pid = True, 3
    async with asyncio.timeout(60):
        while len(links):
            await asyncio.sleep(0.01)
    del kernels["k-1"]
    await until(service, ("ended", "k-1"))
    links.close()


async def test_a_kernel_cannot_take_all_threads(kernels: dict[str, Kernel], service: Service, links: Links) -> None:
    """While the store answers none of its questions, another kernel's question finds a thread."""
    for kernel_id, count in (("k-1", 2 * SHARE + 2), ("k-2", 1)):
        name = links.name(kernel_id)
        assert name is not None
        await known(links, kernels, kernel_id)
        for number in range(count):
            kernels[kernel_id].ask(name, number)
    await until(service, ("asked", "k-1"), ("asked", "k-2"))
    assert service.waiting.count("k-1") <= SHARE
    service.let.set()
    async with asyncio.timeout(60):
        while service.waiting.count("k-1") < 2 * SHARE + 2:
            await asyncio.sleep(0.01)
    links.close()


async def test_a_question_that_is_asked_again_while_its_answer_waits_is_one(
    kernels: dict[str, Kernel], service: Service, links: Links
) -> None:
    """What a kernel sends again counts neither for its rate nor for what it may have in work."""
    name = links.name("k-1")
    assert name is not None
    await known(links, kernels, "k-1")
    for _ in range(2 * IN_FLIGHT):
        kernels["k-1"].ask(name, 1)
    kernels["k-1"].ask(name, 2)
    async with asyncio.timeout(60):
        while "q-2" not in service.questions:
            await asyncio.sleep(0.01)
    service.let.set()
    assert sorted(service.questions) == ["q-1", "q-2"]
    links.close()


async def test_what_needs_no_wait_is_answered_without_a_thread(
    kernels: dict[str, Kernel], service: Service, links: Links
) -> None:
    """While all threads are held, it is answered: as often as the kernel may ask without a wait, then in a thread."""
    name = links.name("k-1")
    assert name is not None
    await known(links, kernels, "k-1")
    for number in range(SHARE + 1):
        kernels["k-1"].ask(name, number)
    await until(service, ("asked", "k-1"))
    kernels["k-1"].ask(name, 99, "glance")
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while not found:
            await asyncio.sleep(0.01)
            found = kernels["k-1"].answers()
    assert [answer["id"] for answer in found] == ["q-99"] and links.tally == {"done": 1}
    service.let.set()
    links.close()


async def test_a_link_knows_the_tab_from_the_first_question_that_needs_it(
    kernels: dict[str, Kernel], service: Service, links: Links
) -> None:
    """Later ones need not wait for it."""
    service.let.set()
    kernel, name, found = kernels["k-1"], links.name("k-1"), list[dict[str, Any]]()
    assert name is not None
    await known(links, kernels, "k-1")
    for number, (op, scope) in enumerate([("glance", "shared"), ("read", "session"), ("glance", "session")]):
        kernel.send(name, {"id": f"q-{number}", "op": op, "scope": scope})
        async with asyncio.timeout(60):
            while len(found) + len(service.questions) <= number:
                await asyncio.sleep(0.01)
                found += kernel.answers()
    assert [(answer["id"], answer["ok"]) for answer in found] == [("q-0", None), ("q-2", "t-1")]
    links.close()


async def test_a_store_that_takes_no_changes_can_be_read(
    kernels: dict[str, Kernel], service: Service, links: Links
) -> None:
    """Four kernels whose changes wait hold some of the threads, and a fifth one reads."""
    names = {kernel_id: links.name(kernel_id) or "" for kernel_id in kernels}
    for kernel_id in kernels:
        await known(links, kernels, kernel_id)
    writers = [kernel_id for kernel_id in kernels if kernel_id != "k-5"]
    for kernel_id in writers:
        for number in range(SHARE + 1):
            kernels[kernel_id].ask(names[kernel_id], number, "apply")
    await until(service, ("asked", "k-1"))
    kernels["k-5"].ask(names["k-5"], 1)
    await until(service, ("asked", "k-5"))
    assert sum(kernel_id in writers for kernel_id in service.waiting) <= WRITING < THREADS
    service.let.set()
    async with asyncio.timeout(60):
        while len(service.waiting) < len(writers) * (SHARE + 1) + 1:
            await asyncio.sleep(0.01)
    links.close()


async def test_feeds_end_beside_the_loop(links: Links) -> None:
    """A store that takes seconds to end its feed holds nothing else up."""
    let, closed = threading.Event(), list[bool]()
    service: Any = SimpleNamespace(close=lambda: closed.append(let.wait(20)))
    anything: Any = None
    threads = ThreadPoolExecutor(1)
    kept = Kept(anything, service, links, anything, anything, threads, logging.getLogger("links"))
    asyncio.get_running_loop().call_soon(let.set)
    await kept.close()
    assert closed == [True]
