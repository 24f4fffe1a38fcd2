"""How long until a visitor sees the first output: our template against Voila's, in the same browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread

from playwright.sync_api import Browser, BrowserContext

from .contenders import POOL, Contender, ours, settle
from .dashboards import browser
from .report import Row, at_most, note
from .stats import ratio, spread

TITLE = "Time to see"
NOTE = (
    "Method: two servers with warm kernels, one with `--template=lab`, asked in turns by one headless chromium and "
    "only when both are idle. From the navigation until a frame is painted in which the visitor's name is visible: in "
    "a new browser context, whose cache is empty, and again in the same one. Beside them a page that has nothing but "
    "the name, and our headers: no page can be seen earlier."
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

Address = Callable[[str], str]
"""Returns the URL of a page for a person."""

Taken = dict[str, tuple[float, ...]]
"""The milliseconds of our template, of Voila's and of the least page, by the state of the cache."""

_people = (f"s{number:04}x" for number in count(1))


def measure(quick: bool = False) -> list[Row]:
    """Return the milliseconds of both templates, with an empty cache and with a filled one."""
    rounds = 3 if quick else 15
    notebooks = {"page": "ready = True"}
    with ExitStack() as stack:
        both = [stack.enter_context(ours(name, POOL, notebooks, f"--template={name}")) for name in ("app-meta", "lab")]
        seer = stack.enter_context(browser())
        note("seen: the pools fill")
        least = stack.enter_context(_nothing_but_the_name())
        settle(both, 120)
        taken = [_round(seer, both, least, number, rounds) for number in range(rounds)]
    return [row for cache, goal in (("empty", 500), ("filled", 120)) for row in _rows(cache, taken, goal)]


def _round(seer: Browser, both: list[Contender], least: Address, number: int, rounds: int) -> Taken:
    """Return what our template, Voila's and the least page take with an empty cache, and then with a filled one."""
    note(f"seen: round {number + 1} of {rounds}")
    pages: list[Address] = [*(partial(contender.address, "page") for contender in both), least]
    found = []
    for address in pages:
        context = seer.new_context()
        try:
            found.append((_seen(context, address, both), _seen(context, address, both)))
        finally:
            context.close()
    return {cache: tuple(times[index] for times in found) for index, cache in enumerate(("empty", "filled"))}


@contextmanager
def _nothing_but_the_name() -> Iterator[Address]:
    """Run a server whose page has one line, and the headers of ours that decide how a browser shows a page."""

    class Page(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            text = (
                f"<!DOCTYPE html><title>x</title><div id=rendered_cells><pre>{self.path} is here</pre></div>".encode()
            )
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=UTF-8")
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield lambda person: f"http://127.0.0.1:{server.server_port}/{person}"
        server.shutdown()


def _seen(context: BrowserContext, address: Address, both: list[Contender]) -> float:
    """Return after how many milliseconds the visitor sees the output."""
    settle(both)
    page = context.new_page()
    page.add_init_script(LOOK)
    with page.expect_console_message(lambda said: said.text.startswith("seen "), timeout=120_000) as message:
        page.goto(address(next(_people)), wait_until="commit")
    taken = float(message.value.text.split()[1])
    page.wait_for_load_state("load")
    page.wait_for_timeout(500)  # the rest of what it loads must be in the cache
    page.close(run_before_unload=True)
    return taken


def _rows(cache: str, taken: list[Taken], goal: float) -> list[Row]:
    own, lab, least = (spread([each[cache][index] for each in taken]) for index in range(3))
    change = ratio([[(each[cache][1], each[cache][0])] for each in taken])
    return [
        at_most(f"cache {cache}: to the visible name", own.text(0, " ms"), own, goal, " ms"),
        Row(f"cache {cache}: with Voila's template", lab.text(0, " ms")),
        Row(f"cache {cache}: a page with nothing but the name", least.text(0, " ms")),
        at_most(f"cache {cache}: ours against Voila's template", change.text(2), change, 1),
    ]
