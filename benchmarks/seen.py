"""How long until a visitor sees the first output: our template against Voila's, in the same browser."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import count

from playwright.sync_api import Browser, BrowserContext, Page

from .contenders import POOL, Contender, ours, settle
from .dashboards import browser
from .least import Address, least
from .report import Row, at_most, note
from .stats import Spread, ratio, spread

TITLE = "Time to see"
NOTE = (
    "Method: three servers, with warm kernels, with warm kernels and `--template=lab`, and with `--fork`, asked in "
    "turns by one headless chromium and only when all are idle. From the navigation until a frame is painted in which "
    "the visitor's name is visible: in a new browser context, whose cache is empty, and again in a new tab of the same "
    "one; then by a click on its card in the index, and by a reload. Beside them a page that has nothing but the name, "
    "and our headers: no page can be seen earlier. A new tab shows such a page in a new process, because of the header "
    "`Cross-Origin-Opener-Policy`; a click in the index does not, because the index has the same header."
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

AIM = "(card, query) => { card.search = query; }"
"""Adds a query to the link of a card."""

Taken = dict[str, float]
"""The milliseconds of one round, by what was shown, and how."""

_people = (f"s{number:04}x" for number in count(1))


def measure(quick: bool = False) -> list[Row]:
    """Return the milliseconds of both templates, with an empty cache and with a filled one, and of forked kernels."""
    rounds = 3 if quick else 15
    notebooks = {"page": "ready = True"}
    with ExitStack() as stack:
        both = [ours(name, POOL, notebooks, f"--template={name}") for name in ("app-meta", "lab")]
        fork = ours("fork", 0, notebooks, "--fork", f"--fork-spares={POOL}")
        running = [stack.enter_context(each) for each in (*both, fork)]
        seer = stack.enter_context(browser())
        note("seen: the pools fill")
        nothing = stack.enter_context(least())
        settle(running, 120)
        taken = [_round(seer, running, nothing, number, rounds) for number in range(rounds)]
    return _rows(taken)


def _round(seer: Browser, running: list[Contender], nothing: Address, number: int, rounds: int) -> Taken:
    """Return what each server's page takes with an empty cache, and then with a filled one."""
    note(f"seen: round {number + 1} of {rounds}")
    pages: dict[str, Address] = {contender.name: partial(contender.address, "page") for contender in running}
    found: Taken = {}
    for name, address in {**pages, "least": nothing}.items():
        with seer.new_context() as context:
            for cache in ("empty", "filled"):
                found[f"{name} {cache}"] = _seen(context, running, partial(_go, address))
            if name == "app-meta":
                found["click"] = _seen(context, running, _click, running[0].server.url)
                found["reload"] = _seen(context, running, _reload, address("again"))
    return found


def _go(address: Address, page: Page) -> None:
    page.goto(address(next(_people)), wait_until="commit")


def _reload(page: Page) -> None:
    page.reload(wait_until="commit")


def _click(page: Page) -> None:
    card = page.locator(".am-cards a", has_text="Page")
    card.evaluate(AIM, f"?user={next(_people)}")
    card.click(no_wait_after=True)


def _seen(context: BrowserContext, running: list[Contender], go: Callable[[Page], object], first: str = "") -> float:
    """Return after how many milliseconds the visitor sees the output; ``first`` is what the tab shows before."""
    page = context.new_page()
    if first:
        page.goto(first)
        page.wait_for_timeout(500)  # the rest of what it loads must be in the cache
    page.add_init_script(LOOK)
    settle(running)
    with page.expect_console_message(lambda said: said.text.startswith("seen "), timeout=120_000) as message:
        go(page)
    taken = float(message.value.text.split()[1])
    page.wait_for_load_state("load")
    page.wait_for_timeout(500)  # as above
    page.close(run_before_unload=True)
    return taken


def _rows(taken: list[Taken]) -> list[Row]:
    def of(name: str) -> Spread:
        return spread([each[name] for each in taken])

    def text(name: str) -> str:
        return of(name).text(0, " ms")

    rows = []
    for cache, goal in (("empty", 500), ("filled", 120)):
        own, change = (
            of(f"app-meta {cache}"),
            ratio([[(each[f"lab {cache}"], each[f"app-meta {cache}"])] for each in taken]),
        )
        rows += [
            at_most(f"cache {cache}: to the visible name", text(f"app-meta {cache}"), own, goal, " ms"),
            Row(f"cache {cache}: with forked kernels", text(f"fork {cache}")),
            Row(f"cache {cache}: with Voila's template", text(f"lab {cache}")),
            Row(f"cache {cache}: a page with nothing but the name", text(f"least {cache}")),
            at_most(f"cache {cache}: ours against Voila's template", change.text(2), change, 1),
        ]
    for way, what in (("click", "by a click on its card in the index"), ("reload", "by a reload")):
        rows.append(at_most(f"cache filled: {what}", text(way), of(way), 120, " ms"))
    return rows
