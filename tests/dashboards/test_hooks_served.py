"""What a deployer's own functions decide holds for pages and for their sockets, and fails closed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import websocket
from harness import Json, Server, Socket
from jupyter_server.auth.identity import IdentityProvider
from stage import Opened, kernels, served, staging, visit, write

from jupyter_app_meta import HTTPRequest, User
from jupyter_app_meta.dashboards import create_app

SECRET = "CANARY of the deployer's"

FACTS = """import ipywidgets, json
from jupyter_app_meta import app_meta
button, label = ipywidgets.IntSlider(), ipywidgets.Label("untouched")
def moved(change):
    label.value = json.dumps([change.new, dict(app_meta().request.meta)])
button.observe(moved, "value")
display(button, label)
print("ids", button.comm.comm_id, label.comm.comm_id)
print("<" + json.dumps(dict(app_meta().request.meta)) + ">")"""
"""A cell that prints ``request.meta``, and whose callback writes it into a label."""

APP = f"""
import asyncio, math, pathlib
SECRET = {SECRET!r}
gate = pathlib.Path("gate")

async def later(user, request):
    await asyncio.sleep(0.01)
    return user.username == "alice"

def raising(*anything):
    raise RuntimeError(SECRET)

async def raising_later(*anything):
    await asyncio.sleep(0.01)
    raise RuntimeError(SECRET)

def region(request):
    return {{"region": request.query_params.get("region"), "who": request.user.username}}

async def region_later(request):
    await asyncio.sleep(0.01)
    return region(request)

async def on_error(status, request):
    if request and request.query_params.get("page") == "raises":
        raise RuntimeError(SECRET)
    if request and request.query_params.get("page") == "none":
        return None
    return f"<h1>ours: {{status}} for {{request and request.user and request.user.username}}</h1>"

app = create_app(identity_provider=People, on_error=on_error, meta=region)
for path, answer in {{
    "true": lambda user, request: True,
    "false": lambda user, request: False,
    "none": lambda user, request: None,
    "one": lambda user, request: 1,
    "empty": lambda user, request: "",
    "away": lambda user, request: "/true?from=away",
    "broken": lambda user, request: "/true\\r\\nX-Own: header",
    "later": later,
    "raises": raising,
    "raises-later": raising_later,
    "gate": lambda user, request: gate.exists(),
    "path": lambda user, request: request.url.path == "/path" and request.query_params.get("region") == "emea",
}}.items():
    app = app.with_app(path=f"/{{path}}", root="facts.ipynb", authorize=answer)
for path, facts in {{
    "meta-later": region_later,
    "meta-raises": raising,
    "meta-list": lambda request: [1],
    "meta-object": lambda request: {{"x": object()}},
    "meta-nan": lambda request: {{"x": math.nan}},
    "meta-big": lambda request: {{"x": "x" * 5000}},
    "meta-none": lambda request: None,
}}.items():
    app = app.with_app(path=f"/{{path}}", root="facts.ipynb", meta=facts)
app = app.with_app(path="/gone", root="gone.ipynb").with_app(path="/warm", root="facts.ipynb", warm=1)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One notebook under many paths."""
    home = tmp_path_factory.mktemp("hooks")
    write(home / "root" / "facts.ipynb", FACTS)
    (home / "root" / "gone.ipynb").write_text("{")
    with staging(home, APP) as server:
        yield server


def status(server: Server, person: str | None, path: str, **query: str) -> int:
    """Return the status of a page, for this person, without going where it leads."""
    visitor = server.visitor(cookies={"person": person} if person else {}, token=False)
    return visitor.http.head(path, params=query, follow_redirects=False).status_code


def test_answers_of_authorize(server: Server) -> None:
    """True admits, a URL redirects; False, an error and any other answer refuse."""
    paths = ("true", "false", "none", "one", "empty", "away", "broken", "later", "raises", "raises-later")
    answers = {path: status(server, "alice", path) for path in paths}
    assert answers == {**dict.fromkeys(paths, 403), "true": 200, "away": 302, "later": 200}
    assert status(server, "bob", "later") == 403
    assert not kernels(server).keys() - {next(iter(kernels(server)), "")}


def test_redirect_leads_where_the_hook_says(server: Server) -> None:
    """A visitor who is sent elsewhere arrives there."""
    opened = visit(server, "alice", "/away")
    assert opened.response.url.path == "/true" and opened.response.url.params["from"] == "away"
    assert "<h1>" not in opened.html and opened.kernel_id in kernels(server)
    opened.close()


def test_nobody_is_sent_to_the_login_before_any_hook_is_asked(server: Server) -> None:
    """A visitor who is not logged in sees no page, even if a hook would have admitted them."""
    for path in ("true", "false", "raises", "gone", "warm"):
        visitor = server.visitor()
        answer = visitor.http.get(path, follow_redirects=False)
        assert answer.status_code == 302 and answer.headers["location"].startswith("/login?next="), path
        assert "kernelId" not in visitor.get(path).text


def test_socket_is_authorized_for_its_page(server: Server) -> None:
    """A rule about the page's path and query holds for the sockets and calls of that page."""
    assert status(server, "alice", "path", region="apac") == 403
    opened = visit(server, "alice", "/path", region="emea")
    assert facts(opened.connect(), opened)["region"] == "emea"
    opened.close()


def test_withdrawn_authorization_closes_the_kernel_to_new_sockets(server: Server) -> None:
    """A visitor who may no longer see a page gets 403 on its socket, its model and its end, until they may again."""
    gate = server.home / "root" / "gate"
    gate.touch()
    opened = visit(server, "alice", "/gate")
    first = opened.connect()
    assert facts(first, opened)["who"] == "alice"
    gate.unlink()
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        opened.connect(session_id=first.session_id)
    assert refused.value.status_code == 403
    assert opened.visitor.get(f"api/kernels/{opened.kernel_id}").status_code == 403
    assert opened.close().status_code == 403
    assert opened.kernel_id in kernels(server)
    gate.touch()
    assert facts(opened.connect(), opened)["who"] == "alice"
    assert opened.close().status_code == 204


values = count(1)


def facts(socket: Socket, opened: Opened) -> Json:
    """Return the ``request.meta`` that a callback sees."""
    found = re.search(r"ids ([0-9a-f]{32}) ([0-9a-f]{32})", opened.html)
    assert found, opened.html[-2000:]
    slider, label = found.groups()
    value = next(values)
    data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
    socket.send(socket.message("comm_msg", {"comm_id": slider, "data": data}))

    def written(message: Json) -> bool:
        content = message["content"]
        return content.get("comm_id") == label and "value" in content["data"].get("state", {})

    shown = socket.until(written)[-1]["content"]["data"]["state"]["value"]
    assert json.loads(shown)[0] == value
    seen: Json = json.loads(shown)[1]
    return seen


@pytest.mark.parametrize("path", ["/true", "/meta-later", "/warm"])
def test_meta_reaches_cells_and_callbacks(server: Server, path: str) -> None:
    """The deployer's own fields are the same in the first render and in callbacks, from a sync or an async function."""
    expected = {"region": "emea", "who": "alice"}
    opened = visit(server, "alice", path, region="emea")
    assert f"<{json.dumps(expected)}>" in opened.html.replace("&#34;", '"').replace("&quot;", '"')
    assert facts(opened.connect(), opened) == expected
    opened.close()


@pytest.mark.parametrize("path", ["raises", "list", "object", "nan", "big", "none"])
def test_invalid_meta_is_empty_and_warned_of_once(server: Server, path: str) -> None:
    """The page is still shown, and the log names the function and says nothing of its answer."""
    before = len(server.log)
    opened = visit(server, "alice", f"/meta-{path}")
    lines = [line for line in server.log[before:].splitlines() if "request.meta" in line or "raised" in line]
    assert len(lines) == 1 and lines[0].startswith(("WARNING", "ERROR"))
    assert "<{}>" in opened.html
    assert facts(opened.connect(), opened) == {}
    opened.close()


@pytest.mark.parametrize(("path", "code"), [("/false", 403), ("/gone", 500), ("/raises", 403)])
def test_error_page_is_the_deployers(server: Server, path: str, code: int) -> None:
    """It knows the status and the visitor; where it answers None or raises, ours is shown."""
    opened = visit(server, "alice", path)
    assert opened.response.status_code == code and opened.html == f"<h1>ours: {code} for alice</h1>"
    assert opened.response.headers["content-type"].startswith("text/html")
    for answer in ("none", "raises"):
        other = visit(server, "alice", path, page=answer)
        assert other.response.status_code == code and f'class="am-status">{code}<' in other.html


def test_error_page_is_the_deployers_everywhere(server: Server) -> None:
    """The same holds if there is no dashboard at all, and for another visitor's kernel."""
    for path, code in (("/no/such/page", 404), ("/api/kernels/00000000-0000-4000-8000-000000000000", 403)):
        opened = visit(server, "alice", path)
        assert (opened.response.status_code, opened.html[:9]) == (code, "<h1>ours:"), path


def test_texts_of_errors_stay_with_the_server(server: Server) -> None:
    """Neither a visitor nor the log is told what a hook's error said (T25)."""
    for path in ("raises", "raises-later", "meta-raises", "gone"):
        for page in ("raises", "none", ""):
            assert SECRET not in visit(server, "alice", path, page=page).html
    assert SECRET not in server.log
    assert "raising raised RuntimeError" in server.log


async def test_rules_know_the_whole_user(tmp_path: Path) -> None:
    """``user_fields`` narrows what kernels see: who may see a page is still decided by group."""

    class Members(IdentityProvider):
        def get_user(self, handler: object) -> Any:
            return {"username": "alice", "groups": ["sales"], "team": "emea"}

    asked: list[User] = []

    def not_sales(user: User, request: HTTPRequest) -> bool:
        asked.append(user)
        return "sales" not in user.groups

    page = write(tmp_path / "page.ipynb", "1")
    builder = create_app(identity_provider=Members, config={"AppMetaExtension": {"user_fields": ["username"]}})
    async with served(builder.with_app(path="/", root=page, authorize=not_sales)) as client:
        answer = await client.get("/")
    assert answer.status_code == 403 and [user.team for user in asked] == ["emea"]


def test_parameter_at_the_root_leaves_the_servers_own_paths(tmp_path: Path) -> None:
    """A path of nothing but parameters takes over neither the login nor the kernels of pages."""
    write(tmp_path / "root" / "page.ipynb", "print('a page')")
    app = """
app = create_app(token="open-sesame")
for path in ("/{a}", "/{a}/{b}", "/{a}/{b}/{c}", "/{a}/{b}/{c}/{d}"):
    app = app.with_app(path=path, root="page.ipynb")
"""
    with staging(tmp_path, app) as server:
        visitor = server.visitor(token=False)
        assert "kernelId" not in visitor.get("login").text and visitor.get("login").status_code == 200
        visitor.get("login", params={"token": "open-sesame"})
        opened = Opened(visitor, visitor.get("customers"))
        assert "a page" in opened.html
        assert visitor.get(f"api/kernels/{opened.kernel_id}").json()["id"] == opened.kernel_id
        assert (
            visitor.get("voila/static/voila.js").headers["content-type"].startswith(("text/javascript", "application"))
        )
        opened.connect().close()
        assert opened.close().status_code == 204
