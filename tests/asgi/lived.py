"""What the tests of lifespans serve: an application, and a factory of it that says what happens, line by line."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from jupyter_app_meta.asgi import run, within

number: ContextVar[int] = ContextVar("number", default=0)
visitor: ContextVar[str] = ContextVar("visitor", default="nobody")

FAULT = os.environ.get("FAULT", "")
"""What goes wrong in a process of its own."""


def say(event: str) -> None:
    """Note an event in the file that the process was given."""
    with Path(os.environ["EVENTS"]).open("a") as file:
        print(event, file=file)


def application(broken: anyio.Event) -> ASGIApp:
    """Return an application: ``/fail`` breaks what surrounds it, ``/slow`` answers after that, sockets echo."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await echo(receive, send)
        elif scope["type"] == "http":
            await answer(scope["path"], broken, send)
        else:
            raise NotImplementedError(scope["type"])

    return app


async def echo(receive: Receive, send: Send) -> None:
    """Echo each message until the socket is closed."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    say(f"socket {message['code']}")


async def answer(path: str, broken: anyio.Event, send: Send) -> None:
    """Answer a request with the value of a ContextVar; the path says what happens before."""
    if path == "/fail":
        broken.set()
    if path == "/slow":
        say("slow begins")
        await broken.wait()
        await anyio.sleep(0.05)  # it works on, while the server stops
        say("slow ends")
    body = f"{number.get()} {visitor.get()}".encode()
    if path == "/set":
        number.set(1)
        visitor.set("alice")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def failing(broken: anyio.Event) -> None:
    """Fail, once a request has asked for it."""
    await broken.wait()
    say("the group fails")
    raise ValueError("a secret of the deployer's")


@asynccontextmanager
async def factory() -> AsyncIterator[ASGIApp]:
    """Surround the application with a task group and a ContextVar; the environment says what goes wrong."""
    say("enter")
    if FAULT == "start":
        raise ValueError("a secret of the deployer's")
    if FAULT == "start slowly":
        await anyio.sleep_forever()
    number.set(999)
    try:
        async with anyio.create_task_group() as group:
            broken = anyio.Event()
            group.start_soon(failing, broken)
            yield application(broken)
            group.cancel_scope.cancel()
    except* ValueError:
        say("the error arrives")
        if FAULT != "swallowed":
            raise
    finally:
        say("leave")
    if FAULT == "leave":
        raise ValueError("a secret of the deployer's")


app = within(factory)
"""What servers import by name."""


def main() -> None:
    """Serve with ``run`` at the socket that the argument names."""
    run(factory, uds=sys.argv[1])
    say("run returns")


if __name__ == "__main__":
    main()
