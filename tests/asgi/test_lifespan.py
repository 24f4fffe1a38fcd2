"""A lifespan around all requests: each form of a factory, each way in, and the order of what happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import lived
import pytest
from clients import TestClient
from fastapi import FastAPI
from lived import number, visitor
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jupyter_app_meta import lifespans
from jupyter_app_meta.asgi.lifespan import Within, around, entered, gate, within
from jupyter_app_meta.errors import LifespanError

log: list[str] = []
"""What happened in the running test, in order."""


@pytest.fixture(autouse=True)
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with an empty log."""
    log.clear()
    monkeypatch.setattr(lived, "say", log.append)


def api() -> FastAPI:
    """Return an application with a lifespan of its own."""

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        log.append(f"own enter {number.get()}")
        visitor.set("own")
        try:
            yield {"place": "state"}
        finally:
            log.append("own leave")

    app = FastAPI(lifespan=own)
    app.add_api_route("/var", read)
    return app


async def read(request: Any = None) -> str:
    """Say what a request sees."""
    log.append("serve")
    return f"{number.get()} {visitor.get()}"


@asynccontextmanager
async def function() -> AsyncIterator[ASGIApp]:
    """Enter as most factories do."""
    log.append("enter")
    number.set(999)
    try:
        yield api()
    finally:
        log.append("leave")


class Manager(FastAPI):
    """An application that is its own context."""

    result: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.add_api_route("/var", read)

    async def __aenter__(self) -> Any:
        log.append("enter")
        number.set(999)
        return self.result and self

    async def __aexit__(self, *error: object) -> None:
        log.append("leave")


class Returned(Manager):
    """The same; it says itself that it is the application."""

    result = True


async def awaited() -> ASGIApp:
    """Make an application asynchronously."""
    return Manager()


def made() -> ASGIApp:
    """Make an application."""
    return Manager()


FORMS: dict[str, Callable[[], Any]] = {
    "asynccontextmanager": lambda: function,
    "what it returned": function,
    "class": lambda: Manager,
    "instance": Manager,
    "instance that returns itself": Returned,
    "async function": lambda: awaited,
    "awaitable": awaited,
    "function": lambda: made,
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_entered_before_and_left_after_all_requests(form: str) -> None:
    """Whatever the factory is, requests run within it and see its ContextVars."""
    with TestClient(within(FORMS[form]())) as client:
        assert client.get("/var").json().startswith("999 ")
    own = form in ("asynccontextmanager", "what it returned")
    inner = ["own enter 999", "serve", "own leave"] if own else ["serve"]
    assert log == ["enter", *inner, "leave"]


def test_an_application_is_a_factory_too() -> None:
    """An application's own lifespan runs around requests: its ContextVars and its state are seen."""
    with TestClient(within(api())) as client:
        assert client.get("/var").json() == "0 own"
    assert log == ["own enter 0", "serve", "own leave"]


def test_it_can_be_served_again() -> None:
    """Each start enters anew; what was found at the first end holds at the second."""
    app = within(function)
    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/var").json() == "999 own"
    assert log == ["enter", "own enter 999", "serve", "own leave", "leave"] * 2


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    """Yield no application."""
    yield


@asynccontextmanager
async def five() -> AsyncIterator[int]:
    """Yield what is not an application."""
    yield 5


@pytest.mark.parametrize(
    ("factory", "fix"),
    [
        (nothing, "nothing yields None: yield the app."),
        (five, "five yields int, which is not an ASGI application"),
        ("main:app", "str is neither an ASGI application nor a factory of one: give"),
        (lambda: None, "<lambda> yields None"),
    ],
)
async def test_what_is_no_factory_is_refused(factory: Any, fix: str) -> None:
    """The message names the factory, and says what it has to be."""
    with pytest.raises(LifespanError, match=fix):
        async with entered(factory):
            pytest.fail("it was entered")


async def test_a_generators_context_is_entered_once() -> None:
    """The object that an asynccontextmanager returned serves once; the function serves as often as one likes."""
    given = function()
    async with entered(given):
        pass
    with pytest.raises(LifespanError, match="entered twice: give the function"):
        async with entered(given):
            pytest.fail("it was entered")


ENDED = ["the error arrives", "leave"]
"""How a factory of `lived` ends."""


class Host:
    """A server as the lifespan protocol shows it to an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.said: asyncio.Queue[Message] = asyncio.Queue()
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Call the application with the lifespan's scope, and note how that ends."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        try:
            await self._app(scope, self._messages.get, self.said.put)
        except BaseException as error:
            log.append(type(error).__name__)
            raise

    async def start(self) -> Message:
        """Start the application's lifespan, and return its answer."""
        await self._messages.put({"type": "lifespan.startup"})
        return await self.said.get()

    async def begin(self) -> Message:
        """Start it in a task of its own."""
        self._task = asyncio.create_task(self.run())
        return await self.start()

    async def over(self) -> None:
        """Wait until the task has ended; raises what it raises."""
        assert self._task
        await self._task

    async def stop(self) -> Message:
        """End it, and return its answer."""
        await self._messages.put({"type": "lifespan.shutdown"})
        return await self.said.get()


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    """Return a client that starts no lifespan."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", timeout=20)


async def test_a_failed_start_is_told_by_its_kind(caplog: pytest.LogCaptureFixture) -> None:
    """The server hears the kind of an error and not its text; the log has both, and the error is raised."""

    @asynccontextmanager
    async def failing() -> AsyncIterator[ASGIApp]:
        raise ValueError("a secret of the deployer's")
        yield api()

    host = Host(within(failing))
    assert await host.begin() == {"type": "lifespan.startup.failed", "message": "ValueError in the lifespan."}
    with pytest.raises(ValueError, match="a secret"):
        await host.over()
    assert "The lifespan did not start" in caplog.text and "a secret of the deployer's" in caplog.text


async def test_a_failing_task_group_refuses_ends_and_leaves_in_this_order() -> None:
    """New requests get 503 and sockets 1013, requests end, sockets get 1012, then the context is left; it is raised."""
    app = within(lived.factory)
    host = Host(app)
    await host.begin()
    async with client_of(app) as client:
        slow = asyncio.create_task(client.get("/slow"))
        open_socket = asyncio.create_task(socket_of(app))
        while "slow begins" not in log:
            await asyncio.sleep(0)
        await client.get("/fail")
        while (refused := await client.get("/var")).status_code == 200:
            await asyncio.sleep(0)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert (await socket_of(app))[-1] == {"type": "websocket.close", "code": 1013}
        assert (await slow).status_code == 200
        assert (await open_socket)[-1] == {"type": "websocket.close", "code": 1012}
        with pytest.raises(ExceptionGroup):
            await host.over()
        assert (await client.get("/var")).status_code == 503
    assert sorted(log[3:5]) == ["slow ends", "socket 1012"]
    assert [*log[:3], *log[5:]] == ["enter", "slow begins", "the group fails", *ENDED, "ExceptionGroup"]
    assert (await host.said.get())["message"] == "ExceptionGroup in the lifespan."


async def socket_of(app: ASGIApp) -> list[Message]:
    """Open a socket of which the browser says nothing, and return all that the application sends."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return await asyncio.Future() if sent else {"type": "websocket.connect"}

    await app({"type": "websocket", "path": "/socket"}, receive, send)
    return sent


async def test_a_cancellation_from_outside_waits_for_the_end() -> None:
    """What cancels the lifespan again and again gets its cancellation once requests have ended and it has left."""
    proceeds = anyio.Event()

    @asynccontextmanager
    async def waits() -> AsyncIterator[ASGIApp]:
        try:
            yield waiting
        finally:
            log.append("leave")

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        log.append("request begins")
        await proceeds.wait()
        await read()

    app = within(waits)
    host = Host(app)
    async with anyio.create_task_group() as group:
        group.start_soon(host.run)
        assert (await host.start())["type"] == "lifespan.startup.complete"
        request = asyncio.create_task(app({"type": "http"}, asyncio.Future, asyncio.Future))  # type: ignore[arg-type]
        while "request begins" not in log:
            await asyncio.sleep(0)
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            for _ in range(20):
                await asyncio.sleep(0)
            assert log == ["request begins"]
            proceeds.set()
            await request
    assert log == ["request begins", "serve", "leave", "CancelledError"]


async def test_without_a_lifespan_the_first_request_starts_it(caplog: pytest.LogCaptureFixture) -> None:
    """It runs in a task of its own, until the loop or ``aclose`` ends it. The log says how to run it, once."""
    app = within(function)
    async with client_of(app) as client:
        both = await asyncio.gather(client.get("/var"), client.get("/var"))
        assert [answer.json() for answer in both] == ["999 own"] * 2
        await app.aclose()
        await app.aclose()
        assert (await client.get("/var")).status_code == 503
    assert log == ["enter", "own enter 999", "serve", "serve", "own leave", "leave"]
    assert [record.message for record in caplog.records if record.name == "jupyter_app_meta"] == [around.UNSEEN]


async def test_what_the_first_request_starts_has_nothing_of_it() -> None:
    """A ContextVar of that request's visitor is not seen by the lifespan, which stays for all the others."""
    app = Within(part)
    visitor.set("alice")
    async with client_of(app) as client:
        assert (await client.get("/var")).json() == "7 alice"
    await app.aclose()
    assert log == ["enter NoneType nobody", "serve", "leave"]


def test_without_a_lifespan_the_end_of_the_loop_is_the_end() -> None:
    """A loop that ends cancels the task, which leaves in order; the next loop starts anew."""
    app = within(function)

    async def visit() -> str:
        async with client_of(app) as client:
            return str((await client.get("/var")).json())

    for _ in range(2):
        assert asyncio.run(visit()) == "999 own"
        assert log == ["enter", "own enter 999", "serve", "own leave", "leave"]
        log.clear()


async def test_a_start_that_fails_is_tried_again_after_a_pause(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests get 503 meanwhile, and the log says why."""

    @asynccontextmanager
    async def at_second() -> AsyncIterator[ASGIApp]:
        log.append("try")
        if len(log) == 1:
            raise ConnectionError("the database is not there yet")
        yield Manager()

    app = within(at_second)
    async with client_of(app) as client:
        answers = [await client.get("/var") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [503, 503] and log == ["try"]
        assert "did not start; it is tried again in 5 seconds" in caplog.text
        later = time.monotonic() + around.PAUSE
        monkeypatch.setattr(time, "monotonic", lambda: later)
        assert (await client.get("/var")).json() == "0 nobody"
    monkeypatch.undo()
    await app.aclose()


@pytest.mark.parametrize("fault", ["", "swallowed"])
async def test_without_a_lifespan_a_failing_group_ends_in_503(
    fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing that stands on what has failed is served again, and this process lives on."""
    monkeypatch.setattr(lived, "FAULT", fault)
    app = within(lived.factory)
    async with client_of(app) as client:
        assert (await client.get("/fail")).status_code == 200
        while "leave" not in log:
            await asyncio.sleep(0)
        assert [(await client.get("/var")).status_code for _ in range(2)] == [503, 503]
    assert log == ["enter", "the group fails", *ENDED]
    assert "The lifespan failed" in caplog.text


@asynccontextmanager
async def part(app: object) -> AsyncIterator[ASGIApp]:
    """Be a part of a host's lifespan."""
    log.append(f"enter {type(app).__name__} {visitor.get()}")
    number.set(7)
    try:
        yield Manager()
    finally:
        log.append("leave")


def test_a_part_of_a_hosts_lifespan_is_within_it() -> None:
    """It is entered with the host's application, inside the host's context, and left before that."""
    app = Within(part)

    @asynccontextmanager
    async def hosts(host: FastAPI) -> AsyncIterator[None]:
        visitor.set("host")
        async with app.around(host):
            log.append("host serves")
            yield
        log.append("host leaves")

    host = FastAPI(lifespan=hosts)
    host.mount("/mounted", app)
    with TestClient(host) as client:
        assert client.get("/mounted/var").json() == "7 nobody"
    assert log == ["enter FastAPI host", "host serves", "serve", "leave", "host leaves"]


async def test_two_who_enter_are_refused() -> None:
    """A lifespan that two enter would be left by the first: the second is told."""
    app = Within(part)
    async with app.around(), client_of(app) as client:
        with pytest.raises(LifespanError, match="entered twice"):
            async with app.around():
                pytest.fail("it was entered")
        assert (await client.get("/var")).status_code == 200
    async with app.around():
        pass


async def test_a_hosts_failing_group_ends_its_parts_first() -> None:
    """A task group of the host fails: requests end, the part is left, then the group raises."""
    app = Within(part)

    async def hosts() -> None:
        async with anyio.create_task_group() as group, app.around():
            broken = anyio.Event()
            group.start_soon(lived.failing, broken)
            broken.set()
            await asyncio.Future()

    with pytest.raises(ExceptionGroup):
        await hosts()
    assert log == ["enter NoneType nobody", "the group fails", "leave"]


async def test_work_that_is_shielded_is_not_hammered() -> None:
    """anyio cancels a task once for each turn of the loop: the wait for a server's end is not to cost a whole core."""

    async def work() -> str:
        for _ in range(50):
            await asyncio.sleep(0)
        return "done"

    task = asyncio.current_task()
    assert task
    with anyio.CancelScope() as scope:
        scope.cancel()
        assert await lifespans.shielded(work()) == "done"
        assert task.cancelling() == 0
    assert scope.cancelled_caught is False
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lifespans.shielded(work())
    task.uncancel()


def test_trio_is_refused_with_the_fix() -> None:
    """Where no asyncio loop runs, the message says how to get one."""

    async def channel(*_: object) -> Any:
        pytest.fail("it was called")

    call = within(function)({"type": "http"}, channel, channel)
    with pytest.raises(RuntimeError, match=r"needs asyncio: .*hypercorn -k asyncio"):
        call.send(None)


async def test_requests_that_do_not_end_are_cancelled() -> None:
    """A gate waits for a while, then it cancels: one visitor's request does not keep a server from its end."""

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Future()
        finally:
            log.append("cancelled")

    one = gate.Gate()
    one.open(endless, lifespans.Variables())
    request = asyncio.create_task(one({"type": "http"}, asyncio.Future, asyncio.Future))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await one.close(grace=0.01)
    with pytest.raises(asyncio.CancelledError):
        await request
    assert log == ["cancelled"]


async def test_a_cancelled_socket_is_cancelled() -> None:
    """A cancellation that is not ours passes, also in the moment in which the gate closes."""
    one = gate.Gate()
    one.open(lived.application(anyio.Event()), lifespans.Variables())
    sent = asyncio.Event()

    async def receive() -> Message:
        return await asyncio.Future() if sent.is_set() else {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.set()

    request = asyncio.create_task(one({"type": "websocket"}, receive, send))
    await sent.wait()
    await asyncio.sleep(0)
    one.refuse()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


class Reading:
    """Applications that speak the lifespan protocol in odd ways; each is to be served."""

    @staticmethod
    async def not_at_all(scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse every scope but that of a request."""
        assert scope["type"] == "http"

    @staticmethod
    async def returns(scope: Scope, receive: Receive, send: Send) -> None:
        """Say that it has started, and be gone."""
        await receive()
        await send({"type": "lifespan.startup.complete"})

    @staticmethod
    async def reads_on(scope: Scope, receive: Receive, send: Send) -> None:
        """Read on after the end."""
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})

    @staticmethod
    async def answers_as_a_request(scope: Scope, receive: Receive, send: Send) -> None:
        """Answer whatever comes."""
        await send({"type": "http.response.start", "status": 200, "headers": []})


@pytest.mark.parametrize("name", [name for name in vars(Reading) if not name.startswith("_")])
async def test_odd_lifespans_are_served_all_the_same(name: str) -> None:
    """An application without a lifespan, or with an odd one, starts and ends."""
    host = Host(within(lambda: getattr(Reading, name)))
    assert (await host.begin())["type"] == "lifespan.startup.complete"
    assert (await host.stop())["type"] == "lifespan.shutdown.complete"


async def test_an_application_that_says_it_failed_does_not_start() -> None:
    """Its own word is enough, though it does not raise. Its traceback's last line is kept."""

    async def says(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.failed", "message": "Traceback:\n  secret = 5\nKeyError: 'x'\n"})

    host = Host(within(lambda: says))
    assert (await host.begin())["message"] == "LifespanError in the lifespan."
    with pytest.raises(LifespanError, match=r"own lifespan failed\. KeyError: 'x'$"):
        await host.over()


@asynccontextmanager
async def with_app(app: object) -> AsyncIterator[dict[str, object]]:
    """Yield the application that it was given."""
    yield {"app": app}


@asynccontextmanager
async def without() -> AsyncIterator[None]:
    """Take nothing, and yield nothing."""
    number.set(5)
    yield


@pytest.mark.parametrize(("given", "state"), [(with_app, {"app": "the app"}), (without, {}), (None, {})])
async def test_a_lifespan_takes_the_application_or_nothing(given: Any, state: dict[str, str]) -> None:
    """It may have a parameter, as FastAPI's; what it yields is a mapping."""
    async with lifespans.entered(given, "the app") as found:
        assert found == state


@pytest.mark.parametrize(
    ("given", "fix"),
    [
        (read, "must return an asynchronous context manager, not coroutine: decorate it with contextlib"),
        (lambda app: five(), "must yield a dict or nothing, not int"),
    ],
)
async def test_what_is_no_lifespan_is_refused(given: Any, fix: str) -> None:
    """The message says what it returned or yielded."""
    with pytest.raises(LifespanError, match=fix):
        async with lifespans.entered(given, None):
            pytest.fail("it was entered")


async def test_the_servers_own_work_sees_the_lifespan_and_no_visitor() -> None:
    """The ambient context is that of the lifespan, whatever request is being served."""
    ambient = lifespans.Ambient()
    assert not ambient.context()
    async with lifespans.entered(without, None):
        ambient.enter()
        visitor.set("alice")
        assert (ambient.context()[number], ambient.context().get(visitor)) == (5, None)
