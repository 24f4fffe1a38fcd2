"""The execute round trip: stamped against plain, with a control, and as an ordinary client sees it."""

from __future__ import annotations

from tests.journey.harness import Visitor

from . import duel
from .client import Wire
from .duel import Blocks, Duel
from .report import Row, at_most, note
from .servers import open_notebook, running, visitor
from .stats import ratio

TITLE = "Execute round trip"
SLOW = 20e6  # ns; nothing but a delayed acknowledgement takes that long here


def measure(quick: bool = False) -> list[Row]:
    """Return the ratios of round trips: with the same TCP options, the control, and as clients see it."""
    blocks, rounds = (6, 25) if quick else (40, 100)
    control = Duel("nodelay", "nodelay", True, blocks, rounds)
    stamp = Duel("nodelay", "stamped", True, blocks, rounds)
    ordinary = Duel("plain", "stamped", False, blocks // 2, rounds // 5)
    with running() as server:
        person = visitor(server)
        kernel_id = open_notebook(person)
        size = _payload_size(person, kernel_id)
        results = duel.run(person, kernel_id, (control, stamp))
        note("round trip: an ordinary client")
        results |= duel.run(person, kernel_id, (ordinary,))
    return [
        _costs(
            results[stamp], f"stamped ({size} bytes) against plain, both with TCP_NODELAY, client with TCP_QUICKACK"
        ),
        _control(results[control]),
        _gain(results[ordinary]),
    ]


def _payload_size(person: Visitor, kernel_id: str) -> int:
    wire = Wire.connect(person, kernel_id)
    try:
        return int(str(wire.ask("print(len(get_ipython().kernel.get_parent()['metadata']['app_meta']['payload']))")))
    finally:
        wire.close()


def _costs(blocks: Blocks, what: str) -> Row:
    found = ratio(blocks)
    return at_most(f"round trip of `pass`: {what}", duel.text(found, blocks), found, 1.03)


def _control(blocks: Blocks) -> Row:
    return Row("the same, plain against plain: what can be resolved", duel.text(ratio(blocks), blocks))


def _gain(blocks: Blocks) -> Row:
    found = ratio(blocks)
    slow = [100 * sum(pair[side] > SLOW for block in blocks for pair in block) / duel.count(blocks) for side in (0, 1)]
    text = (
        f"{duel.text(found, blocks)}; longer than {SLOW / 1e6:.0f} ms: plain {slow[0]:.0f} %, stamped {slow[1]:.0f} %"
    )
    return at_most("the same as an ordinary client sees it: stamped against plain jupyter_server", text, found, 1)
