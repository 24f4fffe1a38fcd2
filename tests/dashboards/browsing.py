"""Real browsers that look at dashboards, and a wire to the server that can be cut."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from harness import free_port
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, WebSocket, expect
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpserver import TCPServer

PATIENCE = 60_000
"""Milliseconds that a slow machine may take for one step."""

AXE = Path(sys.prefix) / "node/node_modules/axe-core/axe.min.js"

SHIFTS = """window.shifts = 0;
new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.shifts += entry.value; }))
  .observe({ type: "layout-shift", buffered: true });"""
"""Runs before a page's first script, and adds up how far the page's parts have jumped."""


@contextmanager
def window(browser: Browser, url: str, person: str, **options: Any) -> Iterator[BrowserContext]:
    """Open a browser window of its own, in which this person is logged in."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    context.add_cookies([{"name": "person", "value": person, "url": url}])
    yield context
    context.close()


class Tab:
    """A tab with a dashboard, and everything of our server that went wrong in it."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page, self._url = context.new_page(), url
        self.wrong: list[str] = []
        self.sockets: list[WebSocket] = []
        self.page.on("response", self._answered)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"uncaught: {error}"))
        self.page.on("websocket", self._connected)

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.url.startswith(self._url):
            self.wrong.append(f"{response.status} {response.request.method} {response.url}")

    def _connected(self, socket: WebSocket) -> None:
        self.sockets.append(socket)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and message.location["url"].startswith(self._url):
            self.wrong.append(f"console: {message.text}")

    def start(self, path: str) -> Tab:
        """Begin to load a dashboard, and wait for nothing."""
        self.page.evaluate("url => { setTimeout(() => { location.href = url }) }", f"{self._url}{path}")
        return self

    def shows(self, text: str) -> None:
        """Wait until the page has this text, and its slider."""
        expect(self.page.locator("#rendered_cells")).to_contain_text(text, timeout=PATIENCE)
        self.page.locator(".noUi-handle").wait_for()

    def open(self, path: str, text: str) -> Tab:
        """Load a dashboard until it shows this text, and its slider."""
        self.start(path).shows(text)
        return self

    def move(self) -> str:
        """Move the slider by one with the keyboard and return what the callback wrote into the label."""
        handle = self.page.locator(".noUi-handle")
        value = int(float(handle.get_attribute("aria-valuenow") or 0)) + 1
        handle.press("ArrowRight")
        return self.label(value)

    def label(self, value: int, timeout: float = PATIENCE) -> str:
        """Return the label that the callback writes for this value of the slider."""
        label = self.page.locator("div.widget-label")
        expect(label).to_have_text(re.compile(rf"\|{value}$"), timeout=timeout)
        return label.inner_text()

    @property
    def kernel_id(self) -> str:
        """The kernel that the page tells its script to connect to."""
        found = self.page.evaluate("() => JSON.parse(document.getElementById('jupyter-config-data').text).kernelId")
        return str(found)


class Seen:
    """A tab, and the requests to other hosts than the server."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page, self._url = context.new_page(), url
        self.foreign: list[str] = []
        self.page.add_init_script(SHIFTS)
        self.page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith((self._url, "data:", "blob:")):
            self.foreign.append(url)

    def open(self, path: str, selector: str = "main") -> Page:
        """Open a page, and wait until it shows this element."""
        self.page.goto(f"{self._url}{path}", wait_until="commit")
        self.page.locator(selector).first.wait_for()
        return self.page


def faults(page: Page) -> list[Any]:
    """Return the critical and serious faults that axe finds in a page."""
    if not AXE.exists():
        pytest.skip("there is no axe-core: tools/ensure-axe.sh installs it")
    page.add_script_tag(path=AXE)
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        (fault["id"], [node["html"][:200] for node in fault["nodes"]])
        for fault in found["violations"]
        if fault["impact"] in ("critical", "serious")
    ]


def luminance(color: str) -> float:
    """Return the relative luminance of a colour, as WCAG has it."""
    shares = [int(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as WCAG has it."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


class Wire(TCPServer):
    """The connections that pass a relay; unlike asyncio's own server it owns each of them from its accept on."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.is_deaf = False
        self.lost = b""
        self._port = port
        self._ends: set[IOStream] = set()

    async def handle_stream(self, stream: IOStream, address: object) -> None:
        """Pass on what comes from either end until one of them closes."""
        ends = {stream, IOStream(socket.socket())}
        (far,) = ends - {stream}
        self._ends |= ends
        with suppress(StreamClosedError):
            await far.connect(("127.0.0.1", self._port))
            await asyncio.gather(self._pass(stream, far), self._pass(far, stream, may_lose=True))
        for end in ends:
            end.close()
        self._ends -= ends

    async def _pass(self, source: IOStream, sink: IOStream, *, may_lose: bool = False) -> None:
        with suppress(StreamClosedError):
            while True:
                came = await source.read_bytes(65536, partial=True)
                if may_lose and self.is_deaf:
                    self.lost += came
                else:
                    await sink.write(came)
        sink.close()

    async def drop(self) -> None:
        """Break every connection there is."""
        self.is_deaf = False
        broken = frozenset(self._ends)
        for end in broken:
            end.close()
        while broken & self._ends:
            await asyncio.sleep(0.01)


class Relay:
    """A wire between browsers and the server that can be cut and mended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._own = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.mend()

    @property
    def url(self) -> str:
        """The server's address at this end of the wire."""
        return f"http://127.0.0.1:{self._own}/"

    def deafen(self) -> Callable[[], bytes]:
        """Lose what the server sends until the connections break; return what returns all that was lost so far."""
        wire = self._wire
        wire.is_deaf = True
        return lambda: wire.lost

    def drop(self) -> None:
        """Break every connection there is; new ones pass."""
        self._run(self._wire.drop())

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        self._run(self._cut())

    def mend(self) -> None:
        """Let connections pass."""
        self._run(self._mend())

    def close(self) -> None:
        """Be gone."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _mend(self) -> None:
        self._wire = Wire(self._port)
        self._wire.listen(self._own, "127.0.0.1")

    async def _cut(self) -> None:
        self._wire.stop()
        await self._wire.drop()
