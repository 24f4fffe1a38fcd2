"""``python -m benchmarks [--quick] [name …]``: measure, and print Markdown tables."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from .report import machine, note, table

NAMES = (
    "hot_loop",
    "big_buffers",
    "round_trip",
    "hub_round_trip",
    "audit",
    "kernel_calls",
    "kernel_import",
    "idle_memory",
    "dashboards",
    "forks.alone",
    "forks.crowds",
    "forks.costs",
    "seen",
    "frame",
    "asgi",
    "state.cells",
    "state.pages",
    "state.gateways",
)
SOAK = "hangs"
"""Takes up to an hour, and is run only where it is named."""

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the benchmarks that were named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what jupyter-app-meta costs.")
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"one of {', '.join(NAMES)}; without one, all these; or {SOAK}"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to see that it runs, not for figures")
    parser.add_argument("--loads", type=int, help=f"how many pages {SOAK} loads: 2000 without it")
    parser.add_argument("--head", choices=("bare", "pandas"), help="with which page forks.* measures: both without it")
    options = parser.parse_args()
    for name in set(options.names).difference((*NAMES, SOAK)):
        parser.error(f"there is no benchmark {name!r}; there are {', '.join(NAMES)}.")
    sys.path[:0] = [str(ROOT / folder) for folder in ("extension", "", "tests/journey", "tests/hub", "tests/state")]
    print(f"{machine()}{' Quick: not for figures.' if options.quick else ''}")
    print("In brackets: quartiles; of a ratio or a difference (+) its bootstrap 95 % interval.")
    for name in options.names or NAMES:
        note(f"{name} …")
        benchmark = import_module(f"benchmarks.{name}")
        more: dict[str, object] = {"loads": options.loads} if name == SOAK else {}
        if name.startswith("forks.") and options.head:
            more["heads"] = (options.head,)
        rows = benchmark.measure(options.quick, **more)
        print(f"\n### {benchmark.TITLE}\n\n{table(rows)}\n\n{benchmark.NOTE}", flush=True)


if __name__ == "__main__":
    main()
