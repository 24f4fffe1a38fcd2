"""Which of the server's clients speak for a visitor's page, and which for no visitor."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from harness import AWARE, WHO, Json, Server, python_path, serving

from conftest import PEOPLE

RENDERER = """
import asyncio, json
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

POOL = {}

def _jupyter_server_extension_points():
    return [{"module": "renderer"}]

def _load_jupyter_server_extension(app):
    app.web_app.add_handlers(".*", [(f"/{name}", kind) for name, kind in HANDLERS.items()])

async def seen_by(km):
    client = km.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        told = []
        def hear(message):
            if message["msg_type"] == "stream":
                told.append(message["content"]["text"])
        await client.execute_interactive(WHO, output_hook=hear, timeout=60)
        return json.loads("".join(told))
    finally:
        client.stop_channels()

class Rendering(JupyterHandler):
    @web.authenticated
    async def get(self):
        kernel_id = await self.kernel_manager.start_kernel(kernel_name=KERNEL)
        POOL["rendered"] = kernel_id
        self.finish(json.dumps(await asyncio.create_task(seen_by(self.kernel_manager.get_kernel(kernel_id)))))

class Keeping(JupyterHandler):
    '''A renderer keeps the client that it made for one page, and uses it again in another visitor's request.'''
    @web.authenticated
    async def get(self):
        if "kept" not in POOL:
            kernel_id = await self.kernel_manager.start_kernel(kernel_name=KERNEL)
            POOL["kept"] = self.kernel_manager.get_kernel(kernel_id).client()
            POOL["kept"].start_channels()
            await POOL["kept"].wait_for_ready(timeout=60)
        told = []
        def hear(message):
            if message["msg_type"] == "stream":
                told.append(message["content"]["text"])
        await POOL["kept"].execute_interactive(WHO, output_hook=hear, timeout=60)
        self.finish("".join(told))

class Refilling(JupyterHandler):
    '''A visitor's request happens to start a task that fills a pool.'''
    @web.authenticated
    async def get(self):
        async def refill():
            kernel_id = await self.kernel_manager.start_kernel(kernel_name=KERNEL)
            POOL["filled"] = kernel_id
            POOL["seen by the pool"] = await seen_by(self.kernel_manager.get_kernel(kernel_id))
        POOL["task"] = asyncio.create_task(refill())
        while "filled" not in POOL:
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        self.finish(json.dumps({"kernel": POOL["filled"]}))

class Later(JupyterHandler):
    '''Another visitor's request, and a task left behind by the first one, use a kernel that a page rendered.'''
    @web.authenticated
    async def get(self):
        self.finish(json.dumps(await seen_by(self.kernel_manager.get_kernel(POOL[self.get_argument("which")]))))

class LeftBehind(JupyterHandler):
    @web.authenticated
    async def get(self):
        kernel_id = await self.kernel_manager.start_kernel(kernel_name=KERNEL)
        self.answered = asyncio.Event()
        async def afterwards():
            await self.answered.wait()
            POOL["seen afterwards"] = await seen_by(self.kernel_manager.get_kernel(kernel_id))
        POOL["left"] = asyncio.create_task(afterwards())
        self.finish("{}")
    def on_finish(self):
        asyncio.get_running_loop().call_later(0.1, self.answered.set)  # the handler itself has returned by then

class Told(JupyterHandler):
    @web.authenticated
    async def get(self):
        self.finish(json.dumps(POOL.get(self.get_argument("what"))))

HANDLERS = {"keeping": Keeping, "rendering": Rendering, "refilling": Refilling,
            "later": Later, "leftbehind": LeftBehind, "told": Told}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an extension that runs cells in several ways."""
    home = tmp_path_factory.mktemp("renderer")
    (home / "renderer.py").write_text(f"WHO = {WHO!r}\nKERNEL = {AWARE!r}\n{RENDERER}")
    env = {"PYTHONPATH": python_path(home)}
    config = PEOPLE + "c.ServerApp.jpserver_extensions = {'jupyter_app_meta': True, 'renderer': True}\n"
    with serving(home, config=config, token="", env=env) as server:
        yield server


def ask(server: Server, person: str, path: str) -> Json:
    """GET a path as this person and return the JSON."""
    response = server.visitor(cookies={"person": person}).get(path)
    response.raise_for_status()
    answer: Json = response.json()
    return answer


def told(server: Server, what: str) -> Json:
    """Wait for what a task of the server reports."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if answer := ask(server, "anybody", f"/told?what={what}"):
            return answer
        time.sleep(0.2)
    raise TimeoutError(what)


def test_renderers_own_client_speaks_for_its_page(server: Server) -> None:
    """A client made while the page's handler is at work sees the page's request; another visitor's handler does not."""
    seen = ask(server, "alice", "/rendering?region=emea")
    assert (seen["user"]["username"], seen["query"], seen["mode"]) == ("alice", {"region": "emea"}, "run")
    assert ask(server, "bob", "/later?which=rendered")["user"] is None
    assert ask(server, "alice", "/later?which=rendered")["user"] is None


def test_client_that_is_kept_for_the_next_visitor_speaks_for_nobody(server: Server) -> None:
    """A renderer's client speaks for its page only while that page's handler is at work."""
    assert ask(server, "alice", "/keeping?region=emea")["user"]["username"] == "alice"
    assert ask(server, "bob", "/keeping?region=apac")["user"] is None


def test_pool_that_a_visitor_happens_to_fill_knows_nobody(server: Server) -> None:
    """Trap: a warm kernel was filled with the previous visitor's URL. A task that a request started binds nothing."""
    kernel = ask(server, "alice", "/refilling?region=emea&token=x")["kernel"]
    assert told(server, "seen by the pool")["user"] is None
    seen = server.visitor(cookies={"person": "bob"}).connect(kernel).who()
    assert (seen["user"]["username"], seen["via"], seen["mode"]) == ("bob", "socket", "edit")


def test_client_made_after_the_page_was_served_knows_nobody(server: Server) -> None:
    """A task that the page's handler left behind makes its client too late to speak for the visitor."""
    ask(server, "alice", "/leftbehind?region=emea")
    assert told(server, "seen afterwards")["user"] is None
