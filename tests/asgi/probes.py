"""The questions that each host is asked, over a real connection. An answer is what JSON can hold.

Tornado's own server gives the answers that count. No probe waits for time: a handler waits for a step that the probe
asks for, and what is to happen by itself is looked for again and again.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import websockets
from websockets.asyncio.client import ClientConnection, connect
from zoo import MAX_BODY, MAX_MESSAGE, PIECE, PIECES, PROTOCOL

PATIENCE = 10
"""Seconds in which something must have happened."""

PLAIN = {"accept-encoding": "identity"}


@dataclass(frozen=True)
class Host:
    """A host to ask. ``address`` is written where a raw request needs a Host."""

    port: int
    http: httpx.AsyncClient

    def open(self, query: str = "", path: str = "/ws", **options: Any) -> connect:
        """Open a socket."""
        return connect(f"ws://127.0.0.1:{self.port}{path}{query}", proxy=None, **options)

    async def raw(self, data: str, *, closes: bool = True) -> bytes:
        """Send text on a connection of its own, and return all that comes until the host closes it, or the first."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data.replace("\n", "\r\n").encode())
            return await asyncio.wait_for(reader.read() if closes else reader.readline(), PATIENCE)
        finally:
            writer.close()

    async def noted(self, name: str) -> Any:
        """Return a note of the handlers as soon as it is there; None if it does not come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while True:
                    notes = (await self.http.get("/notes")).json()
                    if name in notes:
                        return notes[name]
                    await asyncio.sleep(0.02)
        return None

    async def settled(self, name: str) -> int:
        """Return a count of the handlers that grows no more: ten looks in a row show the same."""
        seen: list[int] = []
        while len(seen) < 10 or len(set(seen[-10:])) > 1:
            seen.append((await self.http.get("/notes")).json().get(name, 0))
            await asyncio.sleep(0.02)
        return seen[-1]


Probe = Callable[[Host], Awaitable[Any]]
PROBES: dict[str, Probe] = {}


def probe(ask: Probe) -> Probe:
    """Add a question, under its name."""
    PROBES[ask.__name__] = ask
    return ask


def shown(response: httpx.Response, *headers: str, body: bool = True) -> list[Any]:
    """Return the status, these headers, and the body, or its length if it is long."""
    content = (response.text if len(response.content) < 400 else len(response.content)) if body else None
    return [response.status_code, {name: response.headers.get(name) for name in headers}, content]


async def closing_code(socket: ClientConnection) -> list[Any]:
    """Return how the host closes a socket."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                await socket.recv()
    except websockets.ConnectionClosed as closed:
        return [closed.rcvd.code, closed.rcvd.reason] if closed.rcvd else [None, ""]


@probe
async def small_page(host: Host) -> Any:
    """ETag, 304, HEAD, and how many Date and Server headers there are."""
    page = await host.http.get("/hello")
    same = await host.http.get("/hello", headers={"If-None-Match": page.headers["etag"]})
    head = await host.http.head("/hello")
    once = [len(page.headers.get_list(name)) <= 1 for name in ("date", "server")]
    return [
        shown(page, "content-length", "content-type", "etag", "vary"),
        shown(same, "etag", "content-length"),
        shown(head, "content-length"),
        once,
    ]


async def _in_pieces(host: Host, query: str) -> Any:
    key, pieces = uuid4().hex, []
    async with host.http.stream("GET", f"/stream?key={key}{query}", headers=PLAIN) as response:
        lines = response.aiter_text()
        for _ in range(3):
            text = ""
            while text.count("\n") < 100:  # it comes while the handler waits
                text += await anext(lines)
            pieces.append(len(text))
            await host.http.get(f"/step?key={key}")
        rest = "".join([text async for text in lines])
    return [response.status_code, pieces, rest, response.headers.get("content-length")]


@probe
async def stream(host: Host) -> Any:
    """A page comes piece by piece."""
    return await _in_pieces(host, "&awaits=1")


@probe
async def stream_without_await(host: Host) -> Any:
    """... also if the handler does not wait for its pieces."""
    return await _in_pieces(host, "")


@probe
async def gzip(host: Host) -> Any:
    """A long page is compressed."""
    page = await host.http.get("/long")
    return [page.status_code, page.headers.get("content-encoding"), page.headers.get("vary"), len(page.text)]


@probe
async def sized(host: Host) -> Any:
    """A page in pieces keeps its Content-Length; one that is longer or shorter is not taken for whole."""
    whole = await host.http.get("/sized", headers=PLAIN)
    broken = []
    for rest in ("9more", "&short="):
        try:
            await host.http.get(f"/sized?rest={rest}", headers=PLAIN)
            broken.append("whole")
        except httpx.HTTPError:
            broken.append("broken")
    return [shown(whole, "content-length"), broken]


@probe
async def static(host: Host) -> Any:
    """Files: ranges, conditions, HEAD, and no way out of their folder."""
    first = await host.http.get("/static/a.txt", headers=PLAIN)
    found = [shown(first, "etag", "last-modified", "accept-ranges", "content-length", "content-type")]
    for condition in (
        {"range": "bytes=5-9"},
        {"range": "bytes=99999-"},
        {"range": "bytes=-3"},
        {"if-none-match": first.headers["etag"]},
        {"if-modified-since": first.headers["last-modified"]},
    ):
        answer = await host.http.get("/static/a.txt", headers={**PLAIN, **condition})
        found.append(shown(answer, "content-range", "etag", "content-length"))
    found.append(shown(await host.http.head("/static/a.txt", headers=PLAIN), "content-length", "etag"))
    found.append(shown(await host.http.get("/static/big.bin", headers=PLAIN), "content-length"))
    out = await host.raw("GET /static/../zoo.py HTTP/1.1\nHost: x\nConnection: close\n\n")
    return [*found, out[9:12].decode(), (await host.http.get("/static/%2e%2e/zoo.py")).status_code]


@probe
async def forms(host: Host) -> Any:
    """Forms, files, a body of one megabyte, one in chunks, one of no bytes."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"y" * 1000

    asked = [
        host.http.post("/post", data={"a": "1", "b": "ü"}),
        host.http.post("/post", files={"f": ("x.bin", b"z" * 100_000)}),
        host.http.put("/post", content=b"x" * 1_000_000),
        host.http.patch("/post", content=chunks()),
        host.http.delete("/post"),
        host.http.post("/post", headers={"content-type": "multipart/form-data; boundary=b"}, content=b"--b\r\nno"),
    ]
    return [[answer.status_code, answer.status_code == 200 and answer.json()] for answer in [await a for a in asked]]


@probe
async def body_too_large(host: Host) -> Any:
    """A body whose told length is beyond the limit is refused before it is sent."""
    return (await host.raw("POST /post HTTP/1.1\nHost: x\nContent-Length: 3000000\n\n", closes=False))[9:12].decode()


@probe
async def chunked_body_too_large(host: Host) -> Any:
    """... and one whose length is not told, as soon as it is too large."""
    begun = f"POST /post HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n{MAX_BODY + 1:x}\n{'x' * (MAX_BODY + 1)}"
    try:
        return (await host.raw(begun, closes=False))[9:12].decode()
    except ConnectionError:
        return "reset"


@probe
async def upload(host: Host) -> Any:
    """A body beyond the limit, for a handler that takes it in pieces."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield PIECE

    fast = await host.http.put("/upload", content=chunks())
    return [fast.json(), (await host.http.put("/upload?slow=1", content=b"q" * 500_000)).json()]


@probe
async def redirect(host: Host) -> Any:
    """A redirect."""
    return shown(await host.http.get("/redirect"), "location", body=False)


@probe
async def cookies(host: Host) -> Any:
    """Cookies in and out; a signed one is read again."""
    first = await host.http.get("/cookies", headers={"cookie": "x=1; y=2"})
    lines = first.headers.get_list("set-cookie")
    signed = next(line for line in lines if line.startswith("s=")).partition(";")[0]
    again = await host.http.get("/cookies", headers={"cookie": signed})
    return [first.json(), [re.sub(r"(s=|expires=).*?;", r"\1*;", line) for line in lines], again.json()["signed"]]


@probe
async def errors(host: Host) -> Any:
    """Error pages."""
    return [shown(await host.http.get(f"/error/{status}")) for status in ("raise", "418", "404", "599")]


@probe
async def late_error(host: Host) -> Any:
    """An error after the first piece."""
    page = await host.http.get("/late", headers=PLAIN)
    return [page.status_code, page.text]


@probe
async def header_injection(host: Host) -> Any:
    """A line break in a header."""
    page = await host.http.get("/inject")
    return [page.status_code, page.text, "pwned" in str(page.headers)]


@probe
async def headers(host: Host) -> Any:
    """Repeated, odd and latin-1 headers."""
    odd = [(b"x-a", b"1"), (b"X-A", b"2"), (b"x_under", b"u"), (b"cookie", b"a=1"), (b"x-lat", b"caf\xe9")]
    return (await host.http.get("/headers", headers=odd)).json()


@probe
async def two_cookie_lines(host: Host) -> Any:
    """Two Cookie lines."""
    got = await host.raw("GET /headers HTTP/1.1\nHost: x\nCookie: a=1\nCookie: b=2\nConnection: close\n\n")
    return got.partition(b"{")[2].decode()


URLS = (
    "/url",
    "/url/a%2Fb/c%20d?x=1&x=2&y=%FF&z=a+b",
    "/url/%C3%BC",
    "/url//double",
    "/url/;p=1",
    "/url/a%25b",
    "/url/%zz",
    "/url/a?q=a%2Fb",
    "/url/%2e%2e/x",
    "//url",
    "/url/%FF",
)


@probe
async def urls(host: Host) -> Any:
    """Addresses that are easily read twice, written as they are sent."""
    got = [await host.raw(f"GET {url} HTTP/1.1\nHost: x\nConnection: close\n\n") for url in URLS]
    return [[one[9:12].decode(), one.partition(b"\r\n\r\n")[2].decode()] for one in got]


@probe
async def empty_query(host: Host) -> Any:
    """A question mark with nothing behind it."""
    return (await host.raw("GET /url? HTTP/1.1\nHost: x\nConnection: close\n\n")).count(b"/url?")


@probe
async def xsrf(host: Host) -> Any:
    """A form's token."""
    token = await host.http.get("/xsrf")
    cookie = {"cookie": token.headers["set-cookie"].partition(";")[0]}
    sent = [await host.http.post("/xsrf", data={"_xsrf": text}, headers=cookie) for text in (token.text, "no")]
    return [answer.status_code for answer in sent]


@probe
async def client_leaves(host: Host) -> Any:
    """A handler that wants to know is told that its client has left while it works."""
    reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
    writer.write(b"GET /slow?key=never HTTP/1.1\r\nHost: x\r\n\r\n")
    working = await host.noted("working")
    writer.close()
    return [working, await host.noted("left"), reader.at_eof()]


@probe
async def unread_page(host: Host) -> Any:
    """A page that is not read waits; when its reader has gone, the handler's next write fails."""
    with socket.socket() as reading:
        reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        reading.connect(("127.0.0.1", host.port))
        reading.sendall(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        await host.noted("flooded")
        pieces = await host.settled("flooded")
    return [0 <= pieces < PIECES, await host.noted("flood_ended")]


@probe
async def not_found(host: Host) -> Any:
    """No route."""
    return shown(await host.http.get("/nothing"))


@probe
async def methods(host: Host) -> Any:
    """Methods that no handler has."""
    asked = [("PROPFIND", "/hello"), ("OPTIONS", "/hello"), ("POST", "/hello"), ("TRACE", "/hello")]
    return [(await host.http.request(*one)).status_code for one in asked]


@probe
async def no_host(host: Host) -> Any:
    """No Host."""
    return (await host.raw("GET /hello HTTP/1.1\nConnection: close\n\n"))[9:12].decode()


@probe
async def odd_hosts(host: Host) -> Any:
    """A Host that is none, and two of them."""
    lines = ("Host: a b", "Host: a\nHost: b")
    return [(await host.raw(f"GET /hello HTTP/1.1\n{line}\nConnection: close\n\n"))[9:12].decode() for line in lines]


@probe
async def http_1_0(host: Host) -> Any:
    """HTTP/1.0, which needs no Host."""
    got = await host.raw("GET /hello HTTP/1.0\n\n")
    return [got[9:12].decode(), got.partition(b"\r\n\r\n")[2].decode()]


@probe
async def pipelined(host: Host) -> Any:
    """Two requests at once."""
    first = "GET /hello HTTP/1.1\nHost: x\n\n"
    return (await host.raw(f"{first}GET /url HTTP/1.1\nHost: x\nConnection: close\n\n")).count(b" 200 ")


@probe
async def expect_100(host: Host) -> Any:
    """A client that asks before it sends its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
    writer.write(b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    try:
        return (await asyncio.wait_for(reader.readline(), PATIENCE))[9:12].decode()
    finally:
        writer.close()


@probe
async def socket_messages(host: Host) -> Any:
    """The handshake's headers, text, bytes, a megabyte, order, pings of both sides, a slow handler, a close."""
    told: list[Any] = []
    async with host.open(subprotocols=["x", PROTOCOL], compression="deflate") as ws:
        assert ws.response
        told += [ws.subprotocol, ws.response.headers.get("x-handshake"), ws.response.headers.get_all("set-cookie")]
        for message in ("text", b"\0bin", "ü€"):
            await ws.send(message)
            got = await ws.recv()
            told.append([type(got).__name__, got == message])
        await ws.send(b"z" * 1_000_000)
        told.append(len(await ws.recv()))
        await ws.send("burst")
        told.append([await ws.recv() for _ in range(1000)] == [str(number) for number in range(1000)])
        await ws.send("ping")
        for _ in range(500):
            await ws.send("pongs")
            if (pongs := await ws.recv()) != "0":
                break
        told.append(pongs)
        await asyncio.wait_for(await ws.ping(), PATIENCE)
        await ws.send("slow")
        await ws.send("after")
        told.append([await ws.recv(), await ws.recv()])
        await ws.send("close")
        told.append(await closing_code(ws))
    async with host.open() as ws:
        told.append(ws.subprotocol)
    return told


async def _told(host: Host, message: str | bytes) -> Any:
    async with host.open(compression=None) as ws:
        with suppress(websockets.ConnectionClosed, ConnectionError):
            await ws.send(message)
        return await closing_code(ws)


@probe
async def socket_closes_plainly(host: Host) -> Any:
    """A handler closes without a code."""
    return await _told(host, "close_plainly")


@probe
async def socket_handler_raises(host: Host) -> Any:
    """A handler fails."""
    return await _told(host, "raise")


@probe
async def socket_message_too_big(host: Host) -> Any:
    """A message beyond the limit."""
    return (await _told(host, b"z" * (MAX_MESSAGE + 1)))[0]


async def _status(host: Host, **options: Any) -> Any:
    try:
        async with host.open(**options):
            return "open"
    except websockets.InvalidStatus as error:
        return [error.response.status_code, (error.response.body or b"")[:60].decode()]


@probe
async def socket_denied(host: Host) -> Any:
    """A handshake is refused with the handler's response."""
    return [await _status(host, query=f"?deny={status}") for status in (401, 403, 404, 429, 500)]


@probe
async def socket_origin(host: Host) -> Any:
    """A page of another origin."""
    return await _status(host, origin="http://evil.example")


@probe
async def socket_not_found(host: Host) -> Any:
    """A handshake at no route."""
    return await _status(host, path="/nothing")


@probe
async def socket_at_a_page(host: Host) -> Any:
    """A handshake at a page."""
    return (await _status(host, path="/hello"))[0]


@probe
async def page_of_a_socket(host: Host) -> Any:
    """A plain request for a socket."""
    return shown(await host.http.get("/ws"))


@probe
async def unread_socket(host: Host) -> Any:
    """Messages that are not read wait; when their reader has gone, the handler's next write fails."""
    async with host.open(max_size=None, compression=None, max_queue=1) as ws:
        await ws.send("flood")
        await host.noted("ws_flooded")
        messages = await host.settled("ws_flooded")
        ws.transport.abort()
    return [0 <= messages < PIECES, await host.noted("ws_flood_ended")]


@probe
async def codes_heard(host: Host) -> Any:
    """What a handler hears of each end: a close with a code, and a line that breaks."""
    before = len((await host.http.get("/notes")).json().get("codes", []))
    for end in ("code", "abort"):
        ws = await host.open()
        if end == "abort":
            ws.transport.abort()
        else:
            await ws.close(4123, "mine")
        before += 1
        async with asyncio.timeout(PATIENCE):
            while len(codes := (await host.http.get("/notes")).json().get("codes", [])) < before:
                await asyncio.sleep(0.02)
    return codes[-2:]
