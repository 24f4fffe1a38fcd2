"""How long until a visitor sees the first output: our template against Voila's, in the same browser."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import count

from playwright.sync_api import Browser, BrowserContext

from .contenders import POOL, Contender, ours, settle
from .dashboards import browser
from .report import Row, at_most, note
from .stats import Pair, ratio, spread

TITLE = "Time to see"
NOTE = (
    "Method: two servers with warm kernels, one with `--template=lab`, asked in turns by one headless chromium and "
    "only when both are idle. From the navigation until a frame is painted in which the visitor's name is visible: in "
    "a new browser context, whose cache is empty, and again in the same one."
)

LOOK = """(() => {
  const shown = { opacityProperty: true, visibilityProperty: true };
  const isThere = (node) => node.textContent.includes(" is here") && node.checkVisibility(shown);
  const note = () => console.debug("seen", performance.now());
  const look = () => {
    const found = [...document.querySelectorAll("#rendered_cells pre")].some(isThere);
    requestAnimationFrame(found ? note : look);
  };
  look();
})()"""
"""Runs before a page's first script, and says when the first output is on the screen. The browser is asked nothing
meanwhile: a question would bring a script of its own, for which the page waits."""

_people = (f"s{number:04}x" for number in count(1))


def measure(quick: bool = False) -> list[Row]:
    """Return the milliseconds of both templates, with an empty cache and with a filled one."""
    rounds = 3 if quick else 15
    notebooks = {"page": "ready = True"}
    with ExitStack() as stack:
        both = [stack.enter_context(ours(name, POOL, notebooks, f"--template={name}")) for name in ("app-meta", "lab")]
        seer = stack.enter_context(browser())
        note("seen: the pools fill")
        settle(both, 120)
        taken = [_round(seer, both, number, rounds) for number in range(rounds)]
    return [*_rows("empty", [first for first, _ in taken], 500), *_rows("filled", [again for _, again in taken], 120)]


def _round(seer: Browser, both: list[Contender], number: int, rounds: int) -> tuple[Pair, Pair]:
    """Return what Voila's template and ours take, first with an empty cache, then with a filled one."""
    note(f"seen: round {number + 1} of {rounds}")
    found = []
    for contender in both:
        context = seer.new_context()
        try:
            found.append((_seen(context, contender, both), _seen(context, contender, both)))
        finally:
            context.close()
    (first, again), (first_of_lab, again_of_lab) = found
    return (first_of_lab, first), (again_of_lab, again)


def _seen(context: BrowserContext, contender: Contender, both: list[Contender]) -> float:
    """Return after how many milliseconds the visitor sees the output."""
    settle(both)
    page = context.new_page()
    page.add_init_script(LOOK)
    with page.expect_console_message(lambda said: said.text.startswith("seen "), timeout=120_000) as message:
        page.goto(contender.address("page", next(_people)), wait_until="commit")
    taken = float(message.value.text.split()[1])
    page.wait_for_load_state("load")
    page.wait_for_timeout(500)  # the rest of what it loads must be in the cache
    page.close(run_before_unload=True)
    return taken


def _rows(cache: str, pairs: list[Pair], goal: float) -> list[Row]:
    old, own, change = spread([a for a, _ in pairs]), spread([b for _, b in pairs]), ratio([[pair] for pair in pairs])
    return [
        at_most(f"cache {cache}: to the visible name", own.text(0, " ms"), own, goal, " ms"),
        Row(f"cache {cache}: with Voila's template", old.text(0, " ms")),
        at_most(f"cache {cache}: ours against Voila's template", change.text(2), change, 1),
    ]
