"""A lifespan around a server of dashboards: when it is entered and left, and what sees its ContextVars."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from stage import SLIDER, move, served, serving_folder, staging, visit, write

from jupyter_app_meta.cli.serve import Serve
from jupyter_app_meta.dashboards import Builder, DashboardError, create_app
from jupyter_app_meta.errors import LifespanError

number: ContextVar[int] = ContextVar("number", default=0)

LIFESPAN = """
import anyio, os, psutil
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

number = ContextVar("number", default=0)
broken = []

def say(event):
    with Path(os.environ["EVENTS"]).open("a") as file:
        print(event, file=file)

async def failing(event):
    await event.wait()
    raise ValueError("the deployer's own error")

def kernels():
    return sum("kernel-" in " ".join(child.cmdline()) for child in psutil.Process().children(recursive=True))

@asynccontextmanager
async def lifespan(app):
    say(f"enter {type(app).__name__}")
    number.set(999)
    try:
        async with anyio.create_task_group() as group:
            broken.append(anyio.Event())
            group.start_soon(failing, broken[0])
            yield
            group.cancel_scope.cancel()
    finally:
        say(f"leave, {kernels()} kernels")
"""

APP = f"""{LIFESPAN}
from jupyter_client.kernelspec import KernelSpecManager

class Specs(KernelSpecManager):
    def get_kernel_spec(self, name):
        spec = super().get_kernel_spec(name)
        spec.env["NUMBER"] = str(number.get())
        return spec

def authorize(user, request):
    return number.get() == 999

def meta(request):
    return {{"number": number.get()}}

def on_error(status, request):
    if request.url.path == "/fail":
        broken[0].set()
    return f"status {{status}} number {{number.get()}}"

config = {{"VoilaConfiguration": {{"kernel_spec_manager_class": Specs}}}}
app = create_app(identity_provider=People, lifespan=lifespan, on_error=on_error, meta=meta, config=config)
app = app.with_app(path="/page", root="page.ipynb", authorize=authorize, warm=1)
"""

CELL = """import os
print("<environment", os.environ["NUMBER"] + ">")
print("<meta", app_meta().request.meta["number"], ">")"""


def events(home: Path) -> list[str]:
    """Return what the lifespan has said."""
    return (home / "events").read_text().splitlines()


def test_a_failing_lifespan_ends_sockets_and_kernels_before_it_is_left(tmp_path: Path) -> None:
    """Warm rendering, pages, hooks and sockets see its ContextVars. When it fails, the server ends with its error."""
    callback = SLIDER.replace("{change.new}", "{change.new}|{m.request.meta}")
    write(tmp_path / "root" / "page.ipynb", callback, CELL)
    with staging(tmp_path, APP, env={"EVENTS": str(tmp_path / "events")}) as server:
        opened = visit(server, "alice", "page")
        assert "<environment 999>" in opened.html and "<meta 999 >" in opened.html
        socket = opened.connect()
        assert move(socket, opened, 5).endswith("|5|{'number': 999}")
        assert opened.visitor.http.get("fail").text == "status 404 number 999"
        with pytest.raises(ConnectionError, match="the server ends"):  # closed with 1012
            socket.until(lambda message: False)
        assert server.process.wait(60) == 1
        assert "ValueError: the deployer's own error" in server.log
        assert events(tmp_path) == ["enter Application", "leave, 0 kernels"]


def test_the_command_takes_a_lifespan_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM ends the kernels, then the lifespan is left, and all went well."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "our_module.py").write_text(LIFESPAN)
    write(tmp_path / "root" / "page.ipynb", "1")
    monkeypatch.setenv("EVENTS", str(tmp_path / "events"))
    with serving_folder(tmp_path, ".", "--Serve.lifespan=our_module:lifespan", "--warm=1") as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert events(tmp_path) == ["enter Application", "leave, 0 kernels"]


class Surrounding:
    """A lifespan of the tests: it waits until it may start, and fails when it is told to."""

    def __init__(self, fault: type[Exception] | None = None) -> None:
        self.may_start, self.broken, self.log = asyncio.Event(), asyncio.Event(), []  # type: ignore[var-annotated]
        self.fault = fault

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Surround a server."""
        await self.may_start.wait()
        if self.fault:
            raise self.fault("the deployer's own error")
        self.log.append("enter")
        number.set(999)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._fail)
                yield
                group.cancel_scope.cancel()
        finally:
            self.log.append("leave")

    async def _fail(self) -> None:
        await self.broken.wait()
        raise ValueError("the deployer's own error")


def says_number(status: int, request: Any) -> str:
    """Show in an error page what the request sees, and change it."""
    found = number.get()
    number.set(1)
    return f"{status} {found}"


def builder(place: Path, surrounding: Surrounding) -> Builder:
    """Return a builder whose error pages say what they see."""
    write(place / "page.ipynb", "1")
    app = create_app(lifespan=surrounding.lifespan, on_error=says_number)
    return app.with_app(path="/page", root=place / "page.ipynb")


async def answer(client: httpx.AsyncClient, expected: int) -> httpx.Response:
    """Ask until there is an answer of this status."""
    async with asyncio.timeout(60):
        while (found := await client.get("/absent")).status_code != expected:
            await asyncio.sleep(0.01)
    return found


async def test_an_application_that_a_program_serves_enters_it_too(tmp_path: Path) -> None:
    """Requests get 503 until it is entered and once it has failed; the others see its ContextVars, each anew."""
    surrounding = Surrounding()

    async def serve() -> None:
        async with served(builder(tmp_path, surrounding)) as client:
            early = await answer(client, 503)
            assert (early.headers["retry-after"], early.text) == ("5", "503 0")
            surrounding.may_start.set()
            assert [(await answer(client, 404)).text for _ in range(2)] == ["404 999"] * 2
            surrounding.broken.set()
            await answer(client, 503)

    with pytest.raises(ExceptionGroup) as raised:
        await serve()
    assert raised.group_contains(ValueError, match="the deployer's own error")
    assert surrounding.log == ["enter", "leave"]


async def test_a_program_that_closes_its_application_leaves_it(tmp_path: Path) -> None:
    """``close`` leaves a lifespan that is entered, and one that is being entered."""
    surrounding = Surrounding()
    async with served(builder(tmp_path, surrounding)) as client:
        await answer(client, 503)
    assert surrounding.log == []
    surrounding.may_start.set()
    async with served(builder(tmp_path, surrounding)) as client:
        await answer(client, 404)
    assert surrounding.log == ["enter", "leave"]


@pytest.mark.parametrize("fault", [ValueError, ConnectionRefusedError])
def test_a_lifespan_that_does_not_start_starts_no_server(tmp_path: Path, fault: type[Exception]) -> None:
    """``run`` raises its error; no kernel is tried and no port is taken."""
    surrounding = Surrounding(fault)
    surrounding.may_start.set()
    with pytest.raises(fault, match="the deployer's own error"):
        builder(tmp_path, surrounding).run(port=0, bound=lambda port: pytest.fail("it listens"))


def test_the_command_does_not_take_its_error_for_that_of_the_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that refuses a connection is an OSError, as a port that is in use is."""
    surrounding = Surrounding(ConnectionRefusedError)
    surrounding.may_start.set()
    command = Serve()
    monkeypatch.setattr(command, "builder", lambda: builder(tmp_path, surrounding))
    with pytest.raises(ConnectionRefusedError, match="the deployer's own error"):
        command.start()


@pytest.mark.parametrize(
    ("given", "said"),
    [("mod", r"Serve\.lifespan: 'mod' does not name a function"), ("gone:x", r"Serve\.lifespan: 'gone:x' cannot be")],
)
def test_a_wrong_name_is_refused(tmp_path: Path, given: str, said: str) -> None:
    """The message names the option."""
    write(tmp_path / "page.ipynb", "1")
    command = Serve(lifespan=given)
    command.extra_args = [str(tmp_path / "page.ipynb")]
    with pytest.raises(DashboardError, match=said):
        command.builder()


def test_what_is_no_lifespan_is_refused(tmp_path: Path) -> None:
    """What is not a function at ``build``, and a function that surrounds nothing when the server starts."""
    write(tmp_path / "page.ipynb", "1")
    five: Any = 5
    with pytest.raises(DashboardError, match="lifespan is 5: give a function that returns an asynchronous context"):
        create_app(lifespan=five).with_app(path="/", root=tmp_path / "page.ipynb").build()
    nothing: Any = lambda app: None  # noqa: E731  # as deployers write it
    with pytest.raises(LifespanError, match="must return an asynchronous context manager, not NoneType"):
        create_app(lifespan=nothing).with_app(path="/", root=tmp_path / "page.ipynb").run(port=0)
