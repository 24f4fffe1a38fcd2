"""State that a cell asks for through a gateway, against the same on the server's own machine."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import BARE, free_port, kernelspec, launched

from ..duel import text
from ..report import Row, at_most, note
from ..stats import Pair, ratio
from .stores import emptied
from .talk import Page, serving

TITLE = "State through gateways"
NOTE = (
    "Two dashboard servers with a file each. The kernels of one run behind a gateway on the same machine. A cell of "
    "each reads a value that is there, in turns; between two bursts is a pause, so that no answer waits."
)
BURST = 40
ENTERPRISE = Path(sys.prefix).with_name(f"{Path(sys.prefix).name}-enterprise") / "bin" / "python"
"""The environment of the Enterprise Gateway, which needs an old jupyter_client."""

GATEWAYS = {
    "Kernel Gateway": (sys.executable, "kernel_gateway", "KernelGatewayApp"),
    "Enterprise Gateway": (str(ENTERPRISE), "enterprise_gateway", "EnterpriseGatewayApp"),
}
NAMED = {"KERNEL_USERNAME": "dashboards"}
"""Enterprise Gateway starts no kernel for root, and takes the name from this variable."""


def measure(quick: bool = False) -> list[Row]:
    """Return a row for each gateway."""
    return [_row(name, 4 if quick else 40) for name in GATEWAYS]


def _row(name: str, blocks: int) -> Row:
    with ExitStack() as ends:
        behind = f"--GatewayClient.url={ends.enter_context(_gateway(name))}"
        options = [behind, "--GatewayClient.allowed_envs=KERNEL_USERNAME"]
        near, far = (
            Page(ends.enter_context(serving(ends.enter_context(emptied("sqlite")), *some, env=NAMED)).visitor())
            for some in ([], options)
        )
        found = [_block(name, number, near, far) for number in range(blocks)]
    what = f"a read through {name}, against a read without a gateway"
    return at_most(what, text(ratio(found), found), ratio(found), 2.2)


def _block(name: str, number: int, near: Page, far: Page) -> list[Pair]:
    """Return pairs of nanoseconds of one burst each."""
    note(f"state: {name}, block {number + 1}")
    taken = {}
    for page in random.sample((near, far), 2):
        taken[page] = page.tell(f"reads({BURST})")
        time.sleep(BURST / 100)
    return list(zip(taken[near], taken[far], strict=True))


@contextmanager
def _gateway(name: str) -> Iterator[str]:
    """Run a gateway, and yield its address."""
    python, module, application = GATEWAYS[name]
    with TemporaryDirectory(prefix="benchmark-") as place:
        home, port = Path(place), free_port()
        (home / "root").mkdir()
        kernelspec(home, BARE)
        argv = ["-m", module, f"--port={port}", "--ip=127.0.0.1", f"--{application}.port_retries=0"]
        with launched(home, argv, f"http://127.0.0.1:{port}/", env={"PYTHONPATH": ""}, python=python) as server:
            yield server.url.rstrip("/")
