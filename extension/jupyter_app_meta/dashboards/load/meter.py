"""What a server counts for its operator: pages by how they began and ended, refusals, and how full it is now.

Nothing here names a visitor, a notebook or a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""The limits of the histogram of a page's seconds."""

Read = Callable[[], dict[str, float]]


class Meter:
    """The counts of one server, in a registry of its own: a process may have several servers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._pages = Counter(
            "app_meta_pages",
            "Pages that were sent, by how their kernel began (cold, warm, forked) and how they ended.",
            ["start", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "app_meta_page_seconds",
            "Seconds from the request for a page to its last byte.",
            ["start"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._refusals = Counter(
            "app_meta_refusals", "Requests for a page that got none.", ["status"], registry=self.registry
        )

    def page(self, start: str, outcome: str, seconds: float) -> None:
        """Count a page that was sent."""
        self._pages.labels(start, outcome).inc()
        self._seconds.labels(start).observe(seconds)

    def refused(self, status: int) -> None:
        """Count a request that got no page."""
        self._refusals.labels(str(status)).inc()

    def watch(self, levels: Read, operations: Read) -> None:
        """Show what these functions return whenever the metrics are read."""
        self.registry.register(_Levels(levels, operations))


HELP = {
    "pages": "Pages that visitors have open.",
    "rendering": "Pages that are being made.",
    "kernels": "Kernels that run.",
    "warm": "Kernels that have run ahead and wait for a visitor.",
    "store_up": "1 if the store of state can be used, 0 if it cannot, absent if state is off.",
}
"""What is read whenever the metrics are."""


class _Levels(Collector):
    def __init__(self, levels: Read, operations: Read) -> None:
        self._levels, self._operations = levels, operations

    def describe(self) -> list[Any]:
        return []  # otherwise registering would read them

    def collect(self) -> Iterator[Any]:
        for name, value in self._levels().items():
            yield GaugeMetricFamily(f"app_meta_{name}", HELP[name], value)
        counted = CounterMetricFamily(
            "app_meta_state_operations", "Questions of kernels about stored state, by result.", labels=["result"]
        )
        for result, value in self._operations().items():
            counted.add_metric([result], value)
        yield counted
