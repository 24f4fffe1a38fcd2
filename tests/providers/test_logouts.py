"""Logouts between the servers of one store: a row that cannot be read stops no other, and brings no session back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from databases import KEYS

from jupyter_app_meta.providers import elsewhere
from jupyter_app_meta.providers.ended import Ended
from jupyter_app_meta.providers.identified import Session
from jupyter_app_meta.state import copying
from jupyter_app_meta.state.revoked import LOGOUTS, REVOKED
from jupyter_app_meta.state.stores.base import Store
from jupyter_app_meta.state.stores.open import open_store

LOG = logging.getLogger("logouts")
NAMES = (("a", ()), ("a", KEYS[:1]), ("b", KEYS[1:]))
BAD = ("{", "[]", '"soon"', "1e999", "[" * 100_000, "e1:", "e1:00000000:AAAA", "")


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


@contextmanager
def shared(ended: Ended, store: Store) -> Iterator[asyncio.Task[None]]:
    """Let a server exchange its logouts by a store."""
    task = asyncio.create_task(elsewhere.share(ended, store, lambda: None, LOG))
    try:
        yield task
    finally:
        task.cancel()


@pytest.mark.parametrize("keys", [(), KEYS[:1]], ids=["plain", "encrypted"])
@pytest.mark.parametrize("has_end", [True, False])
async def test_a_row_that_cannot_be_read_stops_no_logout(
    tmp_path: Path, keys: tuple[bytes, ...], has_end: bool
) -> None:
    """The session that it is of has ended, in doubt; the others are told, in both directions, now and later."""
    url = f"sqlite:///{tmp_path}/state.db"
    sessions = [Session.begin("alice", 600) for _ in BAD]
    good, other, later = (Session.begin("alice", 600) for _ in range(3))
    one, two = Ended(), Ended()
    with ExitStack() as stack:
        mine, its, raw = (stack.enter_context(closing(open_store(url, keys=some))) for some in (keys, keys, ()))
        damaged = Ended()
        damaged.on_end = lambda: None
        for session in sessions:
            damaged.add(session)
        texts = dict(zip(damaged.untold(), BAD, strict=True))
        raw.apply(LOGOUTS, {}, texts, (), 600 if has_end else None)
        tasks = [stack.enter_context(shared(ended, store)) for ended, store in ((one, mine), (two, its))]
        await eventually(lambda: one.on_end is not None and two.on_end is not None)
        one.add(good)
        await eventually(lambda: good in two)
        assert all(session in ended for ended in (one, two) for session in sessions)
        two.add(other)
        one.add(later)
        await eventually(lambda: other in one and later in two)
        await eventually(lambda: not one.untold() and not two.untold())
        assert not any(task.done() for task in tasks)
        assert Session.begin("alice", 600) not in one


def test_a_copy_of_a_store_has_the_logouts(tmp_path: Path) -> None:
    """And what was revoked, of which only the names count: a row that cannot be read does not stop the copy."""
    ended, session = Ended(), Session.begin("alice", 600)
    ended.on_end = lambda: None
    ended.add(session)
    with ExitStack() as stack:
        plain, old, new = (
            stack.enter_context(closing(open_store(f"sqlite:///{tmp_path}/{name}", keys=keys))) for name, keys in NAMES
        )
        elsewhere._put_and_read(old, ended.untold(), LOG)
        for scope in (LOGOUTS, REVOKED):
            plain.apply(scope, {}, {"bad": "e1:00000000:AAAA"}, (), 600)
        assert [*copying.copy(old, new, time.time())][-1] == 3
        assert new.read(REVOKED.id, None).keys() == {"bad"}
        told = Ended()
        for digest, until in elsewhere._put_and_read(new, {}, LOG).items():
            told.note(digest, until)
        assert session in told
