"""Visitors and middleware that attack a mounted server: nothing is shown that the host would have refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import reduce
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from harness import kernelspec
from hostile import REFUSING, Caches, Copies, Login, Pure, scope_of, silence
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import KERNEL, write
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jupyter_app_meta import HTTPRequest, User
from jupyter_app_meta.asgi import AsgiBuilder, create_asgi_app
from jupyter_app_meta.asgi.site import REFUSED, HostedSite
from jupyter_app_meta.asgi.types import MiddlewareFactory
from jupyter_app_meta.dashboards.builder import planned
from jupyter_app_meta.dashboards.visits import Asked, Visit
from jupyter_app_meta.policy import Page, RawRequest
from jupyter_app_meta.server.identity import Visitor

HTML = [(b"host", b"127.0.0.1"), (b"accept", b"text/html"), (b"cookie", b"person=alice")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a notebook, whose kernel is installed."""
    folder, home = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("home")
    kernelspec(home, KERNEL)
    for name in ("who", "reports/secret"):
        write(folder / f"{name}.ipynb", "1")
    for name in ("logo", "pictures/map", "reports/chart", "reports/deep/chart"):
        (folder / f"{name}.png").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(b"\x89PNG")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(home / "data"))
        yield folder


@asynccontextmanager
async def hosted(made: AsgiBuilder, path: str) -> AsyncIterator[Starlette]:
    """Mount a builder in a host."""
    host = Starlette()
    dashboards = made.mount(host, path)
    async with dashboards.lifespan(host):
        yield host


async def answer(app: ASGIApp, kind: str, path: str, **more: Any) -> tuple[int, bytes]:
    """Send a request, or a socket's handshake, and return the status and the body of what comes back."""
    first = {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request"}
    asked, answers = iter([first]), list[Message]()

    async def receive() -> Message:
        return next(asked, None) or await silence()

    async def send(message: Message) -> None:
        answers.append(message)

    scope = scope_of(kind, path, "alice", extensions={"websocket.http.response": {}}, **{"headers": HTML, **more})
    await asyncio.wait_for(app(scope, receive, send), 30)
    statuses = [message["status"] for message in answers if "status" in message]
    return statuses[0] if statuses else 101, b"".join(message.get("body", b"") for message in answers)


# --- what visitors write ----------------------------------------------------------------------------------------------


async def test_a_handshake_at_a_page_starts_no_kernel(folder: Path) -> None:
    """Scripts of other sites may open sockets, and not each browser says what a handshake is for."""
    made = create_asgi_app(cookie_secret=bytes(32), max_pages=1).with_app(path="/", root=folder / "who.ipynb")
    async with hosted(made, "/dash") as host:
        for more in ([], [(b"sec-fetch-dest", b"document")]):
            status, body = await answer(host, "websocket", "/dash/", headers=[*HTML, *more])
            assert status == 200 and b"og:title" in body and b"<script" not in body


@pytest.mark.parametrize("tenant", ["..", ".", "a\0b", "a\x7fb", "../.."])
async def test_no_parameter_of_a_mount_leads_elsewhere(folder: Path, tenant: str) -> None:
    """No browser sends such a path, and the deployer's functions and cells may make a file's name of a parameter."""
    seen: list[object] = []

    def authorize(user: object, request: object) -> bool:
        seen.append(request)
        return True

    made = create_asgi_app(cookie_secret=bytes(32))
    made = made.with_app(path="/who", root=folder / "who.ipynb", authorize=authorize)
    async with hosted(made, "/t/{tenant:path}/d") as host:
        for kind in ("http", "websocket"):
            assert (await answer(host, kind, f"/t/{tenant}/d/who", method="HEAD"))[0] == 404
        assert not seen
        assert (await answer(host, "http", "/t/a..b/.c/d/who", method="HEAD"))[0] == 200
        assert len(seen) == 1


RULES: Mapping[str, Mapping[str, Any]] = {
    "validate": {"validate": lambda user, request: False},
    "validate_callback": {"validate_callback": lambda name, scope: False},
    "middleware": {"middleware": [lambda app: Response(status_code=403)]},
}


@pytest.mark.parametrize("rule", RULES)
async def test_a_page_does_not_lift_the_rule_of_a_folder_below_it(folder: Path, rule: str) -> None:
    """The start page is open, and so are its pictures. The reports are not, at each address of theirs."""
    made = create_asgi_app(cookie_secret=bytes(32)).with_app(path="", root=folder / "who.ipynb")
    for place in ("/reports", "/elsewhere"):
        both = made.with_dynamic_directory(path=place, directory=folder / "reports", **RULES[rule])
        async with hosted(both, "/") as host:
            for path in ("/reports/chart.png", "/reports/deep/chart.png", "/elsewhere/chart.png"):
                assert (await answer(host, "http", path))[0] in (403, 404), path
            for path in ("/logo.png", "/pictures/map.png"):
                assert (await answer(host, "http", path))[0] == 200, path


# --- what deployers write ---------------------------------------------------------------------------------------------


async def test_a_status_may_be_written_by_its_name(folder: Path) -> None:
    """``HTTPStatus`` is as good as a number."""

    def callback(name: str, scope: Scope) -> bool:
        raise HTTPException(HTTPStatus.UNAUTHORIZED)

    made = create_asgi_app(cookie_secret=bytes(32))
    made = made.with_dynamic_directory(path="/nb", directory=folder, validate_callback=callback)
    async with hosted(made, "/dash") as host:
        assert (await answer(host, "http", "/dash/nb/who"))[0] == 401


# --- hosts and mounts of hostile middleware ---------------------------------------------------------------------------

KERNEL_ID = "a-b-c-d-e"
CHANNELS = f"/api/kernels/{KERNEL_ID}/channels"
ABSENT = 404
"""The answer to a visitor who may have the kernel, because there is none. Each other visitor gets 401 or 403."""


class Run:
    """Stands for the run of a page, whose kernel nothing in these tests reaches."""

    has_visitor, kernel_id = True, "kernel"

    async def attach(self) -> None:
        """Be ready for a browser."""

    async def is_alive(self) -> bool:
        """Live."""
        return True

    async def close(self) -> None:
        """Do nothing."""


class Changing:
    """A mount's middleware, which is another stack in each example."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = self._stack = app

    def become(self, factories: Sequence[MiddlewareFactory]) -> None:
        """Wrap the mount in these, the last one outermost."""
        self._stack = reduce(lambda app, factory: factory(app), factories, self._app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request through the stack."""
        await self._stack(scope, receive, send)


class Attacked:
    """A page that alice has open, behind middleware. ``seen`` has each visitor who came as far as the page's rule."""

    def __init__(self, folder: Path) -> None:
        self.seen: list[str] = []
        self._made: list[Changing] = []
        made = create_asgi_app(cookie_secret=bytes(32)).with_app(
            path="/who", root=folder / "who.ipynb", authorize=self._authorize, middleware=[self._changing]
        )
        made.dashboards.check()
        self.site = HostedSite(planned(made.dashboards), None, None, {}, raises=False)
        self.site._judge._limit = 0.05

    def host(self, outer: Sequence[Any], inner: Sequence[MiddlewareFactory]) -> Starlette:
        """Return a new host with this middleware around everything, and this around the page."""
        self._made[0].become(inner)
        routes = [Mount("/dash", self.site), Mount("/open", self.site)]
        return Starlette(routes=routes, middleware=[Middleware(each) for each in outer])

    def open(self) -> None:
        """Open the page as alice."""
        site = self.site._application.site
        user = User(username="alice", is_authenticated=True)
        raw = RawRequest("GET", "http://127.0.0.1/dash/who", "http://127.0.0.1/dash/", user=user)
        key = "host:user:alice:"
        asked = Asked(Visitor(user, key, key), raw, raw.url)
        visit = Visit(Path("who.ipynb"), site.sources[0].settings, asked, Page(raw.url, {}, "run"))
        site.services.visits.begin(visit, KERNEL_ID, Run())

    async def admits(self, host: ASGIApp, kind: str, person: str, limit: float = 0.5) -> list[str]:
        """Ask for the kernel's channels; return who came to the kernel within so many seconds.

        Where a layer has changed the answer, nobody came.
        """
        self.seen.clear()
        headers = [*HTML[:2], (b"cookie", f"person={person}".encode())]
        status, body = 0, b""
        with suppress(Exception):
            status, body = await asyncio.wait_for(answer(host, kind, f"/dash{CHANNELS}", headers=headers), limit)
        is_ours = status == ABSENT and body != REFUSED.encode()  # a host may refuse a socket with our answer to its GET
        return [*self.seen] if is_ours else []

    def _changing(self, app: ASGIApp) -> Changing:
        self._made.append(Changing(app))
        return self._made[-1]

    def _authorize(self, user: User, request: HTTPRequest) -> bool:
        self.seen.append(str(user.username))
        return True


LAYERS = [*REFUSING, Copies, Caches, Pure, Login]
"""Not those that let each visitor in but change what a GET is answered: a body without end, and no error."""

STACKS = st.lists(st.sampled_from(LAYERS), max_size=2)
PLACES = st.integers(0, 2)


def test_never_a_kernel_that_the_host_or_the_mount_would_have_refused(folder: Path) -> None:
    """A socket comes to a kernel only where a GET does, as the same visitor, whatever is around both."""
    admitted: set[bool] = set()
    with asyncio.Runner() as runner:
        attacked = runner.run(_begun(folder))

        def holds(outer: Sequence[Any], inner: Sequence[Any], person: str) -> None:
            by_socket = runner.run(attacked.admits(attacked.host(outer, inner), "websocket", person))
            admitted.add(bool(by_socket))
            if by_socket:
                by_get = runner.run(attacked.admits(attacked.host(outer, inner), "http", person, 60))  # it ends
                assert by_socket == by_get == ["alice"] and person == "alice"

        @given(STACKS, STACKS, PLACES, st.sampled_from(["alice", "bob", "mallory"]))
        @settings(max_examples=40)
        def hold(outer: list[Any], inner: list[Any], place: int, person: str) -> None:
            holds([*outer[:place], Login, *outer[place:]], inner, person)

        try:
            for layer in LAYERS:
                holds([layer, Login], [], "alice")
                holds([Login], [layer], "alice")
            hold()
        finally:
            runner.run(attacked.site.close())
    assert admitted == {True, False}


async def _begun(folder: Path) -> Attacked:
    attacked = Attacked(folder)
    await attacked.site.start()
    attacked.open()
    return attacked
