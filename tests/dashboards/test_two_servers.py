"""Two servers behind nginx, with one store: a visitor may be on either, and survives the end of one of them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from browsing import PATIENCE
from databases import PostgresServer, RedisServer, running
from harness import NO_TLS, Server, free_port
from nginx import answers, nginx, program
from playwright.sync_api import Browser, expect
from stage import SLIDER, Opened, browse, move, serving_folder, write

LINES = (Path(__file__).parents[2] / "docs" / "nginx" / "two_servers.conf").read_text("utf-8")
TAGS = ("aaaa", "bbbb")
BACK = 5
"""Seconds within which an open page is loaded again from the other server, besides the time that any page takes."""

COUNTS = """from jupyter_app_meta import app_meta, session, visitor
print(f"<{app_meta().user.username}|{visitor.state.add('visits')}|{session.state.add('loads')}>")"""
"""A cell that prints who it sees, and counts this person's visits and this tab's."""


@dataclass(frozen=True)
class Pair:
    """Two servers, and the address of the nginx in front of them."""

    servers: dict[str, Server]
    front: Server

    def end(self, tag: str) -> None:
        """End a server and its kernels at once."""
        self.servers[tag].kill()
        self.servers[tag].process.wait(30)


@pytest.fixture(params=[RedisServer, PostgresServer])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Two servers whose state is in one Redis or PostgreSQL. They share no folder."""
    program()
    lines, servers = LINES, {}
    with running(request.param) as store, ExitStack() as ends:
        for tag, documented in zip(TAGS, ("8866", "8867"), strict=True):
            home = tmp_path / tag
            write(home / "root" / "books" / "page.ipynb", COUNTS, SLIDER)
            options = (f"--Serve.server_id={tag}", f"--AppMetaExtension.state_url={store.url}")
            servers[tag] = ends.enter_context(serving_folder(home, "books", *options))
            lines = lines.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{urlsplit(servers[tag].url).port}")
        port = free_port()
        lines = lines.replace("listen 80;", f"listen 127.0.0.1:{port};")
        front = Server(tmp_path, f"http://127.0.0.1:{port}/", servers["aaaa"].process, "")
        ends.enter_context(nginx(tmp_path, lines, lambda: answers(front.url)))
        ends.enter_context(front.closing)
        yield Pair(servers, front)


def counted(opened: Opened) -> tuple[str, int]:
    """Return who the page's visitor is, and how often they were here."""
    found = re.search(r"<(\w+)\|(\d+)\|\d+>", opened.html)
    assert found, opened.html[-2000:]
    return found[1], int(found[2])


def test_a_visitor_is_the_same_on_both_servers_and_survives_one(pair: Pair, browser: Browser) -> None:
    """Visits alternate and are counted together, kernels are routed, and the end of a server costs no request."""
    visitor = pair.front.visitor()
    visitor.get("")  # the first answer is the one that says who the visitor is
    pages = [browse(visitor, "page") for _ in range(2)]
    assert len({counted(page)[0] for page in pages}) == 1
    assert [counted(page)[1] for page in pages] == [1, 2]
    assert {page.kernel_id[:4] for page in pages} == set(TAGS)
    for page in pages:
        assert visitor.get(f"api/kernels/{page.kernel_id}").status_code == 200
    assert move(pages[0].connect(), pages[0], 3).endswith("|3")
    stays_open(pair, browser)
    after = [browse(visitor, "page") for _ in range(2)]
    assert [counted(page)[1] for page in after] == [3, 4]
    assert len({page.kernel_id[:4] for page in after}) == 1
    gone = next(page for page in pages if page.kernel_id[:4] != after[0].kernel_id[:4])
    assert visitor.get(f"api/kernels/{gone.kernel_id}").status_code == 403


def stays_open(pair: Pair, browser: Browser) -> None:
    """Kill the server of a page that is open in Chromium: it is alive on the other one, in the same tab, in seconds."""
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(pair.front.url)
    began = time.monotonic()
    tab.goto(f"{pair.front.url}page")
    tab.locator(".noUi-handle").wait_for(timeout=PATIENCE)
    cold = time.monotonic() - began
    cells = tab.locator("#rendered_cells")
    (who,) = re.findall(r"<(\w+)\|1\|1>", cells.inner_text())
    tag = tab.evaluate("() => JSON.parse(document.getElementById('jupyter-config-data').text).kernelId")[:4]
    pair.end(tag)
    began = time.monotonic()
    assert [httpx.head(f"{pair.front.url}page", verify=NO_TLS, timeout=60).status_code for _ in range(3)] == [200] * 3
    expect(cells).to_contain_text(f"<{who}|2|2>", timeout=PATIENCE)
    took = time.monotonic() - began
    handle = tab.locator(".noUi-handle")
    handle.press("ArrowRight")
    expect(tab.locator("div.widget-label")).to_have_text(re.compile(r"\|1$"), timeout=PATIENCE)
    print(f"alive on the other server after {took:.1f} s, of which a cold page takes {cold:.1f}")
    assert took < BACK + cold
    context.close()
