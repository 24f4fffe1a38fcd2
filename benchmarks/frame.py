"""What the frame costs: our template against Voila's, on the same server, without a browser: pages and callbacks."""

from __future__ import annotations

from contextlib import ExitStack

from . import asgi, duel
from .contenders import POOL, ours, settle
from .report import Row, at_most, note
from .stats import ratio

TITLE = "The frame"
NOTE = (
    "Method: two servers with warm kernels, one with `--template=lab`, asked in turns as in `asgi`: from the request "
    "until the visitor's name is among the bytes; and a slider's callback, until the kernel is idle again. The "
    "control is a second page of the server with Voila's template."
)


def measure(quick: bool = False) -> list[Row]:
    """Return the ratios of pages and of callbacks, and the control."""
    visits, blocks, rounds = (8, 3, 30) if quick else (40, 12, 100)
    with ExitStack() as stack:
        lab, framed = (
            stack.enter_context(ours(name, POOL, asgi.NOTEBOOKS, f"--template={name}")) for name in ("lab", "app-meta")
        )
        note("frame: the pools fill")
        settle([lab, framed], 180)
        pages = asgi.pages((lab, framed), visits)
        callbacks, control = asgi.callbacks(lab, framed, blocks, rounds)
    page, callback = ratio(pages), ratio(callbacks)
    return [
        at_most("a warm page, to the name among its bytes", duel.text(page, pages), page, 1.10),
        at_most("a slider's callback", duel.text(callback, callbacks), callback, 1.05),
        Row("the control: a second page of the same server", duel.text(ratio(control), control)),
    ]
