"""A tornado application with every kind of handler, to ask each host the same questions.

What a handler heard stands in the notes of its application, which ``/notes`` shows. A handler that waits does so for
its key: ``/step?key=…`` lets it go on, so that no probe depends on time.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from tornado import iostream, web, websocket

MAX_BODY = 2_000_000
MAX_MESSAGE = 4_000_000
PIECE = b"x" * 65536
PIECES = 400
"""Of a flood: 26 MB, more than any buffer between two processes of one machine."""
PROTOCOL = "v1.kernel.websocket.jupyter.org"


class Handler(web.RequestHandler):
    """A handler that can wait for its key and take notes."""

    @property
    def notes(self) -> dict[str, Any]:
        """What handlers of this application have heard."""
        found: dict[str, Any] = self.settings["notes"]
        return found

    async def stepped(self) -> None:
        """Wait until a request asks for the step of this request's key."""
        await self.settings["steps"][self.get_query_argument("key")].acquire()


class Hello(Handler):
    """A small page."""

    def get(self) -> None:
        """Say hello."""
        self.write("hello")

    head = get


class Stream(Handler):
    """A page in pieces."""

    async def get(self) -> None:
        """Write each piece when it is asked for."""
        for number in range(3):
            self.write(f"piece{number}\n" * 100)
            flushed = self.flush()
            if self.get_query_argument("awaits", ""):
                await flushed
            await self.stepped()
        self.write("end")


class Long(Handler):
    """A page that is worth compressing."""

    def get(self) -> None:
        """Write it."""
        self.write("a line of text\n" * 300)


class Sized(Handler):
    """A page in pieces with a Content-Length."""

    async def get(self) -> None:
        """Write it, or more or less of it."""
        self.set_header("Content-Length", "10")
        self.write("01234")
        await self.flush()
        self.write("5678" + self.get_query_argument("rest", "9"))
        await self.flush()


class Post(Handler):
    """A form."""

    def post(self) -> None:
        """Say what came."""
        files = {name: [(one.filename, len(one.body)) for one in found] for name, found in self.request.files.items()}
        fields = {name: [x.decode() for x in found] for name, found in self.request.body_arguments.items()}
        self.write({"length": len(self.request.body), "fields": fields, "files": files})

    put = patch = delete = post


@web.stream_request_body
class Upload(Handler):
    """A body in pieces, of any size."""

    def prepare(self) -> None:
        """Allow it, before it is read."""
        self.taken = 0
        self.request.connection.set_max_body_size(10**9)  # type: ignore[union-attr]  # every server's has it

    async def data_received(self, chunk: bytes) -> None:
        """Count it."""
        self.taken += len(chunk)
        if self.get_query_argument("slow", ""):
            await asyncio.sleep(0)

    def put(self) -> None:
        """Say how much came."""
        self.write({"taken": self.taken})


class Redirect(Handler):
    """A redirect."""

    def get(self) -> None:
        """Redirect."""
        self.redirect("/hello?x=1")


class Cookies(Handler):
    """Cookies of every kind."""

    def get(self) -> None:
        """Set some, and say which came."""
        self.set_cookie("a", "1", path="/")
        self.set_cookie("b", "2", httponly=True, samesite="Lax")
        self.set_signed_cookie("s", "secret")
        signed = (self.get_signed_cookie("s") or b"").decode()
        self.write({"came": {name: one.value for name, one in self.request.cookies.items()}, "signed": signed})


class Failing(Handler):
    """Errors, by their status."""

    def get(self, status: str) -> None:
        """Fail."""
        if status == "raise":
            raise ZeroDivisionError
        raise web.HTTPError(int(status))


class FailingLate(Handler):
    """An error after the response has begun."""

    async def get(self) -> None:
        """Fail."""
        self.write("begun")
        await self.flush()
        raise ZeroDivisionError


class Slow(Handler):
    """A handler that works while its client leaves."""

    async def get(self) -> None:
        """Work until the end of the key's step."""
        self.notes["working"] = True
        await self.stepped()
        self.write("done")

    def on_connection_close(self) -> None:
        """Note it."""
        self.notes["left"] = True


class Flood(Handler):
    """A page that is larger than what is read."""

    async def get(self) -> None:
        """Write as long as the client reads."""
        self.notes["flooded"] = 0
        try:
            for _ in range(PIECES):
                self.write(PIECE)
                await self.flush()
                self.notes["flooded"] += 1
        except iostream.StreamClosedError:
            self.notes["flood_ended"] = True


class Headers(Handler):
    """What headers came."""

    def get(self) -> None:
        """Say so, without those that each client library sends of its own."""
        common = ("Accept-Encoding", "Connection", "Host", "User-Agent", "Accept")
        self.write({"headers": sorted([k, v] for k, v in self.request.headers.get_all() if k not in common)})


class Url(Handler):
    """What address came."""

    def get(self, rest: str | None = "") -> None:
        """Say so."""
        request = self.request
        told = {name: getattr(request, name) for name in ("uri", "path", "query", "protocol", "remote_ip", "method")}
        query = {name: [x.decode("utf8", "replace") for x in found] for name, found in request.query_arguments.items()}
        self.write({**told, "rest": rest, "arguments": query})


class Inject(Handler):
    """A header with a line break."""

    def get(self) -> None:
        """Try to send it."""
        try:
            self.set_header("X-Evil", "a\r\nSet-Cookie: pwned=1")
        except ValueError:
            self.write("refused")


class Xsrf(Handler):
    """A form that is protected."""

    def get(self) -> None:
        """Give the token."""
        self.write(self.xsrf_token)

    def post(self) -> None:
        """Check it."""
        self.check_xsrf_cookie()
        self.write("ok")


class Notes(Handler):
    """What handlers have heard."""

    def get(self) -> None:
        """Show it."""
        self.write(self.notes)


class Step(Handler):
    """Lets a waiting handler go on."""

    def get(self) -> None:
        """Do so."""
        self.settings["steps"][self.get_query_argument("key")].release()


class Echo(websocket.WebSocketHandler):
    """A socket that does what it is told."""

    def get_websocket_protocol(self) -> Any:
        """Return the connection's own, inside ASGI."""
        own = getattr(self.request.connection, "websocket", None)
        return own(self) if own else super().get_websocket_protocol()

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Choose what kernels speak."""
        return PROTOCOL if PROTOCOL in subprotocols else None

    def get_compression_options(self) -> dict[str, Any]:
        """Compress."""
        return {}

    def prepare(self) -> None:
        """Set what a handshake may set, or refuse it."""
        self.pongs = 0
        self.set_header("X-Handshake", "yes")
        self.set_cookie("socket", "1")
        if status := self.get_query_argument("deny", ""):
            raise web.HTTPError(int(status))

    async def open(self) -> None:
        """Take a moment."""
        await asyncio.sleep(0)

    async def on_message(self, message: str | bytes) -> None:
        """Do what the message says; echo what says nothing."""
        do = getattr(self, f"do_{message}", None) if isinstance(message, str) and message.isidentifier() else None
        if do:
            await do()
        else:
            self.write_message(message, binary=isinstance(message, bytes))

    async def do_close(self) -> None:
        """Close with a code and a reason."""
        self.close(4001, "bye")

    async def do_close_plainly(self) -> None:
        """Close without a code."""
        self.close()

    async def do_close_oddly(self) -> None:
        """Close with a code that may not be sent, after a message."""
        self.write_message("last")
        self.close(1005, "ü" * 50)

    async def do_raise(self) -> None:
        """Fail."""
        raise ZeroDivisionError

    async def do_ping(self) -> None:
        """Ping the client."""
        self.ping(b"x")

    async def do_pongs(self) -> None:
        """Say how many pings were answered."""
        self.write_message(str(self.pongs))

    async def do_slow(self) -> None:
        """Let later messages wait."""
        for _ in range(20):
            await asyncio.sleep(0)
        self.write_message("slow done")

    async def do_burst(self) -> None:
        """Write more messages than are read at once."""
        for number in range(1000):
            self.write_message(str(number))

    async def do_flood(self) -> None:
        """Write as long as the client reads."""
        notes = self.settings["notes"]
        notes["ws_flooded"] = 0
        try:
            for _ in range(PIECES):
                await self.write_message(PIECE, binary=True)
                notes["ws_flooded"] += 1
        except websocket.WebSocketClosedError:
            notes["ws_flood_ended"] = True

    def on_pong(self, data: bytes) -> None:
        """Count it."""
        self.pongs += 1

    def on_close(self) -> None:
        """Note how it ended."""
        self.settings["notes"].setdefault("codes", []).append([self.close_code, self.close_reason])


def application(folder: Path) -> web.Application:
    """Return the application; ``folder`` is where its static files are put."""
    for name, content in (("a.txt", b"0123456789" * 1000), ("big.bin", b"\1" * 4_000_000)):
        (folder / name).write_bytes(content)
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    steps: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))
    return web.Application(
        [
            ("/hello", Hello),
            ("/stream", Stream),
            ("/long", Long),
            ("/sized", Sized),
            ("/post", Post),
            ("/upload", Upload),
            ("/redirect", Redirect),
            ("/cookies", Cookies),
            ("/error/(.*)", Failing),
            ("/late", FailingLate),
            ("/slow", Slow),
            ("/flood", Flood),
            ("/headers", Headers),
            ("/url(/.*)?", Url),
            ("/inject", Inject),
            ("/xsrf", Xsrf),
            ("/notes", Notes),
            ("/step", Step),
            ("/ws", Echo),
            ("/static/(.*)", web.StaticFileHandler, {"path": str(folder)}),
        ],
        cookie_secret="x" * 32,
        compress_response=True,
        websocket_max_message_size=MAX_MESSAGE,
        notes={},
        steps=steps,
        log_function=lambda handler: None,
    )
