"""The change feed of PostgreSQL: NOTIFY with each write, and a connection that listens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from ..base import Notice
from ..feeding import LOOK
from ..notices import decode

CHANNEL = "app_meta_state"


def noticed(change: sa.Update) -> Any:
    """Return the statement that also tells of the change, with the parameter ``notice``, when its transaction ends."""
    return change.returning(sa.func.pg_notify(CHANNEL, sa.bindparam("notice")))


def listen(db: Any, origin: str, stopped: threading.Event) -> Iterator[Notice | None]:
    """Yield what a psycopg connection is told."""
    db.execute(f"LISTEN {CHANNEL}")
    while not stopped.is_set():
        yield None
        for told in db.notifies(timeout=LOOK):
            yield decode(told.payload, origin)
            if stopped.is_set():
                break
