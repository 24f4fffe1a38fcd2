"""Who may see a page, as a value: decided without a web framework, and before anything is started."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME as HERE
from stage import served, write

from jupyter_app_meta.dashboards import Builder, admission, create_app
from jupyter_app_meta.dashboards.admission import Admitted, Redirect, Refused
from jupyter_app_meta.dashboards.site import Site
from jupyter_app_meta.dashboards.visits import Asked
from jupyter_app_meta.model import User
from jupyter_app_meta.policy import Page, RawRequest
from jupyter_app_meta.server.identity import Visitor

URL = "http://localhost/page"
ALICE = Visitor(User(username="alice"), "alice", "alice")
BOB = Visitor(User(username="bob"), "bob", "bob")


def asked(visitor: Visitor = ALICE) -> Asked:
    """Return what a host reads of a visitor's request."""
    return Asked(visitor, raw(visitor), URL, "192.0.2.7")


def raw(visitor: Visitor) -> RawRequest:
    """Return a visitor's request."""
    return RawRequest("GET", URL, "http://localhost/", user=visitor.user)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a notebook that is not run."""
    write(tmp_path / "pages" / "page.ipynb", "1", kernel=HERE)
    return tmp_path / "pages"


@asynccontextmanager
async def opened(builder: Builder) -> AsyncIterator[Site]:
    """Build a server that does not listen, and close it."""
    application = builder.build()
    try:
        yield application.site
    finally:
        await application.close()


def answering(folder: Path, answer: Any) -> Builder:
    """Return a builder of a server whose rule has this answer for everybody."""
    return create_app().with_dynamic_directory(path="/", directory=folder, validate=lambda user, request: answer)


@pytest.mark.parametrize(
    ("answer", "name", "verdict"),
    [
        (False, "page", Refused(403)),
        (False, "no_such_page", Refused(403)),
        (None, "page", Refused(403)),
        ("/elsewhere", "page", Redirect("/elsewhere")),
        ("/elsewhere", "no_such_page", Redirect("/elsewhere")),
        (True, "no_such_page", Refused(404)),
        (False, "../page", Refused(404)),
        (False, "_page", Refused(404)),
    ],
)
async def test_verdict_does_not_tell_what_there_is(folder: Path, answer: Any, name: str, verdict: object) -> None:
    """A visitor who is refused or redirected gets the same answer whether or not there is such a notebook."""
    async with opened(answering(folder, answer)) as site:
        assert await admission.admit(site.services, site.sources[0], {"name": name}, asked()) == verdict
        assert not site.services.occupancy.runs and not site.services.kernels.list_kernel_ids()


async def test_admitted_visitor_gets_a_dashboard_and_a_visit(folder: Path) -> None:
    """The visit knows the visitor, the page under its one name, and the deployer's own fields."""
    builder = create_app(meta=lambda request: {"team": "north"}).with_dynamic_directory(path="/", directory=folder)
    async with opened(builder) as site:
        verdict = await admission.admit(site.services, site.sources[0], {"name": "page.ipynb"}, asked())
    assert isinstance(verdict, Admitted)
    assert verdict.dashboard.notebook == verdict.visit.notebook == (folder / "page.ipynb").resolve()
    assert (verdict.visit.visitor, verdict.visit.asked.address) == (ALICE, "192.0.2.7")
    assert (verdict.visit.page, verdict.visit.asked.raw.meta) == (Page(URL, {"name": "page"}, "run"), {"team": "north"})


async def test_full_server_refuses_for_now(folder: Path) -> None:
    """A visitor for whom there is no room is told when to try again."""
    builder = create_app(max_pages=1).with_dynamic_directory(path="/", directory=folder)
    async with opened(builder) as site:
        verdict = await admission.admit(site.services, site.sources[0], {"name": "page"}, asked())
        assert isinstance(verdict, Admitted)
        assert admission.without_room(site.services, verdict.visit) is None
        with site.services.occupancy.arriving(verdict.visit):
            refused = admission.without_room(site.services, verdict.visit)
    assert refused == Refused(503, admission.RETRY_AFTER)


async def test_kernel_is_for_its_own_visitor(folder: Path) -> None:
    """A kernel of another visitor, one that does not exist and one whose page is closed by now are the same."""
    allowed = ["alice", "bob"]
    builder = create_app().with_dynamic_directory(
        path="/", directory=folder, validate=lambda user, request: user.username in allowed
    )
    async with opened(builder) as site:
        services = site.services
        verdict = await admission.admit(services, site.sources[0], {"name": "page"}, asked())
        assert isinstance(verdict, Admitted)

        class Ended:
            has_visitor, kernel_id = True, "kernel"

            async def is_alive(self) -> bool:
                return False

            async def attach(self) -> None:
                return None

            async def close(self) -> None:
                return None

        services.visits.begin(verdict.visit, "kernel", Ended())
        assert await admission.owned(services, "kernel", ALICE, raw(ALICE)) is verdict.visit
        assert await admission.owned(services, "kernel", BOB, raw(BOB)) == Refused(403)
        assert await admission.owned(services, "other", ALICE, raw(ALICE)) == Refused(403)
        allowed.remove("alice")
        assert await admission.owned(services, "kernel", ALICE, raw(ALICE)) == Refused(403)


async def test_answers_over_http_are_the_verdicts(folder: Path) -> None:
    """The web application answers what admission decided."""
    for answer, status in ((True, 200), (False, 403), ("/elsewhere", 302)):
        async with served(answering(folder, answer)) as client:
            said = await client.get("/page", headers={"Sec-Fetch-Dest": "image"})
        assert (said.status_code, said.headers["Cache-Control"]) == (status, "no-store")
        assert said.headers.get("Location") == ("/elsewhere" if status == 302 else None)
