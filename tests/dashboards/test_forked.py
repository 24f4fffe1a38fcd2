"""Kernels that are forked for their visitors: sooner, and otherwise as if each had run the whole notebook itself."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from forked_pages import forked, lives, opened_how
from harness import Server
from stage import SLIDER, WHO, Opened, eventually, move, staging, visit, write

pytestmark = pytest.mark.timeout(600)

AHEAD = """import os, time
print(f"ahead at {time.time()} in {os.getpid()},")"""
"""A cell that prints when it was run, and by which process."""

OWN = "print(f'own {os.getpid()},')"

STORES = "from jupyter_app_meta import visitor\nprint(f'<visit {visitor.state.add(\"visits\")}>')"

SHARES = """from jupyter_app_meta import app_meta, shared, visitor
print(f"<shared {shared.state.add('n')}>", f"<mine {visitor.state.add('n')}>", f"<{app_meta().user.username}>")"""

CAPTURED = """import asyncio, ipywidgets, random
from jupyter_app_meta import app_meta
async def ask():
    return app_meta()
out = ipywidgets.Output()
display(out)
with out:
    print("captured ahead")
shown = display("shown ahead", display_id=True)"""

CAPTURES = """with out:
    print("still captured")
    m = app_meta()
    print(f"captured for {m.user.username}")
print("beside the widget")"""

ASKING = """one, other = await asyncio.gather(ask(), asyncio.create_task(ask()))
print(f"<{one.user.username} {other.user.username}>", f"<{random.random()}>", f"<{one.session.kernel_id}>")"""

NOTEBOOKS = {
    "early": (AHEAD, f"print('before')\n{WHO}\n{OWN}", SLIDER, "print('after')"),
    "whole": (AHEAD, SLIDER),
    "asking": (CAPTURED, CAPTURES, "shown.update(f'updated for {m.user.username}')", ASKING),
    "shared": (AHEAD, SHARES, OWN),
    "fatal": (AHEAD, f"{WHO}\nif 'die' in m.request.query_params:\n    os._exit(3)", STORES, OWN),
    "thread": ("import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()", WHO),
    "broken": (AHEAD, "1 / 0", WHO),
}

APP = f"""
import asyncio

async def counts(user, request):
    print("tasks", len(asyncio.all_tasks()), flush=True)
    return True

app = create_app(identity_provider=People, fork=True, fork_spares=1)
for name in {list(NOTEBOOKS)}:
    app = app.with_app(path=f"/{{name}}", root=f"{{name}}/page.ipynb", authorize=counts)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that forks the kernels of notebooks of many kinds, and has run each of them ahead."""
    home = tmp_path_factory.mktemp("forked")
    for name, cells in NOTEBOOKS.items():
        write(home / "root" / name / "page.ipynb", *cells)
    with staging(home, APP) as server:
        http = server.visitor().http
        eventually(lambda: http.get("healthz?ready").status_code == 200)
        yield server


def pid(opened: Opened, which: str) -> int:
    """Return the process that ran a cell ``ahead``, or the visitor's ``own``."""
    found = re.search(rf"{which} (?:at [0-9.]+ in )?(\d+),", opened.html)
    assert found, opened.html[-2000:]
    return int(found[1])


def test_each_visitor_has_a_fork_of_what_ran_ahead(server: Server) -> None:
    """The cells before the question ran once; each visitor sees itself, in a process of its own."""
    alice, bob = forked(server, "alice", "/early", region="emea"), forked(server, "bob", "/early")
    assert "<alice|{'region': 'emea'}|{}|run>" in alice.html and "<bob|{}|{}|run>" in bob.html
    assert pid(alice, "ahead") == pid(bob, "ahead")
    assert len({pid(alice, "ahead"), pid(alice, "own"), pid(bob, "own")}) == 3
    assert [alice.html.count(text) for text in ("ahead at", ">before\n", "<alice|", ">after\n")] == [1, 1, 1, 1]
    alice.close()
    bob.close()
    eventually(lambda: not lives(pid(alice, "own")) and not lives(pid(bob, "own")))


def test_widgets_of_a_fork_answer_its_own_visitor(server: Server) -> None:
    """Both have the same ids, because the template made them; each page moves its own slider."""
    alice, bob = forked(server, "alice", "/whole", region="emea"), forked(server, "bob", "/whole")
    one, other = alice.connect(), bob.connect()
    assert move(one, alice, 3).startswith("alice|{'region': 'emea'}")
    assert move(other, bob, 4).startswith("bob|{}")
    assert move(one, alice, 5).endswith("|5")
    for opened, socket in ((alice, one), (bob, other)):
        socket.close()
        opened.close()


def test_a_cell_goes_on_in_each_fork_with_what_it_has_shown(server: Server) -> None:
    """What a widget captured stays captured, a display changes for its visitor, and random numbers differ."""
    pages = {person: forked(server, person, "/asking") for person in ("alice", "bob")}
    drawn = set()
    for person, opened in pages.items():
        assert f"updated for {person}" in opened.html and f"<{person} {person}>" in opened.html
        assert "beside the widget" in opened.html and "captured for" not in opened.html
        found = re.search(r"<(0\.\d+)> <([0-9a-f-]{36})>", opened.html)
        assert found and found[2] == opened.kernel_id
        drawn.add(found[1])
    assert len(drawn) == 2
    assert "for bob" not in pages["alice"].html and "for alice" not in pages["bob"].html
    for opened in pages.values():
        opened.close()


def test_code_of_a_fork_stores_for_its_visitor(server: Server) -> None:
    """The kernel gets its control channel when its code asks for state."""
    for person, count in (("ada", 1), ("ada", 2), ("ben", 1)):
        opened, _ = opened_how(server, person, "/fatal")
        assert f"<visit {count}>" in opened.html
        opened.close()


def test_shared_state_that_is_used_first_is_used_by_each_fork(server: Server) -> None:
    """The process that is forked cannot ask the server, so the cell goes on in each fork, as with a question."""
    for person, shared, mine in (("alice", 1, 1), ("bob", 2, 1), ("alice", 3, 2)):
        opened = forked(server, person, "/shared")
        assert f"<shared {shared}> <mine {mine}> <{person}>" in opened.html
        assert pid(opened, "ahead") != pid(opened, "own")
        opened.close()
    assert "/shared/page.ipynb: its kernels cannot be forked" not in server.log


@pytest.mark.unforked("the thread 'Thread-", "a cell failed")
@pytest.mark.parametrize(
    ("name", "why"), [("thread", r"the thread 'Thread-\d+.*runs"), ("broken", "a cell failed ahead of a visitor")]
)
def test_notebook_that_cannot_be_forked_is_served_without_it(server: Server, name: str, why: str) -> None:
    """The log says once why."""
    opened, how = opened_how(server, "alice", f"/{name}")
    assert how == "cold"
    assert "<alice|{}|{}|run>" in opened.html or "went wrong" in opened.html
    assert len(re.findall(f"its kernels cannot be forked, because {why}", server.log)) == 1
    opened.close()


def test_a_fork_that_dies_takes_nothing_with_it(server: Server) -> None:
    """Its own page says at once that it could not be completed; others are served as before."""
    bob = forked(server, "bob", "/fatal")
    dead = forked(server, "alice", "/fatal", die="1")
    assert "could not be completed" in dead.html
    again = forked(server, "alice", "/fatal")
    assert pid(again, "ahead") == pid(bob, "ahead") and lives(pid(bob, "own"))
    bob.close()
    again.close()


def test_pages_outlive_their_template(server: Server) -> None:
    """The page lives on and can be closed; the next visitor is served, and soon by a new template."""
    alice = forked(server, "alice", "/fatal")
    template = pid(alice, "ahead")
    psutil.Process(template).send_signal(signal.SIGKILL)
    eventually(lambda: not lives(template))
    assert lives(pid(alice, "own"))
    bob = visit(server, "bob", "/fatal")
    assert "<bob|{}|{}|run>" in bob.html
    carol = forked(server, "carol", "/fatal")
    assert pid(carol, "ahead") != template
    for opened in (alice, bob, carol):
        assert opened.close().status_code == 204
    eventually(lambda: not lives(pid(alice, "own")))


def test_many_visitors_at_once_each_get_their_own_page(server: Server) -> None:
    """There are more of them than forks that were made ahead."""
    people = [f"person{number}" for number in range(10)]
    with ThreadPoolExecutor(len(people)) as pool:
        pages = list(pool.map(lambda person: visit(server, person, "/early", me=person), people))
    for person, opened in zip(people, pages, strict=True):
        assert f"<{person}|{{'me': '{person}'}}|{{}}|run>" in opened.html
    assert len({opened.kernel_id for opened in pages}) == len(people)
    for opened in pages:
        opened.close()


def test_visits_leave_no_tasks(server: Server) -> None:
    """What knew a visitor's request is gone with the page."""

    def tasks() -> int:
        """Return how many tasks the server had at the last visit."""
        return int(re.findall(r"^tasks (\d+)$", server.log, re.MULTILINE)[-1])

    def after_another() -> int:
        """Return how many there were at one visit more."""
        opened = forked(server, "alice", "/whole")
        opened.close()
        opened.visitor.http.close()  # the server has a task for each connection
        return tasks()

    before = after_another()
    for _ in range(16):
        after_another()
    eventually(lambda: after_another() < before + 8)


def test_metrics_count_forks(server: Server) -> None:
    """The operator sees how pages began."""
    forked(server, "alice", "/early").close()
    text = server.visitor().http.get("metrics").text
    assert re.search(r'app_meta_pages_total\{outcome="shown",start="forked"\} [1-9]', text)


def test_a_changed_notebook_is_shown_at_once(server: Server) -> None:
    """No page has the old edition; the old template ends with its last page."""
    alice = forked(server, "alice", "/fatal")
    write(server.home / "root" / "fatal" / "page.ipynb", AHEAD, f"{WHO}\nprint('second edition')")
    bob = visit(server, "bob", "/fatal")
    assert "second edition" in bob.html and "<visit " not in bob.html
    carol = forked(server, "carol", "/fatal")
    assert "second edition" in carol.html
    assert lives(pid(alice, "ahead"))
    alice.close()
    eventually(lambda: not lives(pid(alice, "ahead")))
    bob.close()
    carol.close()
