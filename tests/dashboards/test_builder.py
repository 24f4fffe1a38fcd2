"""``create_app()``: a builder is a value, what cannot be served is refused by name, and close() leaves nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from harness import free_port, kernelspec
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider
from stage import KERNEL, WHO, write
from tornado import web
from traitlets.config import Config

from jupyter_app_meta.dashboards import Application, Builder, DashboardError, create_app
from jupyter_app_meta.errors import AppMetaError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with three notebooks and a text."""
    folder = tmp_path_factory.mktemp("root")
    for name in ("a", "b", "deep/c"):
        write(folder / f"{name}.ipynb", "1")
    (folder / "text.txt").write_text("1")
    return folder


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this test's temporary directories are; with a short name, as those of sockets must have one."""
    folder = Path(tempfile.mkdtemp(prefix="app-meta-"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


async def built(builder: Builder) -> None:
    """Build an application, and close it."""
    await builder.build().close()


# --- a builder is a value --------------------------------------------------------------------------------------------


def test_each_step_returns_another_builder(folder: Path) -> None:
    """What is added is in the new builder alone; two may be made of one."""
    base = create_app()
    before = repr(base)
    one = base.with_app(path="/a", root=folder / "a.ipynb")
    two = base.with_dynamic_directory(path="/b", directory=folder)
    three = one.with_index()
    assert repr(base) == before and base.mounts == () and base.index is None
    assert [[mount.route.path for mount in builder.mounts] for builder in (one, two, three)] == [["/a"], ["/b"], ["/a"]]
    assert one.index is None and three.index is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.index = three.index  # type: ignore[misc]  # this is what is tested


def test_builder_cannot_be_changed(folder: Path) -> None:
    """Its options are read-only, and its configuration is neither the caller's nor that of a builder made of it."""
    given = Config({"AppMetaExtension": {"cookies_allow": ["theme"]}})
    base = create_app(token="open-sesame", config=given)
    child = base.with_app(path="/a", root=folder / "a.ipynb")
    with pytest.raises(TypeError):
        base.options["token"] = "other"  # type: ignore[index]  # this is what is tested
    given.AppMetaExtension.cookies_allow.append("given")
    child.config.AppMetaExtension.cookies_allow.append("child")
    assert base.config.AppMetaExtension.cookies_allow == ["theme"]


def test_repr_has_no_secrets() -> None:
    """The repr shows neither the secret of cookies, nor tokens, nor the configuration."""
    builder = create_app(token="CANARY", cookie_secret=b"CANARY", config={"IdentityProvider": {"token": "CANARY"}})
    assert "CANARY" not in repr(builder.with_index())


async def test_one_builder_builds_several_applications(folder: Path) -> None:
    """Two applications of one builder share nothing that runs."""
    builder = create_app().with_app(path="/a", root=folder / "a.ipynb")
    first, second = builder.build(), builder.build()
    try:
        assert isinstance(first, Application) and isinstance(first, web.Application)
        assert first.services.kernels is not second.services.kernels
        assert first.services.visits is not second.services.visits
    finally:
        await first.close()
        await second.close()


def test_place_is_that_of_the_moment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative place is below the working directory in which it was given, wherever the server is run."""
    monkeypatch.chdir(folder)
    builder = create_app().with_app(path="/a", root="a.ipynb")
    monkeypatch.chdir(folder.parent)
    assert builder.mounts[0].place == folder / "a.ipynb"


def test_settings_of_a_page_come_before_those_of_all(folder: Path) -> None:
    """``meta`` and ``warm`` hold for every page that says nothing else; zero is something else."""

    def ours(request: Any) -> dict[str, Any]:
        return {}

    def own(request: Any) -> dict[str, Any]:
        return {}

    app = create_app(meta=ours, warm=3).with_app(path="/a", root="a.ipynb")
    app = app.with_app(path="/b", root="b.ipynb", meta=own, warm=0).with_dynamic_directory(path="/c", directory=folder)
    settings = [mount.settings for mount in app.mounts]
    assert [(one.meta, one.warm) for one in settings] == [(ours, 3), (own, 0), (ours, 3)]


async def test_callers_config_is_not_changed(folder: Path) -> None:
    """A configuration that is handed in, as a dict or Config, is read and stays as it is."""
    plain: dict[str, Any] = {"AppMetaExtension": {"cookies_allow": ["theme"]}}
    config = Config({"KernelManager": {"shutdown_wait_time": 3.0}})
    before = repr((plain, config))
    for given in (plain, config):
        await built(create_app(config=given).with_app(path="/a", root=folder / "a.ipynb"))
    assert repr((plain, config)) == before


@pytest.mark.parametrize("given", ["/", "", "x", "/x", "x/", "/x/", "//x//"])
async def test_base_url_is_written_in_one_way(folder: Path, given: str) -> None:
    """A base URL has a slash before and after it, however it was given."""
    app = create_app(base_url=given).with_app(path="/a", root=folder / "a.ipynb").build()
    try:
        assert app.settings["base_url"] == ("/x/" if "x" in given else "/")
    finally:
        await app.close()


# --- what cannot be served -------------------------------------------------------------------------------------------

Made = Callable[[Builder, Path], Builder]

REFUSED: dict[str, tuple[Made, str]] = {
    "two notebooks at one path": (
        lambda app, at: app.with_app(path="/x", root=at / "a.ipynb").with_app(path="/x/", root=at / "b.ipynb"),
        r"^a\.ipynb and b\.ipynb are both at /x: give one of them another path\.$",
    ),
    "other names of parameters": (
        lambda app, at: app.with_app(path="/{x}/y", root=at / "a.ipynb").with_app(path="/{z}/y", root=at / "b.ipynb"),
        r"^a\.ipynb at /\{x\}/y and b\.ipynb at /\{z\}/y have the same URLs: give one of them another path\.$",
    ),
    "a page instead of all of a directory": (
        lambda app, at: app.with_dynamic_directory(path="/x", directory=at / "deep").with_app(
            path="/x/{y}", root=at / "a.ipynb"
        ),
        r"^a\.ipynb at /x/\{y\} hides the notebooks of deep at /x: give one of them another path\.$",
    ),
    "a page instead of all of a team's directory": (
        lambda app, at: app.with_app(path="/{x}/{y}", root=at / "a.ipynb").with_dynamic_directory(
            path="/{team}", directory=at / "deep"
        ),
        r"^a\.ipynb at /\{x\}/\{y\} hides the notebooks of deep at /\{team\}: give one of them another path\.$",
    ),
    "one notebook twice": (
        lambda app, at: app.with_app(path="/", root=at / "a.ipynb").with_app(path="/", root=at / "a.ipynb"),
        r"^a\.ipynb and a\.ipynb are both at /:",
    ),
    "two directories at one path": (
        lambda app, at: app.with_dynamic_directory(path="/x", directory=at).with_dynamic_directory(
            path="/x", directory=at / "deep"
        ),
        r" and deep are both at /x: give one of them another path\.$",
    ),
    "no such notebook": (
        lambda app, at: app.with_app(path="/x", root=at / "gone.ipynb"),
        r"gone\.ipynb does not exist: /x cannot be served\.$",
    ),
    "not a notebook": (
        lambda app, at: app.with_app(path="/x", root=at / "text.txt"),
        r"text\.txt is not a notebook \(\.ipynb, \.py, \.md\): /x cannot be served\.$",
    ),
    "a directory for a notebook": (
        lambda app, at: app.with_app(path="/x", root=at / "deep"),
        r"deep .*: /x cannot be served\.$",
    ),
    "no such directory": (
        lambda app, at: app.with_dynamic_directory(path="/x", directory=at / "gone"),
        r"gone is not a directory: /x cannot be served\.$",
    ),
    "a notebook for a directory": (
        lambda app, at: app.with_dynamic_directory(path="/x", directory=at / "a.ipynb"),
        r"a\.ipynb is not a directory: /x cannot be served\.$",
    ),
    "fewer than no kernels": (
        lambda app, at: app.with_app(path="/x", root=at / "a.ipynb", warm=-1),
        r"^warm is -1 for /x: give a whole number, 0 or more\.$",
    ),
    "a truth for a number": (
        lambda app, at: app.with_app(path="/x", root=at / "a.ipynb", warm=True),
        r"^warm is True for /x: give a whole number, 0 or more\.$",
    ),
    "a name for a rule": (
        lambda app, at: app.with_app(path="/x", root=at / "a.ipynb", authorize="a:b"),  # type: ignore[arg-type]  # wrong
        r"^authorize is of type str for /x: give a function of \(user, request\), or None\.$",
    ),
    "a truth for a directory's rule": (
        lambda app, at: app.with_dynamic_directory(path="/x", directory=at, validate=True),  # type: ignore[arg-type]  # wrong
        r"^validate is True for /x: give a function of \(user, request\), or None\.$",
    ),
    "a dict for a function": (
        lambda app, at: app.with_app(path="/x", root=at / "a.ipynb", meta={}),  # type: ignore[arg-type]  # wrong
        r"^meta is of type dict for /x: give a function of \(request\), or None\.$",
    ),
    "the index at a page": (
        lambda app, at: app.with_app(path="/x", root=at / "a.ipynb").with_index(path="/x"),
        r"^a\.ipynb and the index are both at /x\.$",
    ),
    "an index with a parameter": (
        lambda app, at: app.with_index(path="/{y}").with_app(path="/{x}", root=at / "a.ipynb"),
        r"^The index is at /\{y\}: it must have no parameters\.$",
    ),
    "nothing": (lambda app, at: app, r"^There is nothing to serve: add a notebook with with_app or"),
    "an index of nothing": (
        lambda app, at: app.with_index(),
        r"^There is nothing to serve: add a notebook with with_app or",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused_by_name(folder: Path, temporary: Path, case: str) -> None:
    """One sentence names what is wrong and where, before anything is made."""
    make, said = REFUSED[case]
    builder = make(create_app(), folder)
    with pytest.raises(DashboardError, match=said):
        builder.build()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("path", ["/api", "/login", "/logout/x", "/static", "/voila/render/a", "x", "/a b"])
def test_refused_paths_are_refused_where_they_are_given(folder: Path, path: str) -> None:
    """An invalid path is refused when it is written (for a page, a directory, the index), before anything is built."""
    steps: list[Callable[[], Builder]] = [
        lambda: create_app().with_app(path=path, root=folder / "a.ipynb"),
        lambda: create_app().with_dynamic_directory(path=path, directory=folder),
        lambda: create_app().with_index(path=path),
    ]
    for step in steps:
        with pytest.raises(DashboardError, match=f"The path '{path}'"):
            step()
    assert issubclass(DashboardError, AppMetaError) and issubclass(DashboardError, ValueError)


OPTIONS: list[tuple[dict[str, Any], str]] = [
    *(({name: "a:b"}, f"^{name} is of type str: give a function of ") for name in ("meta", "on_error")),
    ({"identity_provider": dict}, "^identity_provider is of type type: give an IdentityProvider"),
    ({"identity_provider": 1}, "^identity_provider is 1: give an IdentityProvider"),
    ({"identity_provider": "json.loads"}, "^identity_provider is of type function: give an IdentityProvider"),
    (
        {"identity_provider": IdentityProvider(), "token": "x"},
        "^token cannot be combined with an identity_provider instance",
    ),
    ({"token": 74656}, "^token is of type int: give a str, or None"),
    ({"cookie_secret": "74656"}, "^cookie_secret is of type str: give bytes, or None"),
    *(
        ({name: wrong}, f"^{name} is .*: give seconds, more than 0")
        for name in ("idle_timeout", "connect_timeout", "max_age")
        for wrong in (0, -1, float("nan"), "1", None, True)
    ),
    *(({"max_pages": wrong}, "^max_pages is .*: give a whole number") for wrong in (-1, 1.5, "1", None, True)),
    *(({"warm": wrong}, "^warm is .* for /x: give a whole number") for wrong in (1.5, "1", False)),
    ({"trust_xheaders": "no"}, "^trust_xheaders is of type str: give True or False"),
]


@pytest.mark.parametrize(("options", "said"), OPTIONS)
def test_option_that_cannot_be_is_refused_by_name(folder: Path, options: dict[str, Any], said: str) -> None:
    """An option of the whole server is refused by its name, with what it may be, and no secret is shown."""
    builder = create_app(**options).with_app(path="/x", root=folder / "a.ipynb")
    with pytest.raises(DashboardError, match=said) as refused:
        builder.build()
    assert "74656" not in str(refused.value)


def test_what_is_no_path_is_refused_where_it_is_given(folder: Path) -> None:
    """Neither an address nor a file can be nothing at all."""
    nothing: Any = None
    steps: dict[str, Callable[[], Builder]] = {
        "path must be a string such as .*, not None": lambda: create_app().with_app(
            path=nothing, root=folder / "a.ipynb"
        ),
        "path must be a string such as": lambda: create_app().with_index(path=nothing),
        "root is of type NoneType for /x": lambda: create_app().with_app(path="/x", root=nothing),
        "directory is of type NoneType for /x": lambda: create_app().with_dynamic_directory(
            path="/x", directory=nothing
        ),
        "config is of type str: give a Config or dict": lambda: create_app(config="AppMetaExtension"),  # type: ignore[arg-type]  # this is what is tested
    }
    for said, step in steps.items():
        with pytest.raises(DashboardError, match=said):
            step()


@pytest.mark.parametrize("path", ["/", "/list"])
def test_second_index_is_refused(path: str) -> None:
    """There is one index: another one, also at the same path, is refused with both paths."""
    with pytest.raises(DashboardError, match=rf"^The index is already at /: leave out the one at {path}\.$"):
        create_app().with_index().with_index(path=path)


@pytest.mark.parametrize(
    "url",
    [
        *("http://host/x/", "//host//x", "/a?b", "/a#b", "/a b/", "/é/", "/a;b/", "/a\\b/", "/a\n/", "/../a", "/./"),
        *("/a%2fb/", "/%2e%2e/", "/a%00/", "/a%", "/%zz/", "\ud800", None, 1, b"/a/"),
    ],
)
def test_base_url_that_nobody_reaches_is_refused(url: Any) -> None:
    """A base URL is a path that a browser asks for as it is written."""
    with pytest.raises(DashboardError, match=r"^base_url must be a path of ASCII characters such as .*, not "):
        create_app(base_url=url)


async def test_identity_provider_may_be_named(folder: Path) -> None:
    """A name is imported, as on the command line; None of the two, a class and an instance are as good."""
    name = "jupyter_server.auth.identity.PasswordIdentityProvider"
    for given in (None, name, PasswordIdentityProvider, PasswordIdentityProvider(token="x")):
        app = create_app(identity_provider=given).with_app(path="/a", root=folder / "a.ipynb").build()
        assert type(app.settings["identity_provider"]) is PasswordIdentityProvider
        await app.close()


@pytest.mark.parametrize("name", ["nowhere_at_all.Provider", "json.Provider", "json:loads", "", "nowhere"])
def test_identity_provider_that_is_not_there_is_named(name: str) -> None:
    """A name that leads nowhere is refused with the reason, where it is given."""
    with pytest.raises(DashboardError, match=rf"^identity_provider '{name}' cannot be imported \(.*Error: "):
        create_app(identity_provider=name)


def test_fewer_than_no_kernels_for_all_are_refused(folder: Path) -> None:
    """A negative number from ``create_app`` is refused too, unless the page has its own number."""
    app = create_app(warm=-2)
    with pytest.raises(DashboardError, match="warm is -2 for /x"):
        app.with_app(path="/x", root=folder / "a.ipynb").build()


@pytest.mark.parametrize(("option", "instead"), [("preheat_kernel", "warm"), ("prelaunch_hook", "authorize")])
def test_options_of_voila_that_do_nothing_are_refused(folder: Path, option: str, instead: str) -> None:
    """An option whose work another option does is refused with the name of that option."""
    app = create_app(config={"VoilaConfiguration": {option: True}}).with_app(path="/x", root=folder / "a.ipynb")
    with pytest.raises(DashboardError, match=f"VoilaConfiguration.{option} has no effect here: use {instead}"):
        app.build()


async def test_same_path_for_a_page_and_a_directory_is_fine(folder: Path) -> None:
    """A page may stand at a directory's own path, and one notebook at two paths."""
    app = create_app().with_dynamic_directory(path="/x", directory=folder).with_app(path="/x", root=folder / "a.ipynb")
    await built(app.with_app(path="/y", root=folder / "a.ipynb").with_index())


def attempt(home: Path, steps: str) -> tuple[str, list[Path]]:
    """Build ``create_app{steps}`` in a process of its own; return its last words, and the temporary files it left."""
    (home / "left").mkdir()
    code = f"from jupyter_app_meta.dashboards import create_app; create_app{steps}.build()"
    env = {**os.environ, "TMPDIR": str(home / "left")}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=home, capture_output=True, text=True, check=False)
    return (done.stderr.splitlines() or [""])[-1], list((home / "left").iterdir())


def test_refused_option_leaves_nothing(tmp_path: Path) -> None:
    """What is refused as it is built leaves no directory behind."""
    steps = "(config={'AppMetaExtension': {'cookies_alow': ['theme']}}).with_dynamic_directory(path='/', directory='.')"
    said, left_behind = attempt(tmp_path, steps)
    assert "cookies_alow" in said and left_behind == []


def test_parameter_that_a_directory_has_itself_is_refused(tmp_path: Path) -> None:
    """A directory's path must not have the parameter ``name``: that is the notebook's."""
    assert "DashboardError" in attempt(tmp_path, "().with_dynamic_directory(path='/{name}', directory='.')")[0]


async def test_index_with_a_parameter_is_refused() -> None:
    """An index has one URL."""
    with pytest.raises(DashboardError, match="index"):
        await built(create_app().with_index(path="/{x}"))


# --- what is left ----------------------------------------------------------------------------------------------------


def left(folder: Path) -> list[Path]:
    """Return what is in a directory, of which everything must be closed to others."""
    found = list(folder.iterdir())
    assert not any(path.stat().st_mode & 0o077 for path in found)  # they have the kernels' keys
    return found


async def test_close_leaves_nothing(folder: Path, temporary: Path) -> None:
    """An application that was never used takes its temporary directory with it, also when it is closed twice."""
    application = create_app().with_app(path="/", root=folder / "a.ipynb").build()
    assert len(left(temporary)) == 1
    await application.close()
    await application.close()
    assert left(temporary) == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


def staged(home: Path, monkeypatch: pytest.MonkeyPatch, *cells: str, warm: int = 0) -> Application:
    """Return an application with one notebook of these cells and a kernel of its own."""
    kernelspec(home, KERNEL)
    monkeypatch.setenv("JUPYTER_PATH", str(home / "data"))
    return create_app(warm=warm).with_app(path="/", root=write(home / "page.ipynb", *cells)).build()


def children() -> list[psutil.Process]:
    """Return the kernels of this process."""
    return [child for child in psutil.Process().children() if "ipykernel_launcher" in child.cmdline()]


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged as an error or failure. What nbclient says of a kernel that ends is not logged."""
    found = [record for record in caplog.records if not record.name.endswith(".silent")]
    return [record.message for record in found if record.levelname == "ERROR" or "failed" in record.message]


async def until(wanted: Callable[[], Any], timeout: float = 20) -> None:
    """Let the server work until this is true."""
    async with asyncio.timeout(timeout):
        while not wanted():
            await asyncio.sleep(0.02)


async def test_close_ends_what_waits_for_a_visitor(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A warm kernel whose cell waits for its visitor ends with its application, and so do files and tasks."""
    application = staged(tmp_path, monkeypatch, f"open({str(tmp_path / 'ran')!r}, 'w').close()", WHO, warm=1)
    server = application.listen(free_port(), "127.0.0.1")
    await until((tmp_path / "ran").exists)
    assert len(children()) == 1
    server.stop()
    async with asyncio.timeout(90):
        await application.close()
    assert children() == [] and left(temporary) == []
    await until(lambda: not application.services.tasks)
    application.start()
    assert not application.services.tasks
    assert complaints(caplog) == []


async def test_visitors_who_wait_as_the_server_ends_may_come_back(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A page that cannot begin any more is a 503 that says when to return, and no error of its notebook in the log."""
    application, port = staged(tmp_path, monkeypatch, WHO), free_port()
    server = application.listen(port, "127.0.0.1")
    async with httpx.AsyncClient(timeout=60) as client:
        crowd = 8 * (os.cpu_count() or 1)  # more kernels than are started at once
        asked = [asyncio.create_task(client.get(f"http://127.0.0.1:{port}/")) for _ in range(crowd)]
        await until(lambda: len(application.services.occupancy.runs) == crowd)
        await application.close()
        answers = await asyncio.gather(*asked)
    server.stop()
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused and all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    assert {answer.status_code for answer in answers} <= {200, 503}  # a page that had begun breaks off
    assert children() == [] and left(temporary) == [] and complaints(caplog) == []


async def test_close_ends_what_a_visitor_looks_at(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is shown loses its kernel when the application is closed."""
    application, port = staged(tmp_path, monkeypatch, WHO), free_port()
    server = application.listen(port, "127.0.0.1")
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/?region=emea")
    assert answer.status_code == 200 and "emea" in answer.text
    assert len(children()) == 1
    server.stop()
    await application.close()
    assert children() == [] and left(temporary) == []
