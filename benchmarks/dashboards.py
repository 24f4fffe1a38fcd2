"""How long a visitor waits for a dashboard: forked, warm and cold, against Voila's own, alone and ten at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from time import perf_counter

from playwright.sync_api import Browser, sync_playwright

from .contenders import NOTEBOOKS, POOL, Contender, contenders, settle
from .report import Row, at_most, expected, note
from .stats import Pair, Spread, ratio, spread

TITLE = "Dashboards"
NOTE = (
    "Method: five servers at once, asked in turns and only when all are idle; each visitor is a new one, and their "
    "kernel ends after the visit. The notebook prints the visitor's name: ours asks `app_meta()`, Voila's cold one "
    "its environment, Voila's preheated one `get_query_string()`. Bytes: from the request until the name is among the "
    "bytes of the page. DOM: from the navigation until it is in the document of a headless chromium. Ten at once: "
    f"with {POOL} kernels ahead; the last one of the ten counts. Processor time is that of the server and its kernels, "
    "the refill included; memory is the proportional set size of the kernels of open pages."
)

_people = (f"p{number:04}x" for number in count(1))


def measure(quick: bool = False) -> list[Row]:
    """Return what each contender takes."""
    rounds, crowds = (2, 1) if quick else (5, 2)
    rows: list[Row] = []
    with contenders() as running, browser() as chromium:
        note("dashboards: the pools fill")
        settle(running, 180)
        for notebook in NOTEBOOKS:
            alone = _in_turns(running, rounds, notebook, lambda c, n: c.visit(n, next(_people)), "alone")
            dom = _in_turns(running, rounds, notebook, lambda c, n: _dom(chromium, c, n), "in a browser")
            crowd = _in_turns(running, crowds, notebook, _crowd, "ten at once")
            rows += [*_alone_rows(notebook, alone), *_dom_rows(notebook, dom), *_crowd_rows(notebook, crowd)]
            rows += _cost_rows(notebook, running, 3)
        rows.append(_import_row(running[0], 4 if quick else 14))
    return rows


Times = dict[str, list[float]]


def _in_turns(
    running: list[Contender], rounds: int, notebook: str, act: Callable[[Contender, str], float], what: str
) -> Times:
    """Return each contender's seconds, in rounds."""
    taken: Times = {contender.name: [] for contender in running}
    for number in range(rounds):
        note(f"dashboards: {notebook}, {what}, round {number + 1} of {rounds}")
        for contender in running:
            settle(running)
            taken[contender.name].append(act(contender, notebook))
            contender.close_pages()
    return taken


def _import_row(warm: Contender, rounds: int) -> Row:
    """Return what it costs a visitor that a notebook imports pandas and matplotlib, where that is paid ahead."""
    pairs: list[Pair] = []
    for number in range(rounds):
        note(f"dashboards: warm, both notebooks in turns, round {number + 1} of {rounds}")
        taken = []
        for notebook in NOTEBOOKS:
            settle([warm])
            taken.append(warm.visit(notebook, next(_people)))
            warm.close_pages()
        pairs.append((taken[0], taken[1]))
    found = ratio([[pair] for pair in pairs])
    return at_most("warm: pandas against bare", found.text(2), found, 1.2)


def _dom(browser: Browser, contender: Contender, notebook: str) -> float:
    """Return the seconds until the visitor's name is in the document."""
    person = next(_people)
    context = browser.new_context()
    page = context.new_page()
    page.route(lambda url: not url.startswith(contender.server.url), lambda route: route.abort())
    try:
        start = perf_counter()
        page.goto(contender.address(notebook, person), wait_until="commit")
        page.get_by_text(f"visitor {person} is here").wait_for(state="attached", timeout=120_000)
        taken = perf_counter() - start
        kernel = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
        cookies = {cookie["name"]: cookie["value"] for cookie in context.cookies()}
        contender.open_pages.append((kernel, cookies))
        return taken
    finally:
        context.close()


def _crowd(contender: Contender, notebook: str) -> float:
    """Return the seconds until the last of ten visitors who came together has their name."""
    with ThreadPoolExecutor(10) as pool:
        return max(pool.map(lambda person: contender.visit(notebook, person), [next(_people) for _ in range(10)]))


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a headless chromium."""
    path = next(found for name in ("chromium", "google-chrome") if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


def _milliseconds(times: list[float]) -> Spread:
    return spread(times).scaled(0.001)


def _text(times: Times, name: str) -> str:
    return f"{name} {_milliseconds(times[name]).text(0, ' ms')}"


def _alone_rows(notebook: str, times: Times) -> list[Row]:
    warm, cold = _milliseconds(times["warm"]), spread(times["cold"]).value / spread(times["Voila cold"]).value
    forked = _milliseconds(times["forked"])
    others = "; ".join(_text(times, name) for name in times if name not in ("warm", "forked"))
    return [
        at_most(f"{notebook}: forked, to the name among the bytes", forked.text(0, " ms"), forked, 20, " ms"),
        at_most(f"{notebook}: warm, to the name among the bytes", warm.text(0, " ms"), warm, 50, " ms"),
        Row(f"{notebook}: the others", others),
        expected(f"{notebook}: cold against Voila's cold", f"{cold:.2f}", "not slower", met=cold <= 1),
    ]


def _dom_rows(notebook: str, times: Times) -> list[Row]:
    return [Row(f"{notebook}: to the name in the browser's DOM", "; ".join(_text(times, name) for name in times))]


def _crowd_rows(notebook: str, times: Times) -> list[Row]:
    last = {name: spread([*taken, *taken]).value for name, taken in times.items()}
    shown = "; ".join(f"{name} {value:.2f} s" for name, value in last.items())
    met = 4 * last["forked"] <= last["warm"] <= last["cold"]
    wanted = "forked 4 times faster than warm, warm not slower than cold"
    return [expected(f"{notebook}: ten at once, the last of them", shown, wanted, met=met)]


def _cost_rows(notebook: str, running: list[Contender], visits: int) -> list[Row]:
    """Return processor time and memory for each visitor."""
    shown = []
    for contender in running:
        settle(running)
        note(f"dashboards: {notebook}, processor time and memory of {contender.name}")
        before, idle = contender.cpu(), sum(contender.kernel_memory())
        for _ in range(visits):
            contender.visit(notebook, next(_people))
            settle([contender])
        grown = (sum(contender.kernel_memory()) - idle) / visits
        contender.close_pages()
        settle([contender])
        shown.append(f"{contender.name} {(contender.cpu() - before) / visits:.2f} s, {grown / 1e6:.0f} MB")
    return [Row(f"{notebook}: processor time and memory (PSS) of a visitor", "; ".join(shown))]
