"""Serves the four dashboards to three people and prints the link to open; Ctrl-C stops it."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .home import HOST, NOTEBOOKS, free_port, prepare

if TYPE_CHECKING:
    from jupyter_app_meta.dashboards import Builder


def dashboards(folder: Path, *, fork: bool | None = None) -> Builder:
    """Return a server of the dashboards of a folder."""
    from jupyter_app_meta.dashboards import create_app

    from .login import PAGES, People

    customers = [{"customer_id": str(number)} for number in (1001, 1002, 1003)]

    return (
        create_app(identity_provider=People, template_paths=[PAGES], fork=fork)
        .with_index()
        .with_app(path="/sales", root=folder / "sales.ipynb")
        .with_app(path="/customers/{customer_id}", root=folder / "customer.ipynb", examples=customers)
        .with_app(path="/live", root=folder / "live.ipynb")
        .with_app(path="/lunch", root=folder / "lunch.ipynb")
    )


def invite(port: int) -> None:
    """Print the link, and what to try."""
    base = f"http://{HOST}:{port}"
    print(
        "\n  The dashboards run. A minute with them:\n\n"
        f"    1. Open {base}/ \n"
        "       and be Alice.\n"
        "    2. Open Personal sales, and move the slider: the figures are hers.\n"
        f"    3. Open {base}/sales?region=apac\n"
        "       in a private window, as Bob: he sees his team, and the region that the link names.\n"
        "    4. Press Ctrl-C here: both pages say that they have lost the server.\n"
        "    5. Start it again: both pages come back by themselves, to the same people.\n\n"
        f"  More: {base}/customers/1002   a page for each customer\n"
        f"        {base}/live             in two tabs: each has an id of its own\n"
        f"        {base}/lunch            in two windows: a vote in one moves in the other, and is there tomorrow\n\n"
        f"  The notebooks are in {NOTEBOOKS / 'dashboards'}: edit one, reload its page.\n",
        flush=True,
    )


def main() -> None:
    """Serve until Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    with suppress(KeyboardInterrupt):
        prepare()
        port = free_port(8866)
        fork = sys.platform == "linux" or None  # the first visitor should not wait either
        dashboards(NOTEBOOKS / "dashboards", fork=fork).run(port=port, ip=HOST, ready=lambda: invite(port))


if __name__ == "__main__":
    main()
