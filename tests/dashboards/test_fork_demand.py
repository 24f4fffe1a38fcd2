"""Which kernels are forked if the deployer says nothing: those of notebooks that ask, while they are opened often."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from forked_pages import forked, inhabitants, opened_how
from harness import Server
from stage import WHO, eventually, staging, write

from jupyter_app_meta.dashboards.files import imports
from jupyter_app_meta.dashboards.forks import demand
from jupyter_app_meta.dashboards.forks.demand import Demand
from jupyter_app_meta.dashboards.settings import Settings

READS = "from pathlib import Path\nprice = Path('price.txt').read_text()\nprint('price', price)"
WRITES = "Path('count.txt').write_text('1')\nprint(Path('count.txt').read_text())\nPath('count.txt').write_text('22')"
LATE = "import ipywidgets as w\nslider = w.IntSlider()\nslider.observe(lambda _: print(app_meta().user), 'value')"

KEEPS = "import tempfile\nfolder = tempfile.TemporaryDirectory()"
INVENTS = "import uuid\nname = uuid.uuid4()"

NOTEBOOKS = {
    "asks": (WHO,),
    "reads": (READS, WRITES, WHO),
    "silent": ("print('the same for everybody')",),
    "late": (LATE,),
    "keeps": (KEEPS, WHO, "print('own place', folder.name)"),
    "invents": (INVENTS, WHO, "print('own place', name)"),
    "helped": ("from helper import name", WHO, "print('own place', name)"),
    "named": (WHO,),
    "off": (WHO,),
    "warm": (WHO,),
}
OPTIONS = {"named": ", fork=True", "off": ", fork=False", "warm": ", warm=1"}
"""What the deployer says."""

APP = "app = create_app(identity_provider=People, fork_spares=1, max_pages=0)" + "".join(
    f"\napp = app.with_app(path='/{name}', root='{name}/page.ipynb'{OPTIONS.get(name, '')})" for name in NOTEBOOKS
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose deployer says of most notebooks nothing about forks."""
    home = tmp_path_factory.mktemp("demand")
    for name, cells in NOTEBOOKS.items():
        write(home / "root" / name / "page.ipynb", *cells)
    (home / "root" / "reads" / "price.txt").write_text("5 EUR")
    (home / "root" / "helped" / "helper.py").write_text(INVENTS)
    with staging(home, APP) as server:
        yield server


def folder(server: Server, name: str) -> Path:
    """Return the folder of a notebook."""
    return server.home / "root" / name


def visited(server: Server, name: str, times: int) -> list[str]:
    """Open and close a page several times; return how its kernels began."""
    starts = []
    for _ in range(times):
        page, how = opened_how(server, "alice", f"/{name}")
        page.close()
        starts.append(how)
    return starts


def test_the_second_visit_lets_a_notebook_be_forked(server: Server) -> None:
    """A notebook that one visitor opens leaves no process behind."""
    assert visited(server, "asks", 1) == ["cold"]
    eventually(lambda: not inhabitants(folder(server, "asks")))
    page = forked(server, "bob", "/asks")
    assert "<bob|" in page.html
    page.close()


def test_a_notebook_that_does_not_ask_runs_for_each_visitor(server: Server) -> None:
    """Its author may not know that others would see the same. Nothing of it stays."""
    assert visited(server, "silent", 4) == ["cold"] * 4
    forked(server, "alice", "/asks").close()
    eventually(lambda: not inhabitants(folder(server, "silent")))
    assert "/silent: its kernels" not in server.log


def test_a_notebook_that_asks_only_later_runs_for_each_visitor(server: Server) -> None:
    """Its cells end without a question. The log says so once, as a note and no warning."""
    why = "page: its kernels cannot be forked, because it does not ask who is looking before its last cell has run"
    eventually(lambda: visited(server, "late", 1) == ["cold"] and why in server.log, 240)
    assert "WARNING" not in next(line for line in server.log.splitlines() if why in line)
    assert visited(server, "late", 1) == ["cold"]
    eventually(lambda: not inhabitants(folder(server, "late")))


@pytest.mark.parametrize(
    ("name", "why"), [("keeps", "it makes '"), ("invents", "it calls uuid4()"), ("helped", "it calls uuid4()")]
)
def test_what_a_notebook_makes_for_one_visitor_is_not_shared(server: Server, name: str, why: str) -> None:
    """Its author may not know that it runs ahead. So each visitor has a folder or a name, as without forks."""
    log = f"page: its kernels cannot be forked, because {why}"
    visited(server, name, 1)
    eventually(lambda: visited(server, name, 1) == ["cold"] and log in server.log, 240)
    assert "WARNING" not in next(line for line in server.log.splitlines() if log in line)
    alice, bob = (opened_how(server, person, f"/{name}") for person in ("alice", "bob"))
    assert (alice[1], bob[1]) == ("cold", "cold")
    places = [re.search(r"own place ([/\w-]+)", page.html) for page, _ in (alice, bob)]
    assert places[0] and places[1] and places[0][1] != places[1][1]
    for page, _ in (alice, bob):
        page.close()


def test_a_file_that_was_read_is_never_old(server: Server) -> None:
    """Neither in the next page, which starts cold, nor in forks. What it writes itself does not count."""
    page = forked(server, "alice", "/reads")
    assert "price 5 EUR" in page.html
    page.close()
    (folder(server, "reads") / "price.txt").write_text("7 EUR, and more")
    page, how = opened_how(server, "alice", "/reads")
    assert how == "cold"
    assert "price 7 EUR, and more" in page.html
    page.close()
    page = forked(server, "bob", "/reads")
    assert "price 7 EUR, and more" in page.html
    page.close()


def test_what_the_deployer_says_is_done(server: Server) -> None:
    """Forks, none, or warm kernels."""
    forked(server, "alice", "/named").close()
    assert visited(server, "off", 4) == ["cold"] * 4
    assert set(visited(server, "warm", 4)) <= {"warm", "cold"}
    assert not [line for line in server.log.splitlines() if "/off" in line and line.endswith("forked")]


def test_a_template_ends_when_its_visitors_stay_away(tmp_path: Path) -> None:
    """And is there again when they come back."""
    write(tmp_path / "root" / "page" / "page.ipynb", WHO)
    app = """
import signal
from jupyter_app_meta.dashboards.forks import demand, strategy
strategy.SWEEP = 0.1
signal.signal(signal.SIGUSR1, lambda *_: setattr(demand, "IDLE", 0))
signal.signal(signal.SIGUSR2, lambda *_: setattr(demand, "IDLE", 300))
app = create_app(identity_provider=People).with_app(path="/page", root="page/page.ipynb")
"""
    with staging(tmp_path, app) as server:
        for _ in range(2):
            page = forked(server, "alice", "/page")
            page.close()
            server.process.send_signal(signal.SIGUSR1)  # the time without a visit is over
            eventually(lambda: not inhabitants(folder(server, "page")))
            server.process.send_signal(signal.SIGUSR2)


def test_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there from the second visit in time until its time after the last one."""
    clock = 1000.0
    monkeypatch.setattr(demand, "time", SimpleNamespace(monotonic=lambda: clock))
    wanted = Demand(Settings())
    assert not wanted.is_there
    for passed, expected in ((0, False), (299, True), (299, True), (301, False), (299, True)):
        clock += passed
        wanted.visited()
        assert wanted.is_there is expected
    clock += demand.IDLE
    assert not wanted.is_there
    assert Demand(Settings(fork=True)).is_there


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(), (False, 600, 0)),
        (Settings(max_age=60), (False, 60, 0)),
        (Settings(warm=1), None),
        (Settings(fork=False), None),
        (Settings(fork=True, warm=1), (True, 3600, 2)),
        (Settings(fork=True, max_age=60, fork_spares=1), (True, 60, 1)),
    ],
)
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_who_wants_forks(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, expected: tuple[bool, float, int] | None, system: str
) -> None:
    """The deployer, or else the server where it is possible."""
    monkeypatch.setattr(demand, "sys", SimpleNamespace(platform=system))
    services: Any = SimpleNamespace(specs=None)
    found = Demand.of(settings, services)
    if system == "darwin" and settings.fork is None:
        expected = None
    assert (found and (found.is_named, found.max_age, found.spares)) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from jupyter_app_meta import app_meta", True),
        ("%app_meta user", True),
        ("import os\nos.environ['QUERY_STRING']", True),
        ("from voila.utils import get_query_string", True),
        ("meta = app.meta()", False),
        ("", False),
    ],
)
def test_what_asks(code: str, expected: bool) -> None:
    """A name in a comment counts as well."""
    cells: Any = {"cells": [{"cell_type": "markdown", "source": "app_meta"}, {"cell_type": "code", "source": code}]}
    assert imports.asks(cells) is expected
