"""What the frame costs: our template against Voila's, on the same server, without a browser: pages and callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from . import asgi, duel
from .contenders import POOL, Contender, ours, settle
from .report import Row, at_most, note
from .stats import ratio

TITLE = "The frame"
NOTE = (
    "Method: three servers with warm kernels, two of them with `--template=lab`, asked in turns as in `asgi`: from the "
    "request until the visitor's name is among the bytes; and a slider's callback, until the kernel is idle again. The "
    "control is the second server with Voila's template: two servers differ although they are the same. So the "
    "processor time of a callback is counted as well, which depends less on what else the machine does."
)


def measure(quick: bool = False) -> list[Row]:
    """Return the ratios of pages and of callbacks, the control, and the processor time of a callback."""
    visits, blocks, rounds = (8, 3, 30) if quick else (40, 12, 100)
    with ExitStack() as stack:
        names = {"lab": "lab", "app-meta": "app-meta", "twin": "lab"}
        running = [
            stack.enter_context(ours(name, POOL, asgi.NOTEBOOKS, f"--template={template}"))
            for name, template in names.items()
        ]
        lab, framed, twin = running
        note("frame: the pools fill")
        settle(running, 180)
        pages = asgi.pages((lab, framed), visits)
        callbacks, control = asgi.callbacks(lab, framed, blocks, rounds, twin)
        costs = _costs(running, 10 * rounds)
    page, callback = ratio(pages), ratio(callbacks)
    return [
        at_most("a warm page, to the name among its bytes", duel.text(page, pages), page, 1.10),
        at_most("a slider's callback", duel.text(callback, callbacks), callback, 1.05),
        Row("the control: another server with Voila's template", duel.text(ratio(control), control)),
        Row("processor time of a callback, server and kernel", _text(*costs)),
    ]


def _costs(running: Sequence[Contender], rounds: int) -> list[float]:
    """Return the milliseconds of processor time that a callback takes each server and its kernels."""
    note("frame: processor time")
    settle([*running])
    with asgi.sliders(running) as opened:
        settle([*running])  # the pools are full again
        before = [contender.cpu() for contender in running]
        for value in range(rounds):
            for slider in opened:
                slider.move(value % 100 + 1)
        return [1e3 * (contender.cpu() - begun) / rounds for contender, begun in zip(running, before, strict=True)]


def _text(lab: float, framed: float, twin: float) -> str:
    return f"ratio {framed / lab:.3f}: {framed:.2f} against {lab:.2f} ms; the control {twin / lab:.3f}"
