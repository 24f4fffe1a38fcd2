"""Code that a client asks for over HTTP: what happens to its handler, to the code on its way, and to its message."""

from __future__ import annotations

import ast
import asyncio
import copy
import json
import logging
import pickle
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import ZMQSocketChannel
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.session import Session
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.identity import IdentityProvider
from jupyter_server.auth.identity import User as ServerUser
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.serverapp import ServerApp
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.routing import Rule, RuleRouter
from tornado.web import Application, HTTPError, RedirectHandler, RequestHandler, authenticated, url

from jupyter_app_meta import wire
from jupyter_app_meta.errors import BadStamp
from jupyter_app_meta.model import AppMeta, HTTPRequest, SessionInfo, User
from jupyter_app_meta.policy import Policy, RawRequest
from jupyter_app_meta.server.context import StampingContext
from jupyter_app_meta.server.execution import Asked, Attributing, AttributingHandler, wrap_execution
from jupyter_app_meta.server.managers import wrap_kernel_manager
from jupyter_app_meta.server.messages.stamps import Stamps
from jupyter_app_meta.server.pages.origins import Origins

KERNEL = "11111111-2222-3333-4444-555555555555"
UNKNOWN = "00000000-0000-0000-0000-000000000000"
KEY = b"the-kernel's-session-key"
OTHER_KEY = b"another-kernel's-session-key"
ROUTE = r"/api/kernels/(?P<kernel_id>\w+-\w+-\w+-\w+-\w+)/execute"

Json = dict[str, Any]


def context(**more: Any) -> StampingContext:
    """Return what is needed to stamp."""
    return StampingContext(Policy(), Origins(lambda kernel_id: True), logging.getLogger(__name__), b"secret", **more)


def asked(code: str, key: bytes | None = KEY, at: StampingContext | None = None, username: str = "alice") -> Asked:
    """Return code that a visitor asks for."""
    user = User(username=username, kind="user", assurance="provider", is_authenticated=True)
    raw = RawRequest("POST", "http://h/api/kernels/k/execute", "http://h/", user=user)
    session = SessionInfo(kernel_id=KERNEL)
    return Asked.by(Stamps(at or context(), wire.derive_key(key), raw, f"provider:user:{username}", session), code)


def message(code: object) -> Json:
    """Return the message that runs code."""
    header = {"msg_id": "id", "msg_type": "execute_request", "session": "s", "username": "u"}
    return {"header": header, "parent_header": {}, "metadata": {}, "content": {"code": code}, "buffers": []}


def username(metadata: Mapping[str, Any], msg_id: str = "id", key: bytes = KEY) -> str | None:
    """Return whom a kernel makes of a message's metadata; None where there is no stamp."""
    if wire.FIELD not in metadata:
        return None
    meta: AppMeta = wire.decode(wire.verify(wire.derive_key(key), msg_id, "execute_request", metadata[wire.FIELD]))
    assert meta.user is not None
    return str(meta.user["username"])


# --- the code on its way ---------------------------------------------------------------------------------------------


def test_asked_code_is_stamped_for_its_asker() -> None:
    """The message of requested code has the stamp of the client who asked, and the code as an ordinary string."""
    stamped = Attributing(context(), KERNEL, None).message(message(asked("print(1)")))
    assert username(stamped["metadata"]) == "alice"
    assert stamped["content"] == {"code": "print(1)"} and type(stamped["content"]["code"]) is str
    assert stamped["header"] == message("")["header"]


CHANGES: dict[str, Callable[[str], str]] = {
    "str": str,
    "strip": str.strip,
    "slice": lambda code: code[:],
    "plus": lambda code: code + "",
    "format": lambda code: f"{code}",
    "percent": lambda code: "%s" % code,  # noqa: UP031
    "replace": lambda code: code.replace("nothing", "something"),
    "join": lambda code: "".join([code]),  # noqa: FLY002
    "lines": lambda code: "\n".join(code.splitlines()),
    "json": lambda code: str(json.loads(json.dumps({"code": code}))["code"]),
    "bytes": lambda code: code.encode().decode(),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy of a body": lambda code: str(copy.deepcopy({"code": code})["code"]),
    "pickle": lambda code: pickle.loads(pickle.dumps(code)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_copied_or_changed_code_is_nobodys(change: Callable[[str], str]) -> None:
    """Code that an extension copies or changes works like any other, and has no stamp."""
    code = asked("print(1)")
    Attributing(context(), KERNEL, None).message(message(code))  # has signed once
    changed = change(code)
    assert changed == "print(1)" and type(changed) is str
    sent = message(changed)
    assert Attributing(context(), KERNEL, None).message(sent) is sent


def test_nothing_of_the_server_goes_with_the_code() -> None:
    """The code's own text and copies, as logs, queues and files have them, hold neither the asker nor any secret."""
    code = asked("print(1)")
    for written in (repr(code), f"{code}", json.dumps(code), repr(pickle.dumps(code))):
        assert not any(word in written for word in ("alice", "secret", "StampingContext", "session-key"))


def test_equal_code_of_another_is_not_the_first_ones() -> None:
    """Trap: texts that are equal. An extension that keeps each text once gives bob the very object that was alice's."""
    kept: dict[str, str] = {}
    client, line = connected(kernel_manager(context()))
    seen = []
    for name in ("alice", "bob", "alice"):
        code = asked("whoami()", username=name)
        client.execute(kept.setdefault(code, code))
        msg = received(line)
        seen.append(username(msg["metadata"], msg["header"]["msg_id"]))
    assert seen == ["alice", None, None]


def test_asked_code_is_text() -> None:
    """Code that keeps, compares, parses or writes the requested code finds a string."""
    code = asked("print(1)")
    assert code == "print(1)" and hash(code) == hash("print(1)") and "print(1)" in {code: 1}
    assert isinstance(code, str) and len(code) == 8 and code.upper() == "PRINT(1)"
    assert isinstance(ast.parse(code), ast.Module) and compile(code, "", "exec").co_names == ("print",)
    assert json.dumps([code]) == '["print(1)"]' and asked("") == "" and not asked("")


@pytest.mark.parametrize("code", [None, 5, True, "print(1)", b"print(1)", ["print(1)"], {"stamps": 1}, object()])
def test_what_nobody_asked_for_is_the_pages_or_nobodys(code: object) -> None:
    """A message without requested code is unchanged, or gets the stamp of the page that is rendered."""
    sent = message(code)
    assert Attributing(context(), KERNEL, None).message(sent) is sent
    page = SimpleNamespace(message=lambda msg: {"by": "page", "msg": msg})
    assert Attributing(context(), KERNEL, page).message(sent) == {"by": "page", "msg": sent}


@pytest.mark.parametrize("content", [None, 5, "code", [], {}, ["code"]])
def test_messages_of_other_forms_pass(content: object) -> None:
    """A message whose content is of no known form passes, and so does one that has none."""
    for sent in ({**message(""), "content": content}, {}, {"header": None, "metadata": None}):
        assert Attributing(context(), KERNEL, None).message(sent) is sent


def test_asker_goes_before_the_page() -> None:
    """If a page's renderer runs requested code, the code belongs to the client who asked."""
    page = SimpleNamespace(message=lambda msg: pytest.fail("the page has nothing to do with it"))
    assert (
        username(Attributing(context(), KERNEL, page).message(message(asked("1", username="bob")))["metadata"]) == "bob"
    )


# --- clients ---------------------------------------------------------------------------------------------------------


class Line:
    """Stands in for a client's socket: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []

    def send_multipart(self, parts: list[bytes], **options: object) -> None:
        """Keep a message."""
        self.sent.append([bytes(part) for part in parts])


class Manager(AsyncKernelManager):
    """A kernel's manager, as a server has it, without a kernel."""

    kernel_id = KERNEL


def kernel_manager(at: StampingContext, **session: Any) -> Manager:
    """Return the wrapped manager of a kernel."""
    made = Manager(session=Session(**{"key": KEY, **session}))
    mapping = SimpleNamespace(kernel_manager_factory=lambda: made, list_kernel_ids=list)
    wrap_kernel_manager(mapping, at)
    wrapped: Manager = mapping.kernel_manager_factory()
    return wrapped


def connected(manager: Manager) -> tuple[AsyncKernelClient, Line]:
    """Return a client of a kernel, and the line that it sends over."""
    client: AsyncKernelClient = manager.client()
    line: Any = Line()
    client._shell_channel = ZMQSocketChannel(line, client.session)
    return client, line


def received(line: Line, **session: Any) -> Json:
    """Return the last message that was sent, as a kernel with this Session reads it."""
    kernel = Session(**{"key": KEY, **session})
    _, parts = kernel.feed_identities(line.sent[-1])
    msg: Json = kernel.deserialize(parts)
    return msg


SESSIONS: dict[str, Json] = {
    "default": {},
    "sha512": {"signature_scheme": "hmac-sha512"},
    "no key": {"key": b""},
    "pickle": {"packer": "pickle", "unpacker": "pickle"},
    "json": {"packer": "json", "unpacker": "json"},
}


@pytest.mark.parametrize("options", SESSIONS.values(), ids=SESSIONS)
def test_client_speaks_with_its_kernel(options: Json) -> None:
    """With any configured Session, a client sends messages that its kernel verifies, and verifies the replies."""
    kernel = Session(**{"key": KEY, **options})
    client, line = connected(kernel_manager(context(), **options))
    for code in ("1", asked("1", options.get("key", KEY))):
        msg_id = client.execute(code)
        msg = received(line, **options)
        assert (msg["header"]["msg_id"], msg["content"]["code"], type(msg["content"]["code"])) == (msg_id, "1", str)
        assert (wire.FIELD in msg["metadata"]) == (isinstance(code, Asked) and kernel.key != b"")
        reply = kernel.serialize(kernel.msg("execute_reply", {"status": "ok"}, parent=msg["header"]))
        _, parts = client.session.feed_identities(reply)
        assert client.session.deserialize(parts)["parent_header"]["msg_id"] == msg_id


def test_client_refuses_what_its_kernel_did_not_sign() -> None:
    """A reply that is signed with another key, changed, or sent twice is refused, as by any client."""
    client, _ = connected(kernel_manager(context()))
    kernel, other = Session(key=KEY), Session(key=OTHER_KEY)
    good = kernel.serialize(kernel.msg("status", {"execution_state": "idle"}))
    bad = other.serialize(other.msg("status", {"execution_state": "idle"}))
    _, parts = client.session.feed_identities(good)
    client.session.deserialize(parts)
    for refused in (good, bad, [*good[:-1], b'{"execution_state": "busy"}']):
        _, parts = client.session.feed_identities(refused)
        with pytest.raises(ValueError, match=r"Signature|signature"):
            client.session.deserialize(parts)


def test_clients_do_not_share_their_stamps() -> None:
    """What one client of a kernel is asked for changes nothing for the others, nor for the manager's own Session."""
    manager = kernel_manager(context())
    clients = [connected(manager) for _ in range(2)]
    clients[0][0].execute(asked("1"))
    clients[1][0].execute("2")
    assert username(received(clients[0][1])["metadata"], received(clients[0][1])["header"]["msg_id"]) == "alice"
    assert received(clients[1][1])["metadata"] == {}
    assert "send" not in vars(manager.session)


def test_each_message_is_its_askers() -> None:
    """With one shared client, each message has the stamp of the person who asked for its code, or none."""
    client, line = connected(kernel_manager(context()))
    for name in ("alice", None, "bob", "alice", "bob", None):
        client.execute(asked("whoami()", username=name) if name else "whoami()")
        msg = received(line)
        assert username(msg["metadata"], msg["header"]["msg_id"]) == name


def test_code_for_another_kernel_is_not_believed() -> None:
    """Code that was asked of one kernel and is sent to another runs there without a request."""
    client, line = connected(kernel_manager(context(), key=OTHER_KEY))
    client.execute(asked("1", KEY))
    msg = received(line, key=OTHER_KEY)
    assert msg["content"]["code"] == "1"
    with pytest.raises(BadStamp):
        username(msg["metadata"], msg["header"]["msg_id"], OTHER_KEY)
    assert username(msg["metadata"], msg["header"]["msg_id"], KEY) == "alice"


def test_stamp_is_bound_to_its_message() -> None:
    """The stamp of one message is refused with another id, and by a kernel that has no key."""
    client, line = connected(kernel_manager(context()))
    client.execute(asked("1"))
    msg = received(line)
    with pytest.raises(BadStamp):
        username(msg["metadata"], "another")
    with pytest.raises(BadStamp):
        wire.verify(None, msg["header"]["msg_id"], "execute_request", msg["metadata"][wire.FIELD])


def broken(*_: object, **__: object) -> Any:
    """Raise an unexpected error."""
    raise RuntimeError("CANARY")


BREAKS: dict[str, tuple[str, str]] = {
    "its Session": ("jupyter_app_meta.server.managers", "wrap_client"),
    "its origin": ("jupyter_app_meta.server.managers", "rendering"),
    "the version": ("jupyter_app_meta.server.pages.origins.Origins", "version"),
    "the payload": ("jupyter_app_meta.wire", "encode"),
    "the request": ("jupyter_app_meta.policy.Policy", "request"),
    "the signer": ("jupyter_app_meta.wire", "Signer"),
    "the stamps": ("jupyter_app_meta.server.messages.stamps.Stamps", "noted"),
    "what is asked for": ("jupyter_app_meta.server.execution.Attributing", "message"),
}


@pytest.mark.parametrize(("where", "what"), BREAKS.values(), ids=BREAKS)
def test_client_works_where_we_fail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str, what: str
) -> None:
    """An error of ours costs a message its stamp and is told by its kind: the client works."""
    manager, code = kernel_manager(context()), asked("1")
    monkeypatch.setattr(f"{where}.{what}", broken)
    client, line = connected(manager)
    client.execute(code)
    msg = received(line)
    assert msg["content"]["code"] == "1" and wire.FIELD not in msg["metadata"]
    assert "CANARY" not in caplog.text


def test_client_works_where_the_audit_fails() -> None:
    """An audit that raises, against its promise, does not keep a cell from running."""
    at = context(audit=SimpleNamespace(note=broken))
    client, line = connected(kernel_manager(at))
    client.execute(asked("1", at=at))
    assert received(line)["content"]["code"] == "1"


# --- handlers --------------------------------------------------------------------------------------------------------


class ByHeader(IdentityProvider):
    """Believes the header X-Person."""

    def get_user(self, handler: Any) -> ServerUser | None:
        """Return the person, if any."""
        name = handler.request.headers.get("X-Person")
        return ServerUser(name) if name else None


class Kernels(dict[str, Any]):
    """The kernels of a server."""

    def get_kernel(self, kernel_id: str) -> Any:
        """Return a kernel's manager."""
        return self[kernel_id]


class Execute(APIHandler):
    """Keeps the body of each request."""

    @authenticated
    async def post(self, kernel_id: str) -> None:
        """Keep the body."""
        self.settings["bodies"].append(self.get_json_body())
        self.finish({})


@pytest.fixture(scope="module")
def server_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerApp]:
    """A real server application, not listening."""
    app = ServerApp(log_level=50, root_dir=str(tmp_path_factory.mktemp("root")), allow_root=True)
    app.initialize([], find_extensions=False, new_httpserver=False)
    kernel = SimpleNamespace(session=Session(key=KEY))
    app.web_app.settings.update(
        identity_provider=ByHeader(), disable_check_xsrf=True, kernel_manager=Kernels({KERNEL: kernel})
    )
    yield app
    app.clear_instance()


Serving = Callable[..., Application]


@pytest.fixture
def serve(server_app: ServerApp) -> Serving:
    """Return an application with the server's settings and these handlers."""

    def application(*handlers: Any, **settings: Any) -> Application:
        return Application(list(handlers), **{**common, "bodies": [], **settings})

    common = {name: value for name, value in server_app.web_app.settings.items() if name != "static_path"}
    return application


async def exchange(port: int, path: str, body: bytes, person: str | None = "alice", method: str = "POST") -> int:
    """Make a request; return the answer's status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    who = [f"X-Person: {person}"] if person else []
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", f"Content-Length: {len(body)}", *who]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1])


async def during(app: Application, visit: Callable[[int], Awaitable[Any]]) -> Any:
    """Return what comes of a visit of an application at a port."""
    server, sockets = HTTPServer(app), bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        async with asyncio.timeout(60):
            return await visit(sockets[0].getsockname()[1])
    finally:
        server.stop()
        await server.close_all_connections()


def post(app: Application, body: object, person: str | None = "alice", kernel_id: str = KERNEL) -> tuple[int, Any]:
    """Post a body; return the answer's status, and the body that its handler had."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    app.settings["bodies"].clear()
    path = f"{app.settings['base_url']}api/kernels/{kernel_id}/execute"
    status = asyncio.run(during(app, lambda port: exchange(port, path, raw, person)))
    return status, next(iter(app.settings["bodies"]), None)


def asker(body: Any) -> str | None:
    """Return who asked for a body's code; None where no visitor did."""
    return username(Attributing(context(), KERNEL, None).message(message(body["code"]))["metadata"])


def wrapped(app: Application, at: StampingContext | None = None) -> Application:
    """Return an application whose handlers remember who asked."""
    wrap_execution(app, at or context())
    return app


def targets(app: Application) -> list[Any]:
    """Return the targets of an application's own routes."""
    (rule,) = [rule for rule in app.default_router.rules if isinstance(rule.target, RuleRouter)]
    return [rule.target for rule in rule.target.rules]


def test_each_request_is_its_askers(serve: Serving) -> None:
    """The code of each body has the stamps of who sent that body; the rest of it is as it was."""
    app = wrapped(serve((ROUTE, Execute)))
    for person in ("alice", "bob", "alice"):
        sent = {"code": "1", "metadata": {"app_meta": {"v": "1.0"}}, "username": "carol", "stamps": [1]}
        assert post(app, sent, person) == (200, sent)
        (body,) = app.settings["bodies"]
        assert asker(body) == person


def test_wrapping_twice_wraps_once(serve: Serving) -> None:
    """A second call changes nothing, and a handler keeps its name, module and text."""
    app = serve((ROUTE, Execute), (f"/again{ROUTE}", Execute), (ROUTE.replace("execute", "(?:execute|run)"), Execute))
    wrap_execution(app, context())
    first = targets(app)
    wrap_execution(app, context())
    assert targets(app) == first
    assert [target is Execute for target in first[:3]] == [False, True, False]
    made = first[0]
    assert made.__bases__ == (AttributingHandler, Execute)
    assert (made.__name__, made.__qualname__, made.__module__) == ("Execute", "Execute", __name__)
    assert made.__doc__ == Execute.__doc__


def test_subclass_of_a_wrapped_handler_is_wrapped_already(serve: Serving) -> None:
    """Where an extension builds on a handler that is wrapped, it stays as it is, and works."""
    first = wrapped(serve((ROUTE, Execute)))
    built: Any = type("Built", (targets(first)[0],), {})
    app = wrapped(serve((ROUTE, built)))
    assert targets(app)[0] is built
    assert asker(post(app, {"code": "1"}, "bob")[1]) == "bob"


class Plain(RequestHandler):
    """A handler of tornado's."""


class OfJupyter(JupyterHandler):
    """A handler that is not of the API."""


@pytest.mark.parametrize(
    ("pattern", "target"),
    [
        (ROUTE.replace("execute", "executes"), Execute),
        (ROUTE.replace("execute", "execute/more"), Execute),
        (ROUTE.replace("execute", "interrupt"), Execute),
        (ROUTE.replace("execute", "input"), Execute),
        (ROUTE.replace("execute", r"requests/(?P<request_id>\w+)"), Execute),
        (ROUTE.replace("kernels", "sessions"), Execute),
        (ROUTE.replace("/api", "/other/api"), Execute),
        (ROUTE.replace("kernel_id", "session_id"), Execute),
        (ROUTE.replace("?P<kernel_id>", ""), Execute),
        (ROUTE.replace("?P<kernel_id>", "?:"), Execute),
        (ROUTE.replace(r"\w+-\w+-\w+-\w+-\w+", "[1-9]+"), Execute),
        (ROUTE, Plain),
        (ROUTE, OfJupyter),
        (ROUTE, RedirectHandler),
    ],
)
def test_what_merely_looks_similar_is_untouched(serve: Serving, pattern: str, target: Any) -> None:
    """Other routes, routes without a kernel's id by name, and handlers that are not of the API stay as they are."""
    arguments = {"url": "/"} if target is RedirectHandler else {}
    app = wrapped(serve((pattern, target, arguments)))
    assert targets(app)[0] is target


def test_targets_of_other_kinds_are_untouched(serve: Serving) -> None:
    """A function, an instance or an application behind such a route is left alone."""
    inner = serve((r".*", Execute))
    app = serve()
    odd: list[Any] = [lambda request: None, object(), Execute.post, None, inner]
    rules = [Rule(url(ROUTE, Execute).matcher, target) for target in odd]
    app.default_router.rules[:0] = rules
    wrap_execution(app, context())
    assert [rule.target for rule in rules] == odd
    assert targets(inner)[0] is Execute


def test_routes_are_found_below_the_base_url_and_in_other_routers(serve: Serving) -> None:
    """A base URL, a route for one host, and a route with more names do not get in the way."""
    app = serve((f"/user/al{ROUTE}", Execute), base_url="/user/al/")
    app.add_handlers("127.0.0.1", [url(f"/user/al{ROUTE}", Execute, name="late")])
    wrap_execution(app, context())
    assert targets_everywhere(app) == 2
    assert asker(post(app, {"code": "1"}, "bob")[1]) == "bob"


def targets_everywhere(app: Application) -> int:
    """Return how many routes lead to a handler that remembers who asked."""

    def within(router: RuleRouter) -> int:
        return sum(
            within(rule.target) if isinstance(rule.target, RuleRouter) else hasattr(rule.target, "app_meta_context")
            for rule in router.rules
        )

    return within(app.default_router)


@pytest.mark.parametrize("body", [None, 5, "text", [], ["code"], {}, {"code": None}, {"code": 5}, {"code": ["1"]}])
def test_odd_bodies_pass(serve: Serving, body: object) -> None:
    """A body without a text for its code reaches its handler as it is."""
    assert post(wrapped(serve((ROUTE, Execute))), body) == (200, body)


@pytest.mark.parametrize("raw", [b"", b"not json", b"\xff", b"{", b"[" * 100_000])
def test_unreadable_bodies_end_as_without_us(serve: Serving, raw: bytes) -> None:
    """What cannot be read is answered by the handler itself."""
    assert post(wrapped(serve((ROUTE, Execute))), raw) == post(serve((ROUTE, Execute)), raw)


@pytest.mark.parametrize(
    ("person", "kernel_id", "status"), [(None, KERNEL, 403), ("alice", UNKNOWN, 200), (None, UNKNOWN, 403)]
)
def test_strangers_and_unknown_kernels(serve: Serving, person: str | None, kernel_id: str, status: int) -> None:
    """A client that is not logged in is refused, and a kernel that is not here gives no stamps."""
    answered, body = post(wrapped(serve((ROUTE, Execute))), {"code": "1"}, person, kernel_id)
    assert answered == status == post(serve((ROUTE, Execute)), {"code": "1"}, person, kernel_id)[0]
    assert body is None or asker(body) is None


class Open(Execute):
    """Runs code for everybody."""

    @allow_unauthenticated
    async def post(self, kernel_id: str) -> None:
        """Keep the body."""
        self.settings["bodies"].append(self.get_json_body())


def test_a_stranger_is_nobody(serve: Serving) -> None:
    """If a handler admits every client, one that is not logged in has no user, even after one that is."""
    app = wrapped(serve((ROUTE, Open)))
    assert [asker(post(app, {"code": "1"}, person)[1]) for person in ("alice", None, "bob", None)] == [
        *("alice", None, "bob", None)
    ]


class Body(dict[str, Any]):
    """A body whose fields are attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


def answering(answer: Callable[[Any], Any], **more: Any) -> Any:
    """Return a handler class with another get_json_body."""
    return type("Odd", (Execute,), {"get_json_body": answer, **more})


def test_body_of_an_own_type_keeps_it(serve: Serving) -> None:
    """A handler that makes an object of its own of the body gets that, and not a plain dict."""
    odd = answering(lambda self: Body(Execute.get_json_body(self) or {}))
    status, body = post(wrapped(serve((ROUTE, odd))), {"code": "1", "more": 2}, "bob")
    assert status == 200 and type(body) is Body and body.more == 2
    assert asker(body) == "bob"


def test_body_that_is_kept_stays_the_same_one(serve: Serving) -> None:
    """A handler that reads its body twice, and changes it in between, finds its change."""

    def once(self: Any) -> Any:
        self.kept = getattr(self, "kept", None) or Execute.get_json_body(self)
        return self.kept

    async def changing(self: Any, kernel_id: str) -> None:
        self.get_json_body()["metadata"] = {"seen": True}
        self.settings["bodies"].append(self.get_json_body())

    _, body = post(wrapped(serve((ROUTE, answering(once, post=changing)))), {"code": "1"}, "bob")
    assert body["metadata"] == {"seen": True}
    assert asker(body) == "bob"


@pytest.mark.parametrize(("error", "status"), [(HTTPError(418), 418), (ValueError("no"), 500), (KeyError("code"), 500)])
def test_body_that_raises(serve: Serving, error: Exception, status: int) -> None:
    """What a handler's own get_json_body raises is the answer, as without us."""

    def raising(self: Any) -> Any:
        raise error

    for app in (serve((ROUTE, answering(raising))), wrapped(serve((ROUTE, answering(raising))))):
        assert post(app, {"code": "1"}) == (status, None)


def test_body_that_takes_arguments(serve: Serving) -> None:
    """A handler may ask its own get_json_body for more than jupyter_server does."""

    def get_json_body(self: Any, required: tuple[str, ...] = (), *, default: Any = None) -> Any:
        return {**(Execute.get_json_body(self) or {}), "asked for": [*required, default]}

    async def asking(self: Any, kernel_id: str) -> None:
        self.settings["bodies"].append(self.get_json_body(("code",), default=5))

    status, body = post(wrapped(serve((ROUTE, answering(get_json_body, post=asking)))), {"code": "1"}, "bob")
    assert (status, body and body["asked for"]) == (200, ["code", 5])
    assert asker(body) == "bob"


def test_body_that_comes_later(serve: Serving) -> None:
    """A handler whose body is a coroutine gets its body, and the code has no stamp."""

    async def get_json_body(self: Any) -> Any:
        return Execute.get_json_body(self)

    async def awaiting(self: Any, kernel_id: str) -> None:
        self.settings["bodies"].append(await self.get_json_body())

    status, body = post(wrapped(serve((ROUTE, answering(get_json_body, post=awaiting)))), {"code": "1"})
    assert (status, body, asker(body)) == (200, {"code": "1"}, None)


def test_body_that_is_read_early(serve: Serving) -> None:
    """A handler may read its body before it is prepared: no user is known yet, and nothing breaks."""

    def initialize(self: Any) -> None:
        self.settings["bodies"].append(self.get_json_body())

    early = type("Early", (Execute,), {"initialize": initialize})
    status, body = post(wrapped(serve((ROUTE, early))), {"code": "1"}, "bob")
    assert (status, body, asker(body)) == (200, {"code": "1"}, None)


def test_handler_that_prepares_itself(serve: Serving) -> None:
    """A handler's own prepare may be an ordinary function, as tornado lets it be."""

    def prepare(self: Any) -> None:
        self.current_user = ServerUser("bob")

    own = type("Own", (Execute,), {"prepare": prepare, "post": Open.post})
    for app in (serve((ROUTE, own)), wrapped(serve((ROUTE, own)))):
        assert post(app, {"code": "1"})[0] == 200


def test_handler_that_answers_early(serve: Serving) -> None:
    """A handler that answers while it prepares is not asked any further."""

    async def prepare(self: Any) -> None:
        await Execute.prepare(self)
        self.set_status(202)
        self.finish({})

    early = type("Early", (Execute,), {"prepare": prepare})
    assert post(wrapped(serve((ROUTE, early))), {"code": "1"}) == (202, None)


def test_handler_that_cannot_be_built_on(serve: Serving) -> None:
    """A class that refuses to be subclassed stays as it is, and the others are still wrapped."""

    def refuse(cls: Any) -> None:
        raise TypeError("this class is final")

    final = type("Final", (Execute,), {"__init_subclass__": classmethod(refuse)})
    app = wrapped(serve((ROUTE, final), (ROUTE, Execute)))
    assert [hasattr(target, "app_meta_context") for target in targets(app)[:2]] == [False, True]


@pytest.mark.parametrize(
    "name",
    ["identity.visitor", "capture.raw_request", "key_of"],
)
def test_request_is_served_where_we_fail(serve: Serving, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An error of ours costs a request its stamps, and nothing more."""
    app = wrapped(serve((ROUTE, Execute)))
    monkeypatch.setattr(f"jupyter_app_meta.server.execution.{name}", broken)
    status, body = post(app, {"code": "1"})
    assert (status, body, asker(body)) == (200, {"code": "1"}, None)


# --- the deployer's own fields ---------------------------------------------------------------------------------------


def two_at_once(app: Application, release: asyncio.Event) -> list[Any]:
    """Post alice's body, then bob's while alice's waits for her fields; return the bodies as they were handled."""
    path = f"/api/kernels/{KERNEL}/execute"

    async def visit(port: int) -> None:
        first = asyncio.create_task(exchange(port, path, b'{"code": "first"}', "alice"))
        await app.settings["waiting"].wait()
        second = asyncio.create_task(exchange(port, path, b'{"code": "second"}', "bob"))
        await asyncio.wait({second}, timeout=0.5)
        release.set()
        assert [await first, await second] == [200, 200]

    asyncio.run(during(app, visit))
    bodies: list[Any] = app.settings["bodies"]
    return bodies


@pytest.fixture
def slow(serve: Serving) -> tuple[Application, asyncio.Event]:
    """An application that waits for alice's fields until the event is set."""
    release, waiting = asyncio.Event(), asyncio.Event()

    async def meta(kernel_id: str, request: HTTPRequest) -> Mapping[str, Any]:
        if request.user and request.user["username"] == "alice":
            waiting.set()
            await release.wait()
        return {}

    return wrapped(serve((ROUTE, Execute), waiting=waiting), context(meta=meta)), release


def test_waiting_for_fields_mixes_nobody_up(slow: tuple[Application, asyncio.Event]) -> None:
    """Two requests at once: each has its own asker, whichever of the two waits for its fields."""
    assert {str(body["code"]): asker(body) for body in two_at_once(*slow)} == {"first": "alice", "second": "bob"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
def test_who_asks_for_nothing_waits_for_nothing(serve: Serving, method: str) -> None:
    """A script that looks after its cells costs the deployer's function no call."""
    calls = []

    async def meta(kernel_id: str, request: HTTPRequest) -> Mapping[str, Any]:
        calls.append(request.method)
        return {}

    def answer(self: Any, kernel_id: str) -> None:
        self.finish()

    app = wrapped(
        serve((ROUTE, type("Looks", (Execute,), {method.lower(): authenticated(answer)}))),
        context(meta=meta),
    )
    path = f"/api/kernels/{KERNEL}/execute"
    assert asyncio.run(during(app, lambda port: exchange(port, path, b"", method=method))) == 200
    assert post(app, {"code": "1"})[0] == 200
    assert calls == ["POST"]
