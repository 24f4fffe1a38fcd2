"""The execute round trip on a JupyterHub: through its proxy, to a user's server, with and without us."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hub import hub_running

from . import duel
from .duel import Blocks, Duel
from .report import Row, at_most
from .servers import ROOT, open_notebook
from .stats import ratio

TITLE = "Execute round trip on a JupyterHub"
NOTE = (
    "A real Hub, its proxy and alice's own server; both sockets are of that server and one kernel, in turns. The plain "
    "one is the connection class that the server has without us."
)
CONFIG = "c.ServerApp.jpserver_extensions['benchmarks.both'] = True\n"
HUB_CONFIG = "c.Spawner.environment['PYTHONPATH'] = {path!r}\nc.Spawner.environment['PYTHONDONTWRITEBYTECODE'] = ''\n"


def measure(quick: bool = False) -> list[Row]:
    """Return the ratios of a cell's round trips: with the same TCP options, the control, and as clients see it."""
    blocks, rounds = (4, 25) if quick else (40, 100)
    control = Duel("nodelay", "nodelay", True, blocks, rounds)
    stamp = Duel("nodelay", "stamped", True, blocks, rounds)
    ordinary = Duel("plain", "stamped", False, max(2, blocks // 4), rounds // 5)
    path = os.pathsep.join([str(ROOT / "extension"), str(ROOT)])
    with (
        TemporaryDirectory(prefix="benchmark-") as home,
        hub_running(Path(home), config=CONFIG, hub_config=HUB_CONFIG.format(path=path)) as hub,
    ):
        hub.start_server("alice")
        alice = hub.browser("alice").visit("alice")
        kernel_id = open_notebook(alice)
        results = duel.run(alice, kernel_id, (control, stamp)) | duel.run(alice, kernel_id, (ordinary,))
    return [_cost(results[stamp]), _control(results[control]), _ordinary(results[ordinary])]


def _cost(blocks: Blocks) -> Row:
    found = ratio(blocks)
    return at_most("stamped against plain, TCP_NODELAY on both", duel.text(found, blocks), found, 1.02)


def _control(blocks: Blocks) -> Row:
    return Row("the control: plain against plain, all else the same", duel.text(ratio(blocks), blocks))


def _ordinary(blocks: Blocks) -> Row:
    found = ratio(blocks)
    what = "an ordinary client: stamped against plain, each as it is"
    return at_most(what, duel.text(found, blocks), found, 1.02)
