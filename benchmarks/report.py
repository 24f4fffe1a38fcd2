"""What a benchmark reports: rows of a Markdown table, and the machine on which they were measured."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from .stats import Spread


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; a row without a target is there to be compared with."""

    what: str
    measured: str
    target: str = "–"
    verdict: str = "–"


def at_most(what: str, measured: str, found: Spread, limit: float, unit: str = "") -> Row:
    """Return the row of a value that has an upper bound."""
    return Row(what, measured, f"at most {limit:g}{unit}", _verdict(found, limit))


def _verdict(found: Spread, limit: float) -> str:
    if found.value <= limit:
        return "met"
    doubt = ", within the noise" if found.low <= limit else ""
    excess = 100 * (found.value / limit - 1)
    return f"missed by {excess:.{0 if excess >= 1 else 1}f} %{doubt}"


def expected(what: str, measured: str, target: str, *, met: bool) -> Row:
    """Return the row of something that is so or is not."""
    return Row(what, measured, target, "met" if met else "missed")


def table(rows: Iterable[Row]) -> str:
    """Return the rows as Markdown."""
    lines = ["| what | measured | target | |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {row.what} | {row.measured} | {row.target} | {row.verdict} |" for row in rows)])


def machine() -> str:
    """Return one line that says where this runs."""
    names = ("jupyter_server", "jupyter_client", "ipykernel", "tornado")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}, {versions}; load average at the start {load}."
    )


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def note(text: str) -> None:
    """Tell the person who waits how far the benchmark is."""
    print(text, file=sys.stderr, flush=True)
