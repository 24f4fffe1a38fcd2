"""Sums that others are faster to change: they hold up no other kernel, end, and lose and invent nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import zmq
from control import Kernel
from databases import empty_store, open_any

from jupyter_app_meta.errors import Conflict, StateUnavailable
from jupyter_app_meta.server.links.kept import THREADS
from jupyter_app_meta.server.links.link import SHARE, WRITING, Office
from jupyter_app_meta.server.links.links import Links
from jupyter_app_meta.state import grants
from jupyter_app_meta.state.grants import Claims
from jupyter_app_meta.state.keys import Space, scope_of
from jupyter_app_meta.state.once import TRIES, Later
from jupyter_app_meta.state.operations import Add, Apply, Operation, Request, write_request
from jupyter_app_meta.state.rules import Rules
from jupyter_app_meta.state.service import Service
from jupyter_app_meta.state.stores import base
from jupyter_app_meta.state.stores.base import Entry, Store

KEY = grants.derive_key(b"0" * 32)
SALES = Space.run("prod", "/sales")
SHARED = scope_of("shared", SALES, None)
LOG = logging.getLogger("contended")
_ids = count()


class Faster:
    """Another server, which adds to each number that a store reads to change it, until it is told to stop."""

    def __init__(self, url: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self._other, self._read, self._lock = open_any(url), store.read, threading.Lock()
        self.added, self.is_over = 0, False
        monkeypatch.setattr(store, "read", self.read)

    def read(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """Read, and add."""
        found = self._read(scope, keys)
        if keys and "n" in keys and not self.is_over:
            with self._lock:
                self._other.add(SHARED, "n", 1)
                self.added += 1
        return found

    def close(self) -> None:
        """End it."""
        self._other.close()


@pytest.fixture(params=["encrypted", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a store whose sums may be made by the server."""
    with empty_store(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A store."""
    with closing(open_any(url)) as store:
        yield store


@pytest.fixture
def faster(url: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faster]:
    """Another server that is always faster."""
    with closing(Faster(url, store, monkeypatch)) as faster:
        yield faster


def content(kernel_id: str, operation: Operation) -> dict[str, Any]:
    """Return a kernel's question about what is shared."""
    grant = grants.mint(KEY, Claims(kernel_id, SALES, None, None, "l"), time.time())
    return write_request(Request(f"q-{next(_ids)}", grant, "shared", operation))


def service_of(store: Store) -> Service:
    """Return a service on a store."""
    return Service(store, Rules(KEY, time.time, lambda identity: None), lambda *event: None, LOG)


async def until(holds: Callable[[], object]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_write_does_not_wait_for_sums_that_are_tried_again(store: Store, faster: Faster) -> None:
    """As many sums as there are places for writes are tried again and again, and another kernel's write is done.

    Once nobody is faster any more, each sum is made, once.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    kernels = {f"k-{number}": Kernel(context) for number in range(WRITING + 1)}
    answers: dict[str, list[dict[str, Any]]] = {kernel_id: [] for kernel_id in kernels}

    def heard(kernel_id: str) -> list[dict[str, Any]]:
        answers[kernel_id] += kernels[kernel_id].answers()
        return answers[kernel_id]

    async def tab(_: str) -> None:
        return None

    with ThreadPoolExecutor(THREADS) as threads:
        links = Links(Office(service_of(store), threads, 60.0, LOG, tab), kernels.get)
        names = {kernel_id: links.name(kernel_id) or "" for kernel_id in kernels}
        for kernel_id, kernel in kernels.items():
            links.send(kernel_id, {})  # the kernel's socket knows the link as soon as it has heard of it
            await until(lambda kernel=kernel: kernel.router.poll(0))  # type: ignore[misc]  # mypy does not infer it
        *adding, writer = kernels
        for kernel_id in adding:
            for _ in range(SHARE):
                kernels[kernel_id].send(names[kernel_id], content(kernel_id, Add("n", 0.5)))
        await until(lambda: faster.added > 2 * WRITING)
        kernels[writer].send(names[writer], content(writer, Apply(puts={"other": "1"})))
        await until(lambda: heard(writer))
        assert not any(heard(kernel_id) for kernel_id in adding)
        faster.is_over = True
        await until(lambda: all(len(heard(kernel_id)) == SHARE for kernel_id in adding))
        links.close()
    assert all("ok" in answer for some in answers.values() for answer in some)
    assert store.read(SHARED.id, ("n",))["n"].text == str(faster.added + 0.5 * SHARE * WRITING)
    context.destroy(linger=0)


def test_a_sum_is_tried_so_often(store: Store, faster: Faster) -> None:
    """Then the author hears that nothing was added, which is so. Sent again meanwhile, it is not begun again."""
    service, question = service_of(store), content("k", Add("n", 0.5))
    answer, tries = service.answer("k", question), 1
    while isinstance(answer, Later):
        assert service.answer("k", question) is None
        answer, tries = answer.again(), tries + 1
    assert tries == TRIES and isinstance(answer, dict)
    assert (answer["error"], answer["may_have_happened"]) == ("StateUnavailable", False)
    assert "Nothing was added" in answer["text"] and service.answer("k", question) == answer
    assert float(store.read(SHARED.id, ("n",))["n"].text) == faster.added - 1  # this read was one of them


def test_a_sum_that_is_given_up_may_be_sent_again(store: Store, faster: Faster) -> None:
    """It had added nothing, and keeps no place among the requests in work."""
    service, question = service_of(store), content("k", Add("n", 0.5))
    answer = service.answer("k", question)
    assert isinstance(answer, Later)
    answer.give_up()
    faster.is_over = True
    done = service.answer("k", question)
    assert isinstance(done, dict) and done["ok"][0] == str(faster.added + 0.5)


def test_a_store_tries_so_often(store: Store, faster: Faster, monkeypatch: pytest.MonkeyPatch) -> None:
    """One try says that another was faster; `add` says after many that nothing was added."""
    monkeypatch.setattr(base, "TRIES", 5)
    with pytest.raises(Conflict):
        store.try_add(SHARED, "n", 0.5)
    with pytest.raises(StateUnavailable, match="Nothing was added") as tried:
        store.add(SHARED, "n", 0.5)
    assert faster.added == 6 and not tried.value.may_have_happened
    faster.is_over = True
    assert store.add(SHARED, "n", 0.5).text == store.read(SHARED.id, ("n",))["n"].text == "6.5"
