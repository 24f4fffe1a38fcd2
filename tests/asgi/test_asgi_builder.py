"""``create_asgi_app()``: what is accepted, refused and redirected, without a kernel and without a server."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from harness import kernelspec
from hostile import PATH, scope_of, swallow
from stage import KERNEL, write
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import jupyter_app_meta
from jupyter_app_meta import asgi
from jupyter_app_meta.asgi import AsgiApp, AsgiBuilder, create_asgi_app, places, site
from jupyter_app_meta.dashboards import DashboardError
from jupyter_app_meta.errors import BadNotebook, PolicyError

SECRET = bytes(32)
ALICE = {"username": "alice", "is_authenticated": True}
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with notebooks of each kind, and a picture. Their kernel is installed."""
    folder, home = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("home")
    kernelspec(home, KERNEL)
    for name in ("who", "deep/c", "a space"):
        write(folder / f"{name}.ipynb", "1")
    (folder / "script.py").write_text("# %%\nprint(1)\n")
    (folder / "logo.png").write_bytes(b"\x89PNG")
    (folder / "numbers.csv").write_text("1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(home / "data"))
        yield folder


def builder(**options: Any) -> AsgiBuilder:
    """Return a builder whose cookies need no file."""
    return create_asgi_app(cookie_secret=SECRET, **options)


def directory(folder: Path, **options: Any) -> AsgiBuilder:
    """Return a builder of a directory at /nb, with a page at /who and one at /."""
    return (
        builder(**options)
        .with_app(path="", root=folder / "who.ipynb")
        .with_app(path="/who", root=folder / "who.ipynb")
        .with_dynamic_directory(path="/nb", directory=folder)
    )


@asynccontextmanager
async def client(app: ASGIApp, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Give a browser of an application, which follows no redirect."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=HTML, **options) as found:
        yield found


@asynccontextmanager
async def hosted(made: AsgiBuilder, path: str = "/dash", *middleware: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Mount a builder in a host, and give a browser of the host."""
    host = Starlette(middleware=[Middleware(each) for each in middleware])
    dashboards = made.mount(host, path)
    async with dashboards.lifespan(host), client(host) as found:
        yield found


def setting(user: object) -> Callable[[ASGIApp], ASGIApp]:
    """Return middleware that knows one visitor."""

    def around(app: ASGIApp) -> ASGIApp:
        async def known(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "user": user}, receive, send)

        return known

    return around


class Closed(BaseHTTPMiddleware):
    """Middleware that admits no visitor."""

    async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Refuse."""
        return Response(status_code=401)


# --- the names --------------------------------------------------------------------------------------------------------


def test_the_signatures_are_those_of_the_contract() -> None:
    """Each option has its name and its default."""
    defaults = {name: each.default for name, each in inspect.signature(create_asgi_app).parameters.items()}
    assert defaults == {
        **dict.fromkeys(("user", "host", "lifespan", "on_error", "meta", "cookie_secret", "config", "log")),
        **dict.fromkeys(("files", "page_cookies", "redirect_origins"), ()),
        "warm": 0,
        "fork": None,
        "fork_spares": 2,
        "max_age": 3600,
        "max_pages": 0,
        "idle_timeout": 300,
        "connect_timeout": 60,
    }
    steps = {
        "with_app": ["self", "path", "root", "authorize", "meta", "warm", "fork", "middleware"],
        "with_dynamic_directory": [
            *("self", "path", "directory", "validate", "validate_callback", "meta", "warm", "fork", "middleware")
        ],
        "with_index": ["self", "path"],
        "build": ["self"],
        "mount": ["self", "app", "path"],
    }
    for name, names in steps.items():
        assert [*inspect.signature(getattr(AsgiBuilder, name)).parameters] == names


@pytest.mark.parametrize("name", ["identity_provider", "token", "base_url", "trust_xheaders"])
def test_what_the_host_decides_is_no_option(name: str) -> None:
    """An option of create_app's that would contradict the host does not exist."""
    option: dict[str, Any] = {name: "x"}
    with pytest.raises(TypeError, match=name):
        create_asgi_app(**option)


def test_names_are_loaded_when_they_are_used() -> None:
    """The front door has create_asgi_app, and a kernel that does not use it loads nothing of it."""
    assert jupyter_app_meta.create_asgi_app is create_asgi_app is asgi.create_asgi_app
    assert "create_asgi_app" not in jupyter_app_meta.__all__
    code = "import sys; from jupyter_app_meta import *; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tornado", "voila", "jupyter_server", "fastapi"} & {*loaded}
    with pytest.raises(AttributeError, match="create_asgi_apps"):
        jupyter_app_meta.create_asgi_apps  # type: ignore[attr-defined]  # noqa: B018  # that is the test


def test_a_builder_is_a_value(folder: Path) -> None:
    """Each step returns another builder, and shows no secret."""
    first = builder()
    second = first.with_app(path="", root=folder / "who.ipynb")
    third = second.with_index(path="/all")
    assert (len(first.dashboards.mounts), len(second.dashboards.mounts)) == (0, 1)
    assert second.dashboards.index is None and third.dashboards.index is not None
    assert second.dashboards.mounts[0].route.path == "/"
    assert repr(SECRET) not in repr(third)
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.hosted = second.hosted  # type: ignore[misc]  # that is the test


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"AppMetaExtension": {"user_header": "X-User"}}, "user_header"),
        ({"AppMetaExtension": {"user_header": "X-User", "trusted_proxies": ["10.0.0.0/8"]}}, "user_header"),
        ({"AppMetaExtension": {"trusted_proxies": ["10.0.0.0/8"]}}, "trusted_proxies"),
        ({"IdentityProvider": {"token": "x"}}, "IdentityProvider.token"),
        ({"PasswordIdentityProvider": {"hashed_password": "x"}}, "hashed_password"),
        ({"VoilaConfiguration": {"template": "no-such"}}, "no-such"),
        ({"AppMetaExtension": {"headers_alow": ["x"]}}, "headers_alow"),
    ],
)
def test_a_configuration_that_cannot_be_honoured_is_refused(
    folder: Path, config: Mapping[str, Any], named: str
) -> None:
    """build() names the option."""
    with pytest.raises((DashboardError, PolicyError), match=named):
        directory(folder, config=config).build()


@pytest.mark.parametrize(
    "options", [{"user": 1}, {"host": "app"}, {"lifespan": 5}, {"on_error": "hosts"}, {"warm": -1}, {"max_age": 0}]
)
def test_an_option_with_a_wrong_value_is_refused(folder: Path, options: Mapping[str, Any]) -> None:
    """The refusal names the option."""
    with pytest.raises(DashboardError, match=next(iter(options))):
        directory(folder, **options).build()


def test_middleware_is_a_list_of_factories(folder: Path) -> None:
    """Starlette's description of middleware, a single class and a string are refused with what is expected."""
    for wrong in (Closed, "Closed", [Middleware(Closed)], [None]):
        with pytest.raises(DashboardError, match="middleware at /x"):
            builder().with_app(path="/x", root=folder / "who.ipynb", middleware=wrong)  # type: ignore[arg-type]


def test_one_rule_for_a_directory(folder: Path) -> None:
    """A directory has validate or validate_callback, and the latter is a function."""
    both: dict[str, Any] = {"validate": lambda user, request: True, "validate_callback": lambda name, scope: True}
    with pytest.raises(DashboardError, match="validate cannot be combined"):
        builder().with_dynamic_directory(path="/nb", directory=folder, **both)
    with pytest.raises(DashboardError, match="validate_callback"):
        builder().with_dynamic_directory(path="/nb", directory=folder, validate_callback=True)  # type: ignore[arg-type]


def test_paths_in_conflict_and_missing_notebooks_are_refused(folder: Path, tmp_path: Path) -> None:
    """build() checks what create_app checks."""
    page = builder().with_app(path="", root=folder / "who.ipynb")
    with pytest.raises(DashboardError, match="both at /"):
        page.with_app(path="/", root=folder / "script.py").build()
    with pytest.raises(DashboardError, match="does not exist"):
        page.with_app(path="/b", root=folder / "absent.ipynb").build()
    (broken := tmp_path / "broken.py").write_bytes(b"# %%\n\xff\n")
    with pytest.raises(BadNotebook):
        page.with_app(path="/b", root=broken).build()
    with pytest.raises(DashboardError, match="nothing to serve"):
        builder().build()


def test_a_host_without_a_lifespan_is_refused(folder: Path) -> None:
    """mount() says what to do instead; a path without its slash is refused too."""
    with pytest.raises(DashboardError, match=r"lifespan=dashboards\.lifespan"):
        directory(folder).mount(object())  # type: ignore[arg-type]  # that is the test
    with pytest.raises(DashboardError, match="'/dash'"):
        directory(folder).mount(Starlette(), "dash")


def test_building_starts_nothing(folder: Path) -> None:
    """build() is safe before a fork: no folder, no socket, no thread, and it needs no event loop."""
    before = psutil.Process().num_fds(), psutil.Process().num_threads()
    one, two = directory(folder).build(), directory(folder).build()
    assert isinstance(one, AsgiApp) and one is not two
    assert (psutil.Process().num_fds(), psutil.Process().num_threads()) == before


# --- one address ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "canonical"),
    [
        ("/who/", "/who"),
        ("/who/?a=1&b=%2F", "/who?a=1&b=%2F"),
        ("/%77ho", "/who"),
        ("/%77ho?next=//x", "/who?next=//x"),
        ("/nb/who.ipynb", "/nb/who"),
        ("/nb/script.ipynb", "/nb/script"),
        ("/nb/absent.ipynb", "/nb/absent"),
        ("/nb/%77ho", "/nb/who"),
        ("/nb/deep%2ec", "/nb/deep.c"),
        ("/nb/deep/%63.ipynb?x", "/nb/deep/c?x"),
        ("/all/", "/all"),
        ("/%6cogo.png", "/logo.png"),
        ("//evil.example/%61", "/evil.example/a"),
        ("/nb//evil.example/x.ipynb", "/nb//evil.example/x"),
    ],
)
@pytest.mark.parametrize("mount", ["/", "/dash", "/t/{tenant}/d"])
async def test_each_alias_is_redirected_to_the_one_address(
    folder: Path, mount: str, asked: str, canonical: str
) -> None:
    """A page, the index and a file have one path each, at any mount, and the query is kept."""
    place = mount.format(tenant="acme").rstrip("/")
    async with hosted(directory(folder).with_index(path="/all"), mount) as browser:
        answer = await browser.get(httpx.URL("http://127.0.0.1").copy_with(raw_path=(place + asked).encode()))
    assert (answer.status_code, answer.headers["location"]) == (307, place + canonical)
    assert not answer.cookies


@pytest.mark.parametrize("path", ["/", "/who", "/nb/deep/c", "/nb/a%20space", "/nb/script", "/all"])
async def test_the_one_address_is_not_redirected(folder: Path, path: str) -> None:
    """Neither are the addresses in the list."""
    async with hosted(directory(folder).with_index(path="/all")) as browser:
        assert (await browser.head(f"/dash{path}")).status_code == 200


async def test_the_list_has_addresses_that_are_not_redirected(folder: Path) -> None:
    """Also for names with spaces, below the place of this request."""
    made = directory(folder).with_index(path="/all")
    async with hosted(made, "/t/{tenant}/d") as browser:
        page = (await browser.get("/t/ö/d/all")).text
        found = [part.partition('"')[0] for part in page.split('<a href="')[1:]]
        assert "/t/%C3%B6/d/nb/a%20space" in found
        assert [(await browser.head(each)).status_code for each in found] == [200] * len(found)


async def test_a_file_has_one_address(folder: Path) -> None:
    """A host's rule about the path of a file is not walked around by Voila's second address of it."""
    async with hosted(directory(folder, files=["*.csv"])) as browser:
        assert [(await browser.get(f"/dash/{name}")).status_code for name in ("logo.png", "numbers.csv")] == [200, 200]
        assert (await browser.get("/dash/voila/files/logo.png")).status_code == 404


# --- cookies and errors -----------------------------------------------------------------------------------------------


async def test_cookies_belong_to_the_mount(folder: Path) -> None:
    """Each cookie has the path of the mount, also where there are several."""
    made = directory(folder).with_index(path="/all").build()
    host = Starlette(routes=[Mount("/a", made), Mount("/b", made)])
    async with made.lifespan(host), client(host) as browser:
        answers = [await browser.get(f"/{place}/all") for place in "ab"]
        lines = [line for answer in answers for line in answer.headers.get_list("set-cookie")]
    assert lines and all("Path=/a/" in line or "Path=/b/" in line for line in lines), lines
    assert {"/a/", "/b/"} == {line.partition("Path=")[2].partition(";")[0] for line in lines}


async def test_of_two_cookies_that_of_the_longer_path_counts(folder: Path) -> None:
    """A visitor without a name stays who it is at each mount, whichever was visited first."""
    made = directory(folder, user=lambda scope: None)
    seen: list[str] = []

    def authorize(user: jupyter_app_meta.User, request: jupyter_app_meta.HTTPRequest) -> bool:
        seen.append(str(user.username))
        return True

    dashboards = made.with_app(path="/seen", root=folder / "who.ipynb", authorize=authorize).build()
    host = Starlette(routes=[Mount("/dash", dashboards), Mount("/", dashboards)])
    async with dashboards.lifespan(host), client(host) as browser:
        for path in ("/dash/seen", "/seen", "/dash/seen", "/seen"):
            await browser.head(path)
    assert seen[0] == seen[2] != seen[1] == seen[3]


async def test_our_own_error_page_leads_to_the_mount(folder: Path) -> None:
    """No page names another place than the request's own."""
    async with hosted(directory(folder)) as browser:
        for path in ("/nb/absent", "/api/kernels", "/voila/static/absent.js", "/voila/templates/lab/static/absent"):
            answer = await browser.get(f"/dash{path}")
            assert answer.status_code in (403, 404) and 'href="/dash/"' in answer.text, path


async def _show(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"the host's own {error.status_code}", error.status_code, headers=error.headers)


async def test_errors_can_be_the_hosts(folder: Path) -> None:
    """With on_error="host" the host's exception handlers write the page; without a host it is our own."""
    made = directory(folder, on_error="host").build()
    host = Starlette(routes=[Mount("/dash", made)], exception_handlers={404: _show, 405: _show, 413: _show})
    async with made.lifespan(host), client(host) as browser, client(made) as direct:
        asked = [await browser.get("/dash/nb/absent"), await browser.post("/dash/who", content=b"x" * 100_000)]
        assert [each.text for each in asked] == ["the host's own 404", "the host's own 413"]
        assert "Go to the start page" in (await direct.get("/nb/absent")).text


# --- who may see what -------------------------------------------------------------------------------------------------


class Refusal(Exception):
    """An error of the deployer's with a status."""

    def __init__(self, status: Any) -> None:
        super().__init__("CANARY")
        self.status_code = status


async def _later(name: str, scope: Scope) -> bool:
    await asyncio.sleep(0)
    return bool(name == "deep/c")


def _raises(status: Any) -> Callable[[str, Scope], bool]:
    def callback(name: str, scope: Scope) -> bool:
        raise Refusal(status)

    return callback


@pytest.mark.parametrize(
    ("callback", "status"),
    [
        (lambda name, scope: name == "deep/c" and scope["user"]["username"] == "alice", 200),
        (_later, 200),
        (lambda name, scope: False, 404),
        (lambda name, scope: 1, 403),
        (lambda name, scope: None, 403),
        (_raises(401), 401),
        (_raises(503), 503),
        (_raises(200), 403),
        (_raises(302), 403),
        (_raises("401"), 403),
        (_raises(True), 403),
        (lambda name, scope: scope["CANARY"], 403),
    ],
)
async def test_validate_callback_is_marimos(folder: Path, callback: Any, status: int) -> None:
    """It gets the canonical name and the scope; what it raises refuses, and is not shown."""
    made = builder().with_dynamic_directory(path="/nb", directory=folder, validate_callback=callback)
    async with hosted(made, "/dash", setting(ALICE)) as browser:
        answer = await browser.get("/dash/nb/deep/c", headers={"Sec-Fetch-Dest": "image"})
    assert answer.status_code == status
    assert "CANARY" not in answer.text


async def test_two_mounts_of_one_notebook_share_no_middleware(folder: Path) -> None:
    """The open one is open, the closed one is closed, in either order, at each spelling."""
    page = folder / "who.ipynb"
    for first, second in (("/open", "/closed"), ("/closed", "/open")):
        made = builder()
        for path in (first, second):
            made = made.with_app(path=path, root=page, middleware=[Closed] if path == "/closed" else ())
        async with hosted(made.with_index()) as browser:
            found = {path: (await browser.head(f"/dash{path}")).status_code for path in (first, second, "/closed/")}
            listed = (await browser.get("/dash/")).text
            assert (await browser.get("/dash/logo.png")).status_code == 200  # it is the open page's, too
        assert found == {"/open": 200, "/closed": 401, "/closed/": 401}
        assert "/dash/open" in listed and "/dash/closed" not in listed


async def test_middleware_wraps_files_and_may_not_change_the_mount(folder: Path) -> None:
    """A file of a closed page is closed. Middleware of one mount cannot lead into another one."""

    def leads(app: ASGIApp) -> ASGIApp:
        async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "path": "/dash/closed", "raw_path": b"/dash/closed"}, receive, send)

        return elsewhere

    made = builder().with_app(path="/closed", root=folder / "who.ipynb", middleware=[Closed])
    made = made.with_app(path="/x/leads", root=folder / "deep/c.ipynb", middleware=[leads])
    async with hosted(made) as browser:
        asked = ("/logo.png", "/closed", "/x/leads")
        assert [(await browser.get(f"/dash{path}")).status_code for path in asked] == [401, 401, 403]


@pytest.mark.parametrize("is_judged", [True, False])
async def test_a_socket_reaches_no_middleware_that_has_not_judged_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_judged: bool
) -> None:
    """A page may begin between the two times at which the mount of its socket is looked up: it is refused."""
    seen: list[str] = []

    def noting(app: ASGIApp) -> ASGIApp:
        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["type"])
            await app(scope, receive, send)

        return noted

    def place(application: Any, request: Any) -> places.Place | None:
        (page,) = application.site.plan.mounts
        return next(found, places.Place(page.settings))

    found: Iterator[None] = iter([] if is_judged else [None])
    monkeypatch.setattr(site, "place", place)
    dashboards = builder().with_app(path="/closed", root=folder / "who.ipynb", middleware=[noting]).build()
    host = Starlette(routes=[Mount("/dash", dashboards)])
    async with dashboards.lifespan(host):
        await host(scope_of("websocket", f"/dash{PATH}", "alice"), connecting, swallow)
    assert seen == (["http", "websocket"] if is_judged else [])


async def connecting() -> Message:
    """Receive the beginning of a socket."""
    return {"type": "websocket.connect"}


async def test_middleware_is_told_the_file_and_the_last_is_outermost(folder: Path) -> None:
    """scope["app_meta_file"] is the notebook's path, for a page of a directory too."""
    seen: list[Any] = []

    def notes(name: str) -> Callable[[ASGIApp], ASGIApp]:
        def around(app: ASGIApp) -> ASGIApp:
            async def noting(scope: Scope, receive: Receive, send: Send) -> None:
                seen.append((name, scope.get("app_meta_file")))
                await app(scope, receive, send)

            return noting

        return around

    made = builder().with_dynamic_directory(path="", directory=folder, middleware=[notes("inner"), notes("outer")])
    async with hosted(made) as browser:
        for path in ("script", "absent", "_hidden"):
            await browser.head(f"/dash/{path}")
    assert seen[:2] == [("outer", str(folder / "script.py")), ("inner", str(folder / "script.py"))]
    assert [file for _, file in seen[2:]] == [None] * 4


async def test_parameters_of_the_mount_reach_the_deployers_functions(folder: Path) -> None:
    """They are below the route's own, and a mount's path parameter is none of them."""
    seen: list[dict[str, str]] = []

    def authorize(user: object, request: jupyter_app_meta.HTTPRequest) -> bool:
        seen.append(dict(request.path_params))
        return True

    made = builder().with_app(path="/{year}/{tenant}", root=folder / "who.ipynb", authorize=authorize)
    async with hosted(made, "/t/{tenant}/{number:int}") as browser:
        assert (await browser.head("/t/acme/7/2026/own")).status_code == 200
    assert seen == [{"tenant": "own", "number": "7", "year": "2026"}]


# --- life -------------------------------------------------------------------------------------------------------------


async def test_the_lifespan_gets_the_host_and_gives_a_state(folder: Path) -> None:
    """mount() joins the host's lifespan: the host's is entered first and left last, and each may give a state."""
    events: list[Any] = []

    @asynccontextmanager
    async def of_host(app: object) -> AsyncIterator[dict[str, int]]:
        events.append("host begins")
        yield {"host": 1}
        events.append("host ends")

    @asynccontextmanager
    async def of_dashboards(app: object) -> AsyncIterator[dict[str, int]]:
        events.append(app)
        yield {"own": 2}
        events.append("dashboards end")

    def callback(name: str, scope: Scope) -> bool:
        events.append(scope["state"])
        return True

    host = Starlette(lifespan=of_host)
    made = builder(lifespan=of_dashboards)
    made.with_dynamic_directory(path="", directory=folder, validate_callback=callback).mount(host)
    async with host.router.lifespan_context(host) as state, client(host) as browser:
        assert state == {"host": 1}
        await browser.head("/who")
    assert events == ["host begins", host, {"own": 2}, "dashboards end", "host ends"]


async def test_without_a_lifespan_the_first_request_starts_it(folder: Path) -> None:
    """aclose() ends it, twice if need be; then it answers 503."""
    made = directory(folder).build()
    async with client(made) as browser:
        assert (await browser.head("/who")).status_code == 200
        await made.aclose()
        await made.aclose()
        assert (await browser.head("/who")).status_code == 503


async def test_a_mount_without_its_slash_is_redirected_with_its_query(folder: Path) -> None:
    """By the host or by us, 307 and the query kept."""
    async with hosted(directory(folder)) as browser:
        answer = await browser.get("/dash?a=1")
    assert answer.status_code == 307 and answer.headers["location"].endswith("/dash/?a=1")


def test_the_snippets_run_word_by_word(folder: Path) -> None:
    """marimo's examples run but for their import, from the folder of their notebooks."""
    code = """
import jupyter_app_meta as marimo
from fastapi import FastAPI
server = (
    marimo.create_asgi_app()
    .with_app(path="", root="./who.ipynb")
    .with_app(path="/dashboard", root="./script.py")
)
app = FastAPI()
app.mount("/", server.build())
FastAPI().mount("/", marimo.create_asgi_app().with_dynamic_directory(path="/dashboard", directory=".").build())
"""
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, env={**os.environ})


def test_a_server_id_is_given_in_the_configuration(folder: Path) -> None:
    """As for ``serve``. What is wrong with it is said, and so is another option of ``serve``, which has no effect."""
    made = builder(config={"Serve": {"server_id": "x7zz"}}).with_app(path="/", root=folder / "who.ipynb")
    assert made.dashboards.options["server_id"] == "x7zz"
    assert builder(config={}).dashboards.options["server_id"] == ""
    with pytest.raises(DashboardError, match="server_id is 'NINE': give four digits"):
        builder(config={"Serve": {"server_id": "NINE"}})
    with pytest.raises(DashboardError, match=r"Serve\.warm has no effect .*: pass warm as an argument"):
        builder(config={"Serve": {"warm": 2}})
