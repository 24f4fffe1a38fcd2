"""Sessions that end on one server end on all servers of its store.

1. A row for each ended session stands in the store until the session would be over anyway. Its key is a digest of the
   session's id, so that the store holds no part of a cookie.
2. That the row is there is all that counts: its session has ended, whatever its text is. So a row that was damaged, or
   encrypted with another key, brings no session back, and hides no other row.
3. While the store is away, a server knows of its own ends only, and tells them later.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from ..errors import AppMetaError
from ..server.stores import beside
from ..state.grants import CLOCK_SKEW
from ..state.revoked import LOGOUTS
from ..state.stores.base import Notice, Row, Store, Where
from .ended import MOST, Ended

LONGEST = 400 * 86_400.0
"""Seconds for which a session counts as ended whose row has no end. Browsers keep no cookie for longer."""

PAUSE = 20.0
"""Seconds until a store that is away is asked again."""


async def share(ended: Ended, store: Store, changed: Callable[[], None], log: logging.Logger) -> None:
    """Tell a store which sessions end here, and hear which end elsewhere, until it is cancelled.

    ``changed`` is called on the loop after sessions have ended elsewhere. The store's own close ends the feed.
    """
    loop, news = asyncio.get_running_loop(), asyncio.Event()

    def hear(notice: Notice) -> None:
        if notice.scope in (None, LOGOUTS.id):
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(news.set)

    ended.on_end = news.set
    await beside.own(store, lambda: store.feed(hear))
    while True:
        news.clear()
        if await _exchanged(ended, store, log):
            changed()
            await news.wait()
        else:
            await asyncio.sleep(PAUSE)


async def _exchanged(ended: Ended, store: Store, log: logging.Logger) -> bool:
    """Put what has ended here into the store, and take what has ended elsewhere; return whether the store was there."""
    untold = ended.untold()
    try:
        known = await beside.own(store, lambda: _put_and_read(store, untold, log))
    except AppMetaError as error:
        log.warning("Other servers cannot be told which visitors have logged out: %s", error)
        return False
    ended.tell(digest for digest in untold if digest in known or untold[digest] <= time.time())
    for digest, until in known.items():
        ended.note(digest, until)
    return True


def _put_and_read(store: Store, untold: dict[str, float], log: logging.Logger) -> dict[str, float]:
    now = time.time()
    known = {row.key: _until(row, now) for row in store.outline(Where(scope=LOGOUTS.id))}
    if len(known) >= MOST:
        log.warning("More than %d visitors have logged out: other servers learn of further ones late.", MOST)
    for digest, until in untold.items():
        if digest not in known and until > now and len(known) < MOST:
            store.apply(LOGOUTS, {}, {digest: json.dumps(until)}, (), until - now)
            known[digest] = until
    return known


def _until(row: Row, now: float) -> float:
    """Return until when a session counts as ended: as long as its row stays, by the clock of any server."""
    return now + LONGEST if row.expires is None else row.expires + CLOCK_SKEW
