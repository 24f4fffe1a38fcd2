"""Dashboards with state, and pages whose kernels do what the benchmark tells them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from harness import Server, Socket, Visitor, free_port, launched

from ..contenders import KERNEL_ID, environment, home

PAGE = "page"
LISTENS = """import json, threading, time
from time import perf_counter_ns as clock
from comm import create_comm
from jupyter_app_meta import app_meta, session, shared, visitor
comm, heard, told = create_comm(target_name="benchmark"), [], []
visitor.state.add("visits"); shared.state.add("visits")

def obey(message):
    comm.send(eval(message["content"]["data"]))
def watch():
    global watched
    watched = shared.state.on_change(lambda change: heard.append(clock()), key="moment")
def write(times):
    for number in range(times):
        told.append(clock())
        shared.state["moment"] = number
        time.sleep(0.03)
    return told
def reads(times):
    taken = []
    for _ in range(times):
        began = clock()
        shared.state["visits"]
        taken.append(clock() - began)
    return taken
def goes_on(act):
    global greed
    modest()
    greed = threading.Event()
    def go(greed=greed):
        while not greed.is_set(): act()
    threading.Thread(target=go, daemon=True).start()
def greedy():
    global share
    share = 0.0
    goes_on(ask)
def ask():
    global share
    began, used = time.monotonic(), time.process_time()
    for _ in range(10):
        shared.state.add("asked")
    share = (time.process_time() - used) / (time.monotonic() - began)
def busy():
    goes_on(compute)
def compute():
    end = time.thread_time() + 0.02 * share
    while time.thread_time() < end: pass
    time.sleep(0.02 * (1 - share))
def modest():
    greed.set()
greed, share = threading.Event(), 0.0
comm.on_msg(obey)"""
"""The first cell of the page: its kernel evaluates what its page sends, and answers with the value."""
ASKS = 'print("comm", comm.comm_id)'


@contextmanager
def serving(url: str, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run dashboards whose state is kept there, with these further options and variables."""
    with home(ASKS, {PAGE: LISTENS}) as folder:
        port = free_port()
        argv = ["-m", "jupyter_app_meta.cli", "serve", ".", f"--port={port}", "--no-browser", "--no-fork", *options]
        argv.append(f"--AppMetaExtension.state_url={url}")
        with launched(folder, argv, f"http://127.0.0.1:{port}/", env={**environment(), **(env or {})}) as server:
            yield server


class Page:
    """An open page."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor, html = visitor, visitor.get(PAGE).text
        comm, kernel = re.search(r"comm ([0-9a-f]{32})", html), KERNEL_ID.search(html)
        if comm is None or kernel is None:
            raise RuntimeError(html[-2000:])
        self._comm_id, self.kernel_id = comm[1], kernel[1]
        self._socket: Socket | None = None

    def tell(self, expression: str) -> Any:
        """Return the value of an expression in the page's kernel."""
        socket = self._socket = self._socket or self._visitor.connect(self.kernel_id)
        socket.send(socket.message("comm_msg", {"comm_id": self._comm_id, "data": expression}))

        def answers(message: dict[str, Any]) -> bool:
            return bool(message["header"]["msg_type"] == "comm_msg" and message["content"]["comm_id"] == self._comm_id)

        found = socket.until(answers)[-1]["content"]["data"]
        return json.loads(json.dumps(found))

    def close(self) -> None:
        """Close the page, as its script does."""
        if self._socket is not None:
            self._socket.close()
        self._visitor.http.post(f"voila/api/shutdown/{self.kernel_id}", data={"_xsrf": ""}).raise_for_status()
