"""Who the visitor of an ASGI host is, on a real server application behind the bridge."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import pytest
from harness import unheard
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from starlette.authentication import AuthCredentials

from jupyter_app_meta.asgi import bridge
from jupyter_app_meta.asgi.types import Receive, Scope, Send
from jupyter_app_meta.asgi.visitor import HostIdentityProvider, Visitors
from jupyter_app_meta.model import User
from jupyter_app_meta.policy import Policy, RawRequest
from jupyter_app_meta.server.identity import Visitor, unknown, visitor

LOG = logging.getLogger("test_visitor")
ALICE = {"username": "alice", "is_authenticated": True, "groups": ["staff"], "team": "emea", "api_token": "CANARY"}
GUEST = {"username": "guest", "is_authenticated": False, "is_owner": True, "admin": True}
CLAIMS = {"X-Forwarded-User": "mallory", "Authorization": "token the-token"}
"""What a client says of itself. A host's server trusts none of it."""


class Who(JupyterHandler):
    """Notes who asks."""

    @allow_unauthenticated
    def get(self) -> None:
        """Note the visitor."""
        self.settings["seen"].append(
            visitor(self, Policy.of(trusted_proxies=["0.0.0.0/0"], user_header=next(iter(CLAIMS))))
        )


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerApp]:
    """A real server application, not listening."""
    with unheard(tmp_path_factory.mktemp("root"), ("/who", Who)) as app:
        yield app


class Known(NamedTuple):
    """A visitor who has at least a name."""

    user: User
    reconnect_key: str


class Host:
    """A host that puts a user into each scope, and one browser of it."""

    def __init__(self, app: ServerApp, user: object, *, auth: object = None, function: Any = None) -> None:
        self.user, self.auth, self._app = user, auth, app.web_app
        self.seen: list[Visitor] = []
        self._provider = HostIdentityProvider(Visitors(function, LOG), log=LOG)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request as the middleware of a host would."""
        scope.update({name: value for name, value in (("user", self.user), ("auth", self.auth)) if value is not None})
        await bridge.http(self._app, scope, receive, send)

    async def asked(self, client: httpx.AsyncClient) -> Known:
        """Return who the visitor of one request is."""
        self._app.settings.update(identity_provider=self._provider, seen=self.seen)
        answer = await client.get("/who", headers=CLAIMS)
        assert answer.status_code == 200, answer.text
        who = self.seen.pop()
        assert who.user is not None
        return Known(who.user, who.reconnect_key)


@asynccontextmanager
async def browser(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client with cookies of its own."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(host), base_url="http://127.0.0.1") as client:
        yield client


async def test_the_hosts_user_is_the_visitor(app: ServerApp) -> None:
    """Fields, groups and scopes cross, a secret does not, and neither a header nor a token names another visitor."""
    host = Host(app, ALICE, auth=AuthCredentials(["read", "write"]))
    async with browser(host) as client:
        who = await host.asked(client)
        assert not client.cookies
    user = Policy().request(RawRequest("GET", "http://h/who", "http://h/", user=who.user)).user
    assert user is not None and "CANARY" not in repr(dict(user))
    assert (user.username, user.assurance, user.is_authenticated) == ("alice", "provider", True)
    assert (user.kind, user.is_owner, user.admin, user.groups) == ("user", None, False, ("staff",))
    assert (user["team"], user["scopes"]) == ("emea", ("read", "write"))
    assert who.reconnect_key == "host:user:alice:"


async def test_a_guest_is_shown_and_told_from_the_next_by_a_cookie(app: ServerApp) -> None:
    """A name that the host does not vouch for is not a key, and gives no rights."""
    host = Host(app, GUEST)
    async with browser(host) as first, browser(host) as second:
        one, again, other = [await host.asked(client) for client in (first, first, second)]
        line = next(iter(first.cookies.jar))
    assert [each.user.username for each in (one, again, other)] == ["guest"] * 3
    assert (one.user.assurance, one.user.is_authenticated, one.user.is_owner) == ("none", False, None)
    assert not one.user.admin and one.user.groups == ()
    assert one.reconnect_key == again.reconnect_key != other.reconnect_key
    assert one.reconnect_key.startswith("cookie:") and line.has_nonstandard_attr("HttpOnly")


@pytest.mark.parametrize(
    "user", [None, {}, {"is_authenticated": True}, object(), 17], ids=["none", "empty", "nameless", "object", "number"]
)
async def test_a_user_without_a_name_is_a_stranger(app: ServerApp, user: object) -> None:
    """Nothing and nonsense are the same: a random name that is not authenticated."""
    host = Host(app, user)
    async with browser(host) as client:
        who = await host.asked(client)
        again = await host.asked(client)
    assert who.user.username and who.user.username == again.user.username
    assert (who.user.assurance, who.user.is_authenticated) == ("none", False)
    assert who.reconnect_key == again.reconnect_key == f"cookie:{who.user.username}"


async def test_a_login_and_a_logout_are_other_keys(app: ServerApp) -> None:
    """The cookie of a stranger is not the key of a visitor who logs in, nor the other way round."""
    host = Host(app, None)
    async with browser(host) as client:
        keys = []
        for host.user in (None, ALICE, {**ALICE, "id": 7}, None):
            keys.append((await host.asked(client)).reconnect_key)
    assert keys[1:3] == ["host:user:alice:", "host:user:alice:7"] and keys[0] == keys[3]
    assert keys[0].startswith("cookie:")


async def _named(scope: Scope) -> object:
    return {"username": f"of {scope['user']}", "is_authenticated": True}


async def _fails(scope: Scope) -> object:
    raise RuntimeError("CANARY")


@pytest.mark.parametrize(
    ("function", "username"), [(_named, "of 17"), (lambda scope: ALICE, "alice"), (_fails, None), (print, None)]
)
async def test_a_function_of_the_deployers_names_visitors(
    app: ServerApp, function: Callable[..., Any], username: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be async. One that fails names no visitor, and ``scope["user"]`` does not stand in for its answer."""
    host = Host(app, 17 if username != "alice" else GUEST, function=function)
    async with browser(host) as client:
        who = await host.asked(client)
    if username:
        assert (who.user.username, who.user.assurance) == (username, "provider")
    else:
        assert (who.user.username == "17", who.user.assurance) == (False, "none")
    assert not any("CANARY" in record.getMessage() for record in caplog.records)


async def test_a_mistake_of_the_hosts_is_named_once(app: ServerApp, caplog: pytest.LogCaptureFixture) -> None:
    """The warning names the class and the remedy, and no value."""
    host = Host(app, {"username": "CANARY", "is_authenticated": "true"})
    async with browser(host) as client:
        for _ in range(3):
            assert not (await host.asked(client)).user.is_authenticated
    (line,) = [record.getMessage() for record in caplog.records if "is_authenticated" in record.getMessage()]
    assert "dict" in line and "create_asgi_app(user=...)" in line and "CANARY" not in line


async def test_a_user_that_another_provider_made_is_unknown(app: ServerApp) -> None:
    """A handler's user that does not come from the host has no fields, no assurance and no key."""
    provider = HostIdentityProvider(Visitors(None, LOG), log=LOG)
    foreign = object()
    assert provider.values(foreign) == {} and provider.assurance(foreign) == "none"
    assert provider.binding_key(foreign) == "" and unknown().reconnect_key
