"""Two servers behind nginx, with one store: nothing is counted twice, and a visitor survives the end of one of them."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import redis
from browsing import PATIENCE
from databases import MariaServer, PostgresServer, RedisServer, running
from databases import Server as Database
from harness import NO_TLS, Server, Socket, Visitor, free_port
from nginx import answers, nginx, program
from playwright.sync_api import Browser, expect
from stage import SLIDER, Opened, browse, eventually, move, serving_folder, write

LINES = (Path(__file__).parents[2] / "docs" / "nginx" / "two_servers.conf").read_text("utf-8")
TAGS = ("aaaa", "bbbb")
BACK = 5
"""Seconds within which an open page is loaded again from the other server, besides the time that any page takes."""

FILES = {"file": "sqlite:///", "sqlalchemy": "sqlite+pysqlite:///"}
"""How the URLs of stores in a file begin."""

KERNELS, ROUNDS = 4, 100
SESSIONS, MINE = "api/app-meta/sessions", "api/app-meta/me/state"

COUNTS = """from jupyter_app_meta import app_meta, session, visitor
print(f"<{app_meta().user.username}|{visitor.state.add('visits')}|{session.state.add('loads')}>")"""
"""A cell that prints who it sees, and counts this person's visits and this tab's."""

TOGETHER = f"""import time
from jupyter_app_meta import shared
def together(name):
    shared.state.add(name)
    while shared.state[name] < {KERNELS}: time.sleep(0.1)
def count():
    together("begun")
    for _ in range({ROUNDS}):
        shared.state.add("added")
        shared.state.change("changed", lambda count: count + 1, default=0)
    together("ended")
if shared.state.get("ended", 0) < {KERNELS}: count()
print(f"<{{shared.state['added']}}|{{shared.state['changed']}}>")"""
"""A cell of the first four kernels, which count at the same time. It prints what was counted."""

WATCHES = """def store(change):
    if change.new == 30: visitor.send("moved", [change.new])
    else: shared.state["told"] = change.new
@session.on("moved")
def got(data): label.value = f"{app_meta().user.username} got {data}"
def tell(change): label.value = f"{app_meta().user.username} heard {change.key} by {change.by}"
slider.observe(store, "value")
shared.state.on_change(tell)"""
"""A cell that stores where the slider is, or sends it if it is 30. Its label says what others store and send."""


@dataclass(frozen=True)
class Pair:
    """Two servers, the nginx in front of them, and four pages that a visitor opened at once.

    ``database`` is None if the store is a file.
    """

    servers: dict[str, Server]
    front: Server
    visitor: Visitor
    pages: list[Opened]
    database: Database | None

    @property
    def log(self) -> str:
        """What both servers wrote so far: of each the last part, which a failure shows."""
        return "\n".join(f"{tag}:\n{server.log[-1900:]}" for tag, server in self.servers.items())

    def end(self, tag: str) -> None:
        """End a server and its kernels at once."""
        self.servers[tag].kill()
        self.servers[tag].process.wait(30)

    def on(self, tag: str) -> Opened:
        """Return a page of one server."""
        return next(page for page in self.pages if page.kernel_id.startswith(tag))


@pytest.fixture(scope="module", params=["file", "sqlalchemy", RedisServer, PostgresServer, MariaServer])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two servers of one store, and four pages, two on each. The servers share no folder."""
    program()
    home = tmp_path_factory.mktemp("pair")
    with ExitStack() as ends:
        database = None if request.param in FILES else ends.enter_context(running(request.param))
        url = database.url if database else f"{FILES[request.param]}{home}/state.db"
        servers = {tag: ends.enter_context(serving(home / tag, tag, url)) for tag in TAGS}
        front = ends.enter_context(in_front(home, servers))
        visitor = front.visitor()
        visitor.get("")  # the first answer is the one that says who the visitor is
        with ThreadPoolExecutor(KERNELS) as tabs:
            pages = list(tabs.map(lambda _: browse(visitor, "page"), range(KERNELS)))
        yield Pair(servers, front, visitor, pages, database)


@contextmanager
def serving(home: Path, tag: str, url: str) -> Iterator[Server]:
    """Run a server with this id, whose state is there."""
    write(home / "root" / "books" / "page.ipynb", COUNTS, TOGETHER, SLIDER, WATCHES)
    waits = "--Serve.connect_timeout=600"  # the pages of all tests are opened first
    options = (
        waits,
        f"--Serve.server_id={tag}",
        f"--AppMetaExtension.state_url={url}",
        "--AppMetaExtension.admins=root",
    )
    with serving_folder(home, "books", *options, "--identity-provider=providers.Guests") as server:
        yield server


@contextmanager
def in_front(home: Path, servers: dict[str, Server]) -> Iterator[Server]:
    """Run the documented nginx in front of these servers."""
    lines, port = LINES, free_port()
    for tag, documented in zip(TAGS, ("8866", "8867"), strict=True):
        lines = lines.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{urlsplit(servers[tag].url).port}")
    lines = lines.replace("listen 80;", f"listen 127.0.0.1:{port};")
    front = Server(home, f"http://127.0.0.1:{port}/", servers["aaaa"].process, "")
    with nginx(home, lines, lambda: answers(front.url)), front.closing:
        yield front


def counted(opened: Opened) -> tuple[str, int]:
    """Return who the page's visitor is, and how often they were here."""
    found = re.search(r"<(\w+)\|(\d+)\|\d+>", opened.html)
    assert found, opened.html[-2000:]
    return found[1], int(found[2])


def test_kernels_of_two_servers_count_exactly(pair: Pair) -> None:
    """Sums and changes of four kernels at once: none is lost, and none is done twice."""
    total = KERNELS * ROUNDS
    assert sorted(page.kernel_id[:4] for page in pair.pages) == ["aaaa", "aaaa", "bbbb", "bbbb"]
    for page in pair.pages:
        assert f"<{total}|{total}>" in page.html, page.html[-2000:]


def test_a_message_reaches_the_pages_of_both_servers(pair: Pair) -> None:
    """Sent to the visitor: each page of this visitor receives it, the one that sends as well."""
    here, there = pair.on("aaaa"), pair.on("bbbb")
    ear, hand = here.listen(), there.listen()
    move(hand, there, 30)
    for socket in (ear, hand):
        socket.until(lambda message: f"{counted(here)[0]} got [30]" in str(message["content"]))
        socket.close()


def test_a_kernel_hears_what_the_other_server_stores(pair: Pair) -> None:
    """Its function runs as the visitor who registered it. After its store was away, anything may have changed."""
    here, there = pair.on("aaaa"), pair.on("bbbb")
    ear, hand = here.listen(), there.listen()
    visitor = counted(here)[0]
    tells = isinstance(pair.database, (RedisServer, PostgresServer))  # others are looked at, and say no key
    key = "told" if tells else None
    move(hand, there, 10)
    assert heard(ear, visitor) == f"{visitor} heard {key} by None"
    if pair.database is not None and tells:
        restart(pair.database)
        assert heard(ear, visitor) == f"{visitor} heard None by None"
        assert heard(hand, visitor) == f"{visitor} heard None by None"
        move(hand, there, 20)
        assert heard(ear, visitor) == f"{visitor} heard {key} by None"


def heard(socket: Socket, visitor: str) -> str:
    """Return the next text that a page's label gets from what this visitor's function heard."""
    begin = f"{visitor} heard "

    def text(message: dict[str, object]) -> str:
        found = re.search(rf"{begin}\w+ by \w+", str(message["content"]))
        return found[0] if found else ""

    return text(socket.until(lambda message: bool(text(message)))[-1])


def restart(database: Database) -> None:
    """Stop a database and start it again, with what it had."""
    if isinstance(database, RedisServer):
        with redis.Redis.from_url(database.url) as client:
            client.save()
    database.stop()
    database.start()


@pytest.mark.parametrize("pair", [RedisServer, PostgresServer], indirect=True)
def test_a_page_is_listed_told_and_ended_from_the_other_server(pair: Pair) -> None:
    """An administrator does it over HTTP; the visitor's state, erased on the other server, is gone on all."""
    page = browse(pair.front.visitor(cookies={"person": "alice"}), "page")
    assert counted(page) == ("alice", 1)
    elsewhere = pair.servers[next(tag for tag in TAGS if not page.kernel_id.startswith(tag))]
    root, alice = (elsewhere.visitor(cookies={"person": name, "_xsrf": "ab" * 16}) for name in ("root", "alice"))
    [row] = root.get(SESSIONS, params={"user": "alice"}).json()
    assert row["kernel_id"] == page.kernel_id and row["server"] == page.kernel_id[:4]
    assert alice.get(SESSIONS).status_code == 403
    ear, path = page.listen(), f"{SESSIONS}/{row['id']}"
    assert root.call("POST", f"{path}/messages", {"name": "moved", "data": ["root"]}).status_code == 204
    ear.until(lambda message: "alice got ['root']" in str(message["content"]))
    assert root.call("DELETE", path).status_code == 204
    with pytest.raises(ConnectionError, match="administrator"):
        deque(iter(ear.receive, None), maxlen=0)
    eventually(lambda: not root.get(SESSIONS, params={"user": "alice"}).json())
    assert "visits" in page.visitor.get(MINE).text
    assert alice.call("DELETE", MINE).status_code == 204 and not page.visitor.get(MINE).text
    assert counted(browse(page.visitor, "page")) == ("alice", 1)


@pytest.mark.parametrize("pair", [RedisServer, PostgresServer], indirect=True)
def test_a_visitor_is_the_same_on_both_servers_and_survives_one(pair: Pair, browser: Browser) -> None:
    """Visits are counted together, kernels are routed, and the end of a server costs no request."""
    visitor, pages = pair.visitor, pair.pages
    assert len({counted(page)[0] for page in pages}) == 1
    assert sorted(counted(page)[1] for page in pages) == [1, 2, 3, 4]
    for page in pages:
        assert visitor.get(f"api/kernels/{page.kernel_id}").status_code == 200
    assert move(pages[0].connect(), pages[0], 3).endswith("|3")
    stays_open(pair, browser)
    after = [browse(visitor, "page") for _ in range(2)]
    assert [counted(page)[1] for page in after] == [5, 6]
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
