"""State of dashboards: changes between kernels, a greedy one, the tab in a first render, and what visits leave."""

from __future__ import annotations

import shutil
import time
from bisect import bisect
from collections.abc import Callable
from contextlib import ExitStack
from statistics import quantiles
from typing import NamedTuple

import psutil
from harness import Server, eventually
from playwright.sync_api import Page as BrowserPage
from playwright.sync_api import sync_playwright

from jupyter_app_meta.state.stores.base import Where
from jupyter_app_meta.state.stores.open import open_store

from ..contenders import Contender, settle
from ..least import least
from ..report import Row, at_most, expected, note
from ..stats import spread
from .stores import NAMES, emptied
from .talk import PAGE, Page, serving

TITLE = "State of dashboards"
NOTE = (
    "Changes: from before the write in one kernel until the function in the other one is called; 30 ms between writes. "
    "The tab: in a headless chromium, from the first byte of the page until the server has answered the page's "
    "script, which tells it the tab; in a new tab, and by a click in the index. The greedy kernel asks without a pause "
    "while another visitor loads the index, "
    "from its fourth second on: what it may ask at once is over, and it is as slow as a server lets it become. It "
    "takes processor time from the pages, too: how much, is seen where it computes as long and asks nothing. "
    "Visits: one visitor opens and closes a page whose cell stores something of the visitor and something of everybody."
)

GREEDY = 3.0
"""Seconds after which a kernel that asks without a pause is as slow as it becomes."""

VISITORS = ("session", "visitor", "preferences", "shared", "sessions")
"""The audiences of rows that visits make. Servers have rows of their own."""

BROWSER = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
"""How the browser is started. Voila's pages name a CDN, which it does not find. A route of playwright would let each
request of the page wait until this process, which is not part of what is measured, has said that it may go on."""

TAB = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const tab = performance.getEntriesByType("resource").find(entry => entry.name.includes("api/app-meta/tab"));
  return tab ? tab.responseEnd - page.responseStart : null;
}"""


def measure(quick: bool = False) -> list[Row]:
    """Return the rows of each store, and what a server of a file takes."""
    rows = [row for kind in NAMES for row in _changes(kind, 20 if quick else 200)]
    with emptied("sqlite") as url, serving(url, "--warm=2") as server:
        rows += [*_tab(server, 3 if quick else 30), _greedy(server, 4 if quick else 20)]
    with emptied("sqlite") as url, serving(url) as server:
        rows.append(_visits(server, url, 10 if quick else 200))
    return rows


def _changes(kind: str, times: int) -> list[Row]:
    """Time changes on one server, and from one server to another one."""
    rows = []
    with emptied(kind) as url, ExitStack() as ends:
        one, other = (ends.enter_context(serving(url, f"--Serve.server_id={tag * 4}")) for tag in "ab")
        watching = Page(one.visitor())
        watching.tell("watch()")
        for servers, server, limit in (("one server", one, 3), ("two servers", other, 6)):
            note(f"state: changes, {NAMES[kind]}, {servers}")
            taken = _heard(watching, Page(server.visitor()), times)
            found = spread(taken)
            text = f"p50 {found.text(1, ' ms')}; {len(taken)} of {times} heard"
            what = f"{NAMES[kind]}: a change until another kernel's function is called, {servers}"
            polls = kind == "sqlite" and server is other
            rows.append(
                Row(what, f"{text}; a file is looked at twice a second") if polls else _fast(what, text, taken, limit)
            )
    return rows


def _fast(what: str, text: str, taken: list[float], limit: float) -> Row:
    return at_most(what, text, spread(taken), limit, " ms")


def _heard(watching: Page, writing: Page, times: int) -> list[float]:
    """Return the milliseconds of each change that was heard; several writes may be heard as one."""
    watching.tell("heard.clear()")
    told = writing.tell(f"write({times})")
    time.sleep(1)
    found = []
    for moment in watching.tell("heard"):
        place = bisect(told, moment)
        if place:
            found.append((moment - told[place - 1]) / 1e6)
    writing.close()
    return found


def _tab(server: Server, times: int) -> list[Row]:
    """Time in a browser until the server knows the tab: in a new tab, by a click in the index, and at least."""
    path = next(place for name in ("chromium", "google-chrome") if (place := shutil.which(name)))
    taken: dict[str, list[float]] = {}
    with sync_playwright() as playwright, least() as nothing:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER)
        browser.new_page().goto(server.url)  # the first page of a browser takes longer
        ways: dict[str, Callable[[BrowserPage], object]] = {
            "the tab is known, from the first byte of the page": lambda page: page.goto(f"{server.url}{PAGE}"),
            "the same, by a click in the index": lambda page: _click(page, server.url),
            "the same, a page with nothing but our headers and the request": lambda page: page.goto(nothing("tab")),
        }
        for number in range(times):
            note(f"state: the tab, visit {number + 1} of {times}")
            for what, go in ways.items():
                taken.setdefault(what, []).append(_told(browser.new_page(), server, go))
        browser.close()
    return [_told_row(what, found, is_ours="nothing" not in what) for what, found in taken.items()]


def _told(page: BrowserPage, server: Server, go: Callable[[BrowserPage], object]) -> float:
    """Return the milliseconds from the first byte of a page to the answer to what it tells."""
    settle([Contender("warm", "", server, PAGE)])
    go(page)
    found = float(eventually(lambda: page.evaluate(TAB)))
    page.close()
    return found


def _click(page: BrowserPage, index: str) -> None:
    page.goto(index)
    page.locator(f".am-cards a[href$='/{PAGE}']").click()
    page.wait_for_url(f"**/{PAGE}")


def _told_row(what: str, taken: list[float], *, is_ours: bool) -> Row:
    found = spread(taken)
    text = f"p50 {found.text(0, ' ms')}, the longest {max(taken):.0f} ms; {len(taken)} visits"
    return at_most(what, text, found, 50, " ms") if is_ours else Row(what, text)


def _greedy(server: Server, blocks: int) -> Row:
    """Compare how long another visitor's index takes while a kernel asks without a pause, or is as busy alone."""
    kernel, visitor = Page(server.visitor()), server.visitor()
    settle([Contender("warm", "", server, PAGE)])
    taken: dict[str, list[float]] = {"modest()": [], "greedy()": [], "busy()": []}
    for number in range(blocks):
        for state, times in taken.items():
            note(f"state: a greedy kernel, block {number + 1} of {blocks}, {state}")
            kernel.tell(state)
            time.sleep(GREEDY if state == "greedy()" else 0.5)
            for _ in range(40):
                began = time.perf_counter()
                visitor.get("").raise_for_status()
                times.append(1e3 * (time.perf_counter() - began))
            kernel.tell("modest()")
    kernel.close()
    calm, pressed, busy = (quantiles(times, n=20)[-1] for times in taken.values())
    found = spread([pressed / calm] * 2)
    text = f"ratio {pressed / calm:.2f}: {pressed:.1f} ms against {calm:.1f} ms; {blocks * 40} pages each"
    alone = f"ratio {busy / calm:.2f} if it takes as much processor time and asks nothing"
    return at_most("one greedy kernel: p95 of the others' pages", f"{text}; {alone}", found, 1.2)


class Left(NamedTuple):
    """What a server has."""

    kernels: int
    descriptors: int
    threads: int
    rows: int
    memory: float  # MB

    @classmethod
    def of(cls, server: Server, url: str) -> Left:
        """Count it, with the rows of its store."""
        process, store = psutil.Process(server.process.pid), open_store(url)
        rows = sum(1 for row in store.export(Where()) if row.scope.audience in VISITORS)
        store.close()
        used = process.memory_full_info().uss / 1e6
        return cls(len(process.children(recursive=True)), process.num_fds(), process.num_threads(), rows, used)


def _visits(server: Server, url: str, times: int) -> Row:
    """Open and close pages, and compare what is there before and after."""
    visitor = server.visitor()
    visitor.get("")

    def visits(number: int) -> Left:
        for turn in range(number):
            note(f"state: visit {turn + 1} of {number}")
            page = Page(visitor)
            page.tell("1")
            page.close()
        eventually(lambda: not psutil.Process(server.process.pid).children(recursive=True))
        time.sleep(3)  # a server looks at its kernels once a second
        return Left.of(server, url)

    before, after = visits(5), visits(times)
    same = (before.kernels, before.threads, before.rows) == (after.kernels, after.threads, after.rows)
    shown = ", ".join(f"{name} {one} → {two}" for name, one, two in zip(Left._fields[:4], before, after, strict=False))
    text = f"{shown}; memory {before.memory:.1f} → {after.memory:.1f} MB"
    met = same and after.descriptors <= before.descriptors + 4
    return expected(f"{times} visits with state, and their ends", text, "nothing is left", met=met)
