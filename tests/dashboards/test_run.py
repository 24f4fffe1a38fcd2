"""The states of a run: each transition that its module draws, on a real kernel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness import kernelspec
from nbformat import NotebookNode
from stage import KERNEL, WHO, write

from jupyter_app_meta.dashboards import create_app
from jupyter_app_meta.dashboards.dashboard import Dashboard
from jupyter_app_meta.dashboards.runs import notebook
from jupyter_app_meta.dashboards.runs.kernel import KernelFailed
from jupyter_app_meta.dashboards.runs.notebook import Blueprint
from jupyter_app_meta.dashboards.runs.page import END
from jupyter_app_meta.dashboards.runs.run import Run, State
from jupyter_app_meta.dashboards.services import Services
from jupyter_app_meta.dashboards.settings import Settings
from jupyter_app_meta.dashboards.visits import Asked, Visit
from jupyter_app_meta.policy import Page, RawRequest
from jupyter_app_meta.server import identity

GATED = """import asyncio
from pathlib import Path
Path("entered").touch()
while not Path("open").exists():
    await asyncio.sleep(0.02)"""
"""A cell that leaves a note when it is entered, and ends once the file ``open`` is there."""

BROKEN = "raise RuntimeError('broken on purpose')"
AFTER = "print('not reach' + 'ed')"
URL = "http://localhost/page"


@dataclass(frozen=True)
class Stage:
    """The services of a server that listens nowhere, and a folder for one notebook."""

    services: Services
    home: Path

    async def blueprint(self, *cells: str) -> Blueprint:
        """Write the notebook, and read it as a dashboard does."""
        path = write(self.home / "root" / "page.ipynb", *cells)
        version = notebook.version(path)
        assert version
        return await notebook.read(self.services, path, version)

    async def run(self, *cells: str, ahead: bool = False) -> Run:
        """Begin a run of these cells."""
        return Run(self.services, await self.blueprint(*cells), ahead=ahead)

    def visit(self) -> Visit:
        """Return the visit of a visitor who has just come."""
        asked = Asked(identity.unknown(), RawRequest("GET", URL, "http://localhost/"), URL)
        return Visit(self.home, Settings(), asked, Page(URL, mode="run"))

    async def entered(self) -> None:
        """Wait until the gated cell runs."""
        await until((self.home / "root" / "entered").exists)

    def open(self) -> None:
        """Let the gated cell end."""
        (self.home / "root" / "open").touch()


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A server's services; whatever kernels are left end with it."""
    kernelspec(tmp_path, KERNEL)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    write(tmp_path / "root" / "page.ipynb")
    application = create_app().with_app(path="/", root=tmp_path / "root" / "page.ipynb").build()
    yield Stage(application.services, tmp_path)
    await application.close()


async def until(wanted: Callable[[], object]) -> None:
    """Wait until this is true."""
    async with asyncio.timeout(60):
        while not wanted():
            await asyncio.sleep(0.02)


def at(run: Run) -> State:
    """Return how far a run is by now: mypy would take an attribute to stay as it was."""
    return run.state


async def html(run: Run) -> str:
    """Return the whole page."""
    async with asyncio.timeout(60):
        return "".join([piece async for piece in run.html(30)])


# --- forward ---------------------------------------------------------------------------------------------------------


async def test_run_starts_runs_and_is_rendered(stage: Stage) -> None:
    """A cold run goes through each state, and its page has what its cells show."""
    run = await stage.run(GATED, "print('the ' + 'end')")
    assert at(run) is State.STARTING and run.kernel is None and not run.has_visitor
    run.give_to(stage.visit())
    await stage.entered()
    assert at(run) is State.RUNNING and run.has_visitor and run.cells.done == 0
    stage.open()
    assert "the end" in await html(run)
    assert at(run) is State.RENDERED and not run.failed and run.cells.done == 2
    await run.close()


async def test_kernel_that_does_not_start_ends_the_page(stage: Stage) -> None:
    """STARTING → RENDERED: the run has failed, and its page says so with an id."""
    kernelspec(stage.home, KERNEL, executable="/bin/false")
    run = await stage.run(WHO)
    run.give_to(stage.visit())
    page = await html(run)
    assert "This page could not be completed. Something went wrong (E-" in page
    assert at(run) is State.RENDERED and run.failed and run.cells.done == 0
    with pytest.raises(KernelFailed):
        await run.started()
    await run.close()


async def test_template_that_breaks_ends_the_page(stage: Stage) -> None:
    """RUNNING → RENDERED: the page breaks off, and the run has failed."""

    class Exporter:
        template_file, raw_template = "lab", ""

        async def generate_from_notebook_node(
            self, nb: NotebookNode, *, extra_context: dict[str, Any], **options: object
        ) -> AsyncIterator[tuple[str, object]]:
            await extra_context["kernel_start"](nb)
            yield "<p>so far</p>", {}
            raise RuntimeError("a template of the author's")

    run = Run(stage.services, replace(await stage.blueprint(WHO), exporter=Exporter()))
    run.give_to(stage.visit())
    page = await html(run)
    assert page.startswith("<p>so far</p>") and "This page could not be completed." in page
    assert at(run) is State.RENDERED and run.failed and not run.needs_login
    await run.close()


async def test_cell_that_fails_is_the_last_one(stage: Stage) -> None:
    """RUNNING → RENDERED: the page is whole, later cells do not run, and the run has failed."""
    run = await stage.run("print('be' + 'fore')", BROKEN, AFTER)
    run.give_to(stage.visit())
    page = await html(run)
    assert "before" in page and "not reached" not in page and "Something went wrong (E-" in page
    assert page.removesuffix(END).rstrip().endswith("</html>")
    assert at(run) is State.RENDERED and run.failed and run.cells.done == 2
    await run.close()


# --- ahead of its visitor --------------------------------------------------------------------------------------------


async def test_page_begins_before_its_kernel_has_the_visitor(stage: Stage) -> None:
    """A warm page's beginning is sent first. A cold page has none yet."""
    pages: list[tuple[str, bool]] = []

    async def greet(run: Run) -> None:
        async with asyncio.timeout(60):
            pages.append((await anext(run.html(30)), run.has_visitor))

    path = write(stage.home / "root" / "page.ipynb", "print('ah' + 'ead')", WHO)
    for warm, start in ((0, "cold"), (1, "warm")):
        dashboard, visit = Dashboard(stage.services, path, Settings(warm=warm), "/page"), stage.visit()
        dashboard.start()
        await until(partial(getattr, dashboard, "is_settled"))
        run = await dashboard.open(visit, greet)
        assert visit.start == start and run.has_visitor
        await run.rendered()
        await dashboard.close()
        await run.close()
    ((beginning, had_visitor),) = pages
    assert "ahead" in beginning and "<None|" not in beginning.replace("&lt;", "<") and not had_visitor


async def test_run_ahead_is_given_while_its_kernel_starts(stage: Stage) -> None:
    """The kernel belongs to the visitor from its first moment."""
    run = await stage.run(WHO, ahead=True)
    assert not run.is_usable
    visit = stage.visit()
    run.give_to(visit)
    assert "<None|{}|{}|run>" in (await html(run)).replace("&lt;", "<").replace("&gt;", ">")
    assert run.kernel and stage.services.visits.get(run.kernel.id) is visit
    await run.close()


async def test_run_ahead_is_given_while_it_waits(stage: Stage) -> None:
    """A cell that asks for the visitor waits; it goes on when the visitor arrives."""
    run = await stage.run("print('ear' + 'ly')", WHO, ahead=True)
    await until(lambda: run.cells.done == 1)
    assert at(run) is State.RUNNING and run.is_usable and not run.has_visitor
    assert run.kernel and stage.services.visits.get(run.kernel.id) is None
    run.give_to(stage.visit())
    assert stage.services.traffic.rendering == 1
    page = await html(run)
    assert "early" in page and "|run" in page
    assert stage.services.traffic.rendering == 0
    await run.close()


async def test_run_ahead_is_given_when_it_is_rendered(stage: Stage) -> None:
    """The page is there at once, no traffic is counted, and its client leaves the kernel."""
    run = await stage.run("print('all of it')", ahead=True)
    await until(lambda: at(run) is State.RENDERED)
    assert run.is_usable and run.kernel
    client: Any = run.kernel.client
    assert client.control_channel.is_alive()
    run.give_to(stage.visit())
    assert stage.services.traffic.rendering == 0
    assert "all of it" in await html(run)
    await until(lambda: not client.control_channel.is_alive())
    await run.close()


async def test_run_ahead_that_failed_is_not_usable(stage: Stage) -> None:
    """No visitor gets a run in which a cell has failed."""
    run = await stage.run(BROKEN, ahead=True)
    await until(lambda: at(run) is State.RENDERED)
    assert run.failed and not run.is_usable
    await run.close()


# --- closed ----------------------------------------------------------------------------------------------------------


async def test_run_is_closed_before_its_kernel_starts(stage: Stage) -> None:
    """STARTING → CLOSED: no process is started."""
    run = await stage.run(WHO)
    await run.close()
    assert at(run) is State.CLOSED and run.kernel is None
    assert not stage.services.kernels.list_kernel_ids() and run not in stage.services.occupancy.runs
    with pytest.raises(KernelFailed, match="closed before its kernel started"):
        await run.started()
    assert await html(run) == ""


async def test_run_is_closed_while_its_kernel_starts(stage: Stage) -> None:
    """STARTING → CLOSED: the process that is there by then is ended."""
    run = await stage.run(WHO)
    run.give_to(stage.visit())
    await until(lambda: run.kernel)
    await run.close()
    assert at(run) is State.CLOSED and run.kernel and not await run.is_alive()
    assert not stage.services.kernels.list_kernel_ids() and not len(stage.services.visits)


async def test_run_is_closed_while_a_cell_runs(stage: Stage) -> None:
    """RUNNING → CLOSED: the cell, the kernel, the visit and the page end."""
    run = await stage.run(GATED)
    run.give_to(stage.visit())
    await stage.entered()
    await run.close()
    assert at(run) is State.CLOSED and not await run.is_alive()
    assert not len(stage.services.visits) and run not in stage.services.occupancy.runs
    assert "This page could not be completed. Please reload it." in await html(run)


async def test_run_is_closed_when_it_is_rendered(stage: Stage) -> None:
    """RENDERED → CLOSED: the page stays as it was."""
    run = await stage.run("print('all of it')")
    run.give_to(stage.visit())
    await until(lambda: at(run) is State.RENDERED)
    await run.close()
    assert at(run) is State.CLOSED and not await run.is_alive()
    page = await html(run)
    assert "all of it" in page and "could not be completed" not in page


async def test_closing_is_idempotent(stage: Stage) -> None:
    """CLOSED is the last state, even if methods are called afterwards or at the same time."""
    run = await stage.run(WHO)
    run.give_to(stage.visit())
    await until(lambda: run.kernel)
    await asyncio.gather(run.close(), run.close())
    await run.close()
    assert at(run) is State.CLOSED
