"""A connection to PostgreSQL that waits only so long for an answer: the driver itself waits for ever."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg

PATIENCE = 6.0
"""Seconds without an answer. PostgreSQL itself gives up sooner, if it still can."""


class Patient(psycopg.Connection[Any]):
    """A connection that is closed if an answer does not come in time."""

    Refused = psycopg.ProgrammingError  #: what connecting raises for an option that there is not

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        """Wait for an answer; raise OperationalError without one."""
        return super().wait(self._bounded(gen), *args, **options)

    def _bounded(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Take the steps until the time is up. The driver takes one several times a second even if nothing comes."""
        end = time.monotonic() + PATIENCE
        ready = None
        while True:
            try:
                wanted = steps.send(ready)
            except StopIteration as done:
                return done.value
            ready = yield wanted
            if not ready and time.monotonic() > end:
                self.pgconn.finish()  # what comes later would be taken for the answer to another question
                raise psycopg.OperationalError("PostgreSQL does not answer")
