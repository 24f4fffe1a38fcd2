"""Dashboard servers that share a store: an id for each, one secret for all, and a word on what is wrong with it."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from databases import RedisServer, running
from stage import served, write

from jupyter_app_meta.dashboards import Builder, DashboardError, create_app, peers
from jupyter_app_meta.dashboards.web.application import Application
from jupyter_app_meta.errors import PolicyError
from jupyter_app_meta.state import keeping
from jupyter_app_meta.state.keys import Scope
from jupyter_app_meta.state.stores.base import Store


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The URL of a Redis of these tests alone."""
    with running(RedisServer) as server:
        yield server.url


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account's own folder of Jupyter's data."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A notebook that need not run."""
    return write(tmp_path / "a.ipynb", "1")


def app(page: Path, state_url: str = "", **options: Any) -> Builder:
    """Return dashboards whose state is kept there."""
    config = {"AppMetaExtension": {"state_url": state_url}}
    return create_app(config=config, **options).with_index().with_app(path="/a", root=page)


async def ended(application: Application) -> None:
    """End an application that has served nothing."""
    await application.close()


@pytest.mark.parametrize("wrong", ["a", "aaaaa", "AAAA", "aa-a", "a/aa", "aaé1", "aaaa\n", 1234, None])
def test_an_id_that_no_proxy_could_route_by_is_refused(page: Path, wrong: Any) -> None:
    """By name, with what was given, before anything is made."""
    with pytest.raises(
        DashboardError, match=r"^server_id is .*: give four digits or lower-case letters such as 'aaaa'"
    ):
        app(page, server_id=wrong).build()


async def test_kernel_ids_begin_with_the_servers_id(page: Path) -> None:
    """And have the form that they have without one."""
    application = app(page, server_id="x7zz").build()
    ids = {application.services.kernels.new_kernel_id() for _ in range(3)}
    await ended(application)
    assert len(ids) == 3 and {id_[:4] for id_ in ids} == {"x7zz"} and {len(id_) for id_ in ids} == {36}


async def test_servers_of_one_store_have_one_state_unless_they_are_named(page: Path) -> None:
    """Two deployments under one base URL keep their dashboards' states apart by the option state_deployment."""
    spaces = []
    for name in ("", "", "sales"):
        config = {"AppMetaExtension": {"state_deployment": name}}
        application = create_app(config=config).with_app(path="/a", root=page).build()
        assert application.services.state is not None
        spaces.append(application.services.state.places.of_dashboard("/a", None).text)
        await ended(application)
    assert spaces[0] == spaces[1] != spaces[2] and "sales" in spaces[2]


@pytest.mark.parametrize(
    ("names", "is_told"), [(("a", "ab"), True), (("a", "a"), False), (("a", "b"), False), (("ab", "state"), False)]
)
async def test_servers_of_other_dashboards_are_told_that_they_share_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, names: tuple[str, str], is_told: bool
) -> None:
    """By the place and the process, unless the dashboards are the same or elsewhere, or the option is set."""
    applications = []
    for place, name in enumerate(names):
        for notebook in name if name != "state" else "a":
            write(tmp_path / str(place) / f"{notebook}.ipynb", "1")
        config = {"AppMetaExtension": {"state_deployment": "sales"}} if name == "state" else {}
        app = create_app(config=config).with_dynamic_directory(path="/", directory=tmp_path / str(place))
        applications.append(app.build())
    said = [record.message for record in caplog.records if "state_deployment" in record.message]
    assert len(said) == is_told
    if is_told:
        assert f"(process {os.getpid()} on " in said[0] and "the same state of /a." in said[0]
    for application in applications:
        await ended(application)


@pytest.mark.parametrize("kind", ["file", "redis"])
async def test_two_servers_with_one_id_are_refused(page: Path, url: str, kind: str) -> None:
    """The second one is told which process has the id; when that has ended, it may have it."""
    where = url if kind == "redis" else ""
    first = app(page, where, server_id="aaaa").build()
    other = app(page, where, server_id="bbbb").build()
    with pytest.raises(
        DashboardError, match=r"^server_id 'aaaa' belongs to another server of this store \(process \d+"
    ):
        app(page, where, server_id="aaaa").build()
    await ended(first)
    await ended(app(page, where, server_id="aaaa").build())
    await ended(other)


async def login_cookie(builder: Builder, cookie: str = "") -> str:
    """Return the login cookie that a visitor has after a look at the index."""
    async with served(builder) as client:
        answer = await client.get("/", headers={"Cookie": cookie} if cookie else {})
    lines = [line for line in answer.headers.get_list("set-cookie") if line.startswith("username-")]
    if not lines:
        return cookie
    (morsel,) = SimpleCookie(lines[0]).values()
    return f"{morsel.key}={morsel.value}"


async def test_servers_of_one_database_know_each_others_visitors(
    page: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secret is in the store, so a server of another account or machine accepts the cookie; so does a later one."""
    first = await login_cookie(app(page, url))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "another"))
    assert await login_cookie(app(page, url), first) == first
    assert await login_cookie(app(page, ""), first) != first
    copies = list((tmp_path / "another" / "app-meta").glob("cookie_secret-*"))
    assert [stat.S_IMODE(copy.stat().st_mode) for copy in copies] == [0o600]


async def test_servers_of_one_file_know_each_others_visitors(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secret is beside the file of state, for its account alone."""
    where = f"sqlite:///{tmp_path}/shared/state.db"
    first = await login_cookie(app(page, where))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "another"))
    assert await login_cookie(app(page, where), first) == first
    kept = tmp_path / "shared" / "cookie_secret"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


async def test_a_server_without_its_database_knows_visitors_by_its_copy(
    page: Path, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so, and that state is away."""
    where = f"unix://{tmp_path}/gone"
    with caplog.at_level(logging.WARNING):
        first = await login_cookie(app(page, where))
    assert "The secret in the store cannot be read" in caplog.text
    assert "Pages work without their state until it can be used." in caplog.text
    assert await login_cookie(app(page, where), first) == first


async def test_nothing_is_kept_where_state_is_off(page: Path, data: Path) -> None:
    """But the secret of cookies."""
    await login_cookie(app(page, "off"))
    assert [file.name for file in (data / "app-meta").iterdir()] == ["cookie_secret"]


@pytest.mark.parametrize("url", ["", "off"])
async def test_other_extensions_find_the_live_pages_in_the_settings(page: Path, url: str) -> None:
    """Under one name, with the coroutines ``list``, ``end`` and ``send``; None where no state is kept."""
    application = app(page, url).build()
    board = application.settings["app_meta_sessions"]
    if url == "off":
        assert board is None
    else:
        assert await board.list(dashboard="/a", user="alice") == []
        assert await board.end("0" * 32) is await board.send("0" * 32, "name", {"n": 1}) is False
    await ended(application)


def test_the_url_may_be_in_a_file(page: Path, tmp_path: Path) -> None:
    """A file that has no URL is refused by name, and so are two URLs."""
    file = tmp_path / "url"
    for text, said in (
        ("", "must have one URL"),
        ("redis://a b", "must have one URL"),
        ("ftp://x", "no store for 'ftp'"),
    ):
        file.write_text(text)
        with pytest.raises(PolicyError, match=said):
            create_app(config={"AppMetaExtension": {"state_url_file": str(file)}}).with_app(
                path="/a", root=page
            ).build()
    both = {"state_url_file": str(file), "state_url": "off"}
    with pytest.raises(PolicyError, match=r"AppMetaExtension.state_url_file: it cannot be combined with state_url"):
        create_app(config={"AppMetaExtension": both}).with_app(path="/a", root=page).build()
    with pytest.raises(PolicyError, match=r"state_url_file: .*/none cannot be read \(No such file"):
        create_app(config={"AppMetaExtension": {"state_url_file": f"{tmp_path}/none"}}).with_app(
            path="/a", root=page
        ).build()


async def test_dashboards_erase_what_is_over(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value whose time is up is erased while the server renews its name."""
    monkeypatch.setattr(peers, "BEAT", 0.01)
    application = app(page).build()
    store = application.services.store
    assert store
    scope = Scope("shared", '["/","run","/a"]')
    store.apply(scope, {}, {"over": "1"}, (), 0.001)
    while store.read(scope.id, None):
        pass
    swept = asyncio.Event()
    loop, sweep = asyncio.get_running_loop(), keeping.sweep

    def noted(store: Store) -> int | None:
        erased = sweep(store)
        if erased:
            loop.call_soon_threadsafe(swept.set)
        return erased

    monkeypatch.setattr(keeping, "sweep", noted)
    application.start()
    async with asyncio.timeout(60):
        await swept.wait()
    await application.close()


async def test_the_log_says_once_that_a_store_is_away_and_back(
    page: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However often the server asks for it meanwhile."""
    monkeypatch.setattr(peers, "BEAT", 0.01)
    caplog.set_level(logging.INFO)
    with running(RedisServer) as redis:
        application = app(page, redis.url).build()
        application.start()
        redis.stop()
        await said(caplog, "The state's Redis cannot be used")
        await asyncio.sleep(20 * 0.01)
        redis.start()
        await said(caplog, "The store of state can be used again.")
        await application.close()
    assert [record.levelname for record in caplog.records if "cannot be used:" in record.message] == ["ERROR"]


async def said(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait until the log has this text."""
    async with asyncio.timeout(60):
        while text not in caplog.text:
            await asyncio.sleep(0.01)
