"""Who a visitor is, on real server applications with every kind of identity provider."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from harness import free_port, unheard, without_others
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.identity import IdentityProvider, LegacyIdentityProvider, PasswordIdentityProvider
from jupyter_server.auth.identity import User as ServerUser
from jupyter_server.auth.login import LegacyLoginHandler, LoginFormHandler
from jupyter_server.auth.security import passwd
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets, bind_unix_socket

from jupyter_app_meta.model import Names, User
from jupyter_app_meta.policy import Policy, RawRequest
from jupyter_app_meta.server.identity import Visitor, unknown, visitor

TOKEN = "the-token"
CANARY = "CANARY7c1"
LOCAL = Policy.of(trusted_proxies=["127.0.0.0/8"], user_header="X-Forwarded-User")
BY_TOKEN = ("Authorization: token the-token",)


class Who(JupyterHandler):
    """Keeps who asks, and logs them in by cookie on demand."""

    @allow_unauthenticated
    def get(self) -> None:
        """Note the visitor."""
        if name := self.get_argument("login", ""):
            self.identity_provider.set_login_cookie(self, ServerUser(name))
        self.settings["seen"].append(visitor(self, self.settings["policy"]))


class Answer(NamedTuple):
    """Who a visitor was, and the Cookie line that their browser has afterwards."""

    who: Visitor
    cookie: str


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerApp]:
    """A real server application, not listening."""
    with unheard(tmp_path_factory.mktemp("root"), ("/who", Who)) as app:
        yield app


def ask(
    app: ServerApp,
    provider: Any,
    *lines: str | bytes,
    query: str = "",
    policy: Policy | None = None,
    unix: Path | None = None,
) -> Answer:
    """Return who an identity provider's server sees behind a request with these header lines."""
    seen: list[Visitor] = []
    app.web_app.settings.update(identity_provider=provider, policy=policy or Policy(), seen=seen)
    encoded = [line.encode() if isinstance(line, str) else line for line in lines]
    head = [b"GET /who" + query.encode() + b" HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close", *encoded]
    answer = asyncio.run(_exchange(app, b"\r\n".join([*head, b"", b""]), unix))
    assert answer.startswith("HTTP/1.1 200"), answer
    cookies = [line.partition(": ")[2] for line in answer.splitlines() if line.lower().startswith("set-cookie:")]
    morsels = [morsel for line in cookies for morsel in SimpleCookie(line).values()]
    (who,) = seen
    return Answer(who, "; ".join(f'{morsel.key}="{morsel.value}"' for morsel in morsels))


async def _exchange(app: ServerApp, data: bytes, unix: Path | None) -> str:
    server = HTTPServer(app.web_app)
    sockets = [bind_unix_socket(str(unix))] if unix else bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        opening = asyncio.open_unix_connection(unix) if unix else asyncio.open_connection(*sockets[0].getsockname())
        reader, writer = await opening
        writer.write(data)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer.decode("latin-1")
    finally:
        server.stop()
        await server.close_all_connections()


def user_of(answer: Answer) -> User:
    """Return the user of an answer."""
    assert answer.who.user is not None
    return answer.who.user


class Says(IdentityProvider):
    """A deployer's provider that returns what a test wants."""

    says: Any = None

    def get_user(self, handler: Any) -> Any:
        """Return the answer."""
        return self.says


class SaysLater(Says):
    """The same, asynchronously."""

    async def get_user(self, handler: Any) -> Any:
        """Return the answer a little later."""
        await asyncio.sleep(0)
        return self.says


def saying(answer: Any, kind: type[Says] = Says, **more: Any) -> Says:
    """Return a provider that says this."""
    provider: Says = type("Deployers", (kind,), {"says": answer, **more})()
    return provider


# --- what providers return -------------------------------------------------------------------------------------------


@dataclass
class Employee(ServerUser):
    """A deployer's user with fields of its own, some of which no JSON has."""

    department: str = "R&D"
    badge: object = field(default_factory=object)
    floors: tuple[int, ...] = (1, 2)
    access_token: str = CANARY
    avatar: bytes = b""
    huge: str = "x" * 5000
    _private: str = CANARY


@pytest.mark.parametrize("kind", [Says, SaysLater])
@pytest.mark.parametrize(
    ("said", "name"),
    [
        (ServerUser("alice"), "alice"),
        (Employee("alice", name="Alice"), "Alice"),
        ("alice", "alice"),
        ({"username": "alice"}, "alice"),
        ({"name": "alice"}, "alice"),
        ({"username": "alice", "name": "Alice"}, "Alice"),
        ({"username": "", "name": "alice"}, "alice"),
        ({"username": "alice", "name": 7, "display_name": None}, "alice"),
    ],
)
def test_known_forms_become_a_user(app: ServerApp, said: Any, name: str, kind: type[Says]) -> None:
    """A provider may return jupyter_server's User, a subclass, a dict or a str, at once or later."""
    user = user_of(ask(app, saying(said, kind)))
    assert (user["username"], user["name"], user["display_name"]) == ("alice", name, name)
    assert (user["kind"], user["assurance"], user["is_authenticated"]) == ("user", "provider", True)
    assert user["is_owner"] is None


@pytest.mark.parametrize(
    "said",
    [
        *(
            None,
            42,
            0,
            "",
            True,
            {},
            [],
            ["alice"],
            ("alice",),
            b"alice",
            {"username": 7},
            {"user": "alice"},
            {7: "alice"},
        ),
        *(ServerUser, SimpleNamespace(username="alice"), object(), {"username": ["alice"]}),
    ],
)
def test_unknown_forms_are_nobody(app: ServerApp, said: Any) -> None:
    """Any other answer of a provider means no user, and two visitors without a user are never the same."""
    first, second = (ask(app, saying(said)).who for _ in range(2))
    assert first.user is None
    assert len({first.key, first.reconnect_key, second.key, second.reconnect_key}) == 2


def test_own_fields_cross_as_json(app: ServerApp) -> None:
    """What a provider adds is copied as small JSON values; objects, bytes and big values are left out."""
    user = user_of(ask(app, saying(Employee("alice"))))
    extras = {name: value for name, value in user.items() if name not in User.defaults}
    assert extras == {"department": "R&D", "floors": [1, 2], "access_token": CANARY}


def crossing(user: User) -> tuple[User, Names]:
    """Return what the default policy lets through of a user, and what it lists."""
    found = Policy().request(RawRequest("GET", "http://h/", "http://h/", user=user))
    assert found.user is not None
    return found.user, found.redacted


def test_credentials_of_a_provider_do_not_cross(app: ServerApp) -> None:
    """A provider's own field whose name says credential is withheld by the policy, and listed."""
    said = {"username": "alice", "access_token": CANARY, "profile": {"refresh": {"apiKey": CANARY}}, "role": "editor"}
    shown, withheld = crossing(user_of(ask(app, saying(said))))
    assert CANARY not in json.dumps(shown)
    assert shown["role"] == "editor"
    assert withheld == ("user.access_token", "user.profile")


def test_values_are_those_of_the_moment(app: ServerApp) -> None:
    """A list that the provider changes later does not change what was captured."""
    projects = ["a"]
    user = user_of(ask(app, saying({"username": "alice", "projects": projects})))
    projects.append("b")
    assert user["projects"] == ["a"]


def test_odd_values_are_left_out(app: ServerApp) -> None:
    """Only the fields with NaN, cycles, deep nesting or names that are not strings are lost."""
    cycle: list[Any] = []
    cycle.append(cycle)
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    said = {"username": "alice", "nan": float("nan"), "cycle": cycle, "deep": deep, 7: "seven", "fine": "\ud800"}
    user = user_of(ask(app, saying(said)))
    assert [name for name in user if name not in User.defaults] == ["fine"]


def test_providers_own_standing_is_believed(app: ServerApp) -> None:
    """A deployer's provider tells groups and admin; what only the server can know is not taken from it."""
    said = {"username": "alice", "groups": ["a", 7, "b"], "admin": True, "kind": "service", "is_owner": True}
    user = user_of(ask(app, saying({**said, "assurance": "hub", "is_authenticated": False})))
    assert (user["groups"], user["admin"], user["kind"]) == (("a", "b"), True, "service")
    assert (user["is_owner"], user["assurance"], user["is_authenticated"]) == (None, "provider", True)


@pytest.mark.parametrize("admin", [1, "yes", [True], None])
def test_only_true_is_admin(app: ServerApp, admin: Any) -> None:
    """A value that is merely truthy does not make a user an administrator."""
    assert user_of(ask(app, saying({"username": "alice", "admin": admin, "groups": "staff"})))["admin"] is False


def test_provider_that_breaks_is_nobody(app: ServerApp) -> None:
    """An error in a provider's own code costs the identity, not the connection."""

    def broken(self: Any) -> str:
        raise RuntimeError(CANARY)

    assert ask(app, saying(type("Evil", (dict,), {"items": broken})(username="x"))).who.user is None
    assert ask(app, saying({"username": "x"}, auth_enabled=property(broken))).who.user is None
    assert ask(
        app, type("Evil", (PasswordIdentityProvider,), {"auth_enabled": True, "get_user": broken_cookie})()
    ).who.user


def broken_cookie(self: Any, handler: Any) -> ServerUser:
    """Return a user, whatever the cookie says."""
    return ServerUser("alice")


# --- how far to trust it ---------------------------------------------------------------------------------------------


class CallsSuper(PasswordIdentityProvider):
    """Overrides get_user, and asks jupyter_server all the same."""

    async def get_user(self, handler: Any) -> Any:
        """Return what jupyter_server says, or another user."""
        return await super()._get_user(handler)


class OwnForm(PasswordIdentityProvider):
    """Checks passwords itself, as against a directory."""

    def process_login_form(self, handler: Any) -> Any:
        """Return whom the directory knows."""
        return ServerUser("alice")


class OwnHandlers(PasswordIdentityProvider):
    """Adds a page that logs people in."""

    def get_handlers(self) -> Any:
        """Return jupyter_server's handlers and the page."""
        return super().get_handlers()


class OAuthPage(LoginFormHandler):
    """A login page that asks another service, then sets jupyter_server's cookie."""

    def get(self) -> None:
        """Redirect to who knows."""


class PrettyPage(LoginFormHandler):
    """A login page that looks different."""

    def _render(self, message: Any = None) -> None:
        """Write it."""


class Legacy(LegacyLoginHandler):
    """A login handler as people wrote them before identity providers."""

    @classmethod
    def get_user(cls, handler: Any) -> Any:
        """Return a name."""
        return "alice"


def legacy(login: Any = LegacyLoginHandler, **settings: Any) -> LegacyIdentityProvider:
    """Return the provider that asks a login handler."""
    return LegacyIdentityProvider(login_handler_class=login, settings=settings, **settings)


PASSWORD = passwd("pw", "sha1")
TABLE: dict[str, tuple[Any, str, str]] = {
    # provider, assurance by token, assurance by cookie
    "a token": (lambda: PasswordIdentityProvider(token=TOKEN), "shared-secret", "shared-secret"),
    "a password": (
        lambda: PasswordIdentityProvider(token=TOKEN, hashed_password=PASSWORD),
        "shared-secret",
        "shared-secret",
    ),
    "the base class": (lambda: IdentityProvider(token=TOKEN), "shared-secret", "shared-secret"),
    "no authentication": (lambda: PasswordIdentityProvider(token=""), "none", "none"),
    "an old login handler": (lambda: legacy(token=TOKEN), "shared-secret", "shared-secret"),
    "an old one without": (lambda: legacy(token=""), "none", "none"),
    "a deployer's old one": (lambda: legacy(Legacy, token=TOKEN), "provider", "provider"),
    "get_user with super": (lambda: CallsSuper(token=TOKEN), "provider", "provider"),
    "get_user without secrets": (lambda: CallsSuper(token=""), "none", "none"),
    "an own login form": (lambda: OwnForm(token=TOKEN), "shared-secret", "provider"),
    "own pages": (lambda: OwnHandlers(token=TOKEN), "shared-secret", "provider"),
    "an own login page": (
        lambda: PasswordIdentityProvider(token=TOKEN, login_handler_class=OAuthPage),
        "shared-secret",
        "provider",
    ),
    "a pretty login page": (
        lambda: PasswordIdentityProvider(token=TOKEN, login_handler_class=PrettyPage),
        "shared-secret",
        "shared-secret",
    ),
}


# What people wrote before identity providers still works, with jupyter_server's own warnings.
old_ways = pytest.mark.filterwarnings("ignore:JupyterHandler:DeprecationWarning")


@old_ways
@pytest.mark.parametrize("name", TABLE)
def test_assurance_by_token(app: ServerApp, name: str) -> None:
    """A client that presents the server's token is its owner, unless a deployer's code decided who it is."""
    make, expected, _ = TABLE[name]
    user = user_of(ask(app, make(), *BY_TOKEN))
    assert user["assurance"] == expected
    assert user["is_authenticated"] is (expected != "none")
    assert user["is_owner"] is (True if expected == "shared-secret" else None)
    assert user["kind"] == ("anonymous" if expected == "none" else "user")


@old_ways
@pytest.mark.parametrize("name", TABLE)
def test_assurance_by_cookie(app: ServerApp, name: str) -> None:
    """A client with a login cookie is the owner only if no other code can have set the cookie."""
    make, _, expected = TABLE[name]
    provider = make()
    login = ask(app, provider, *BY_TOKEN) if "old" in name else ask(app, provider, query="?login=alice")
    user = user_of(ask(app, provider, f"Cookie: {login.cookie}"))
    assert user["assurance"] == expected
    assert user["is_owner"] is (True if expected == "shared-secret" else None)


def test_patched_provider_is_not_stock(app: ServerApp) -> None:
    """A method that was replaced on the very instance is a deployer's as well."""
    provider: Any = PasswordIdentityProvider(token=TOKEN)
    provider.get_user = lambda handler: ServerUser("alice")
    assert user_of(ask(app, provider))["assurance"] == "provider"


def test_shared_secret_tells_no_groups(app: ServerApp) -> None:
    """A token names no user: a client that holds it has no groups and is not an administrator."""
    user = user_of(ask(app, PasswordIdentityProvider(token=TOKEN), *BY_TOKEN))
    assert (user["groups"], user["admin"]) == ((), False)


# --- keys and claims -------------------------------------------------------------------------------------------------


def test_keys_tell_assurances_and_kinds_apart(app: ServerApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same name in another provider's mouth, or of a service, is another identity."""
    keys = {ask(app, saying("alice")).who.key, ask(app, saying({"username": "alice", "kind": "service"})).who.key}
    keys.add(ask(app, saying("x"), "X-Forwarded-User: alice", policy=LOCAL).who.key)
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://hub/api")
    for kind in ("user", "service"):
        keys.add(ask(app, saying({"kind": kind, "name": "alice"}, hub_auth=None)).who.key)
    assert len(keys) == 5


def test_clients_without_a_cookie_share_the_tokens_claim(app: ServerApp) -> None:
    """Each request of a client without a cookie jar has a new random name; its claim to a connection stays."""
    provider = PasswordIdentityProvider(token=TOKEN)
    first, second = (ask(app, provider, *BY_TOKEN).who for _ in range(2))
    assert first.key != second.key
    assert first.reconnect_key == second.reconnect_key != first.key
    invalid = ask(app, provider, *BY_TOKEN, "Cookie: username-127-0-0-1=forged").who
    assert invalid.reconnect_key == first.reconnect_key


def test_cookie_holders_claim_for_themselves(app: ServerApp) -> None:
    """A browser keeps its own claim, with the token or without."""
    provider = PasswordIdentityProvider(token=TOKEN)
    cookies = [ask(app, provider, *BY_TOKEN).cookie for _ in range(2)]
    claims = [
        ask(app, provider, *lines, f"Cookie: {cookie}").who.reconnect_key
        for cookie in cookies
        for lines in ((), BY_TOKEN)
    ]
    assert claims[0] == claims[1] != claims[2] == claims[3]


def test_strangers_without_authentication_share_nothing(app: ServerApp) -> None:
    """If authentication is off there is no token to hold, so two clients without cookies are two people."""
    provider = PasswordIdentityProvider(token="")
    first, second = (ask(app, provider).who for _ in range(2))
    assert first.reconnect_key != second.reconnect_key
    cookie = ask(app, provider).cookie
    assert len({ask(app, provider, f"Cookie: {cookie}").who.reconnect_key for _ in range(2)}) == 1


def test_nobody_is_nobody_twice() -> None:
    """Two visitors without a user are never the same."""
    assert unknown() != unknown()


# --- a proxy's header ------------------------------------------------------------------------------------------------


def test_trusted_proxy_names_the_user(app: ServerApp) -> None:
    """A deployer's proxy says who the user is, even if the server itself says otherwise."""
    user = user_of(ask(app, PasswordIdentityProvider(token=TOKEN), "x-forwarded-user: alice", policy=LOCAL))
    assert (user["username"], user["kind"], user["assurance"], user["is_owner"]) == ("alice", "user", "provider", None)
    assert user["is_authenticated"] is True


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["X-Forwarded-User:"],
        ["X-Forwarded-User:   "],
        ["X-Forwarded-User: alice", "X-Forwarded-User: root"],
        ["X-Forwarded-User: alice", "X-Forwarded-User: alice"],
        [b"X-Forwarded-User: \xff"],
        ["X_Forwarded_User: root"],
        ["X-Forwarded_User: root"],
    ],
)
def test_doubtful_header_is_nobody(app: ServerApp, lines: list[str | bytes]) -> None:
    """If the header is absent, empty, repeated or unreadable, there is no user, even if the server knows one."""
    for provider in (saying("olga"), PasswordIdentityProvider(token=TOKEN)):
        assert ask(app, provider, *BY_TOKEN, *lines, policy=LOCAL).who.user is None


def test_underscores_do_not_impersonate(app: ServerApp) -> None:
    """A client's own X_Forwarded_User, which proxies pass on, is not the header that they set."""
    answer = ask(app, saying("x"), "X_Forwarded_User: root", "X-Forwarded-User: alice", policy=LOCAL)
    assert user_of(answer)["username"] == "alice"


def test_header_name_is_compared_as_the_proxy_writes_it(app: ServerApp) -> None:
    """A deployer whose proxy writes underscores says so, in any case of letters."""
    policy = Policy.of(trusted_proxies=["127.0.0.1"], user_header="REMOTE_USER")
    assert (
        user_of(ask(app, saying("x"), "Remote_User: alice", "Remote-User: root", policy=policy))["username"] == "alice"
    )


def test_header_is_utf8(app: ServerApp) -> None:
    """A name in UTF-8 arrives as what it is."""
    answer = ask(app, saying("x"), "X-Forwarded-User: José 日本", policy=LOCAL)
    assert user_of(answer)["display_name"] == "José 日本"


@pytest.mark.parametrize(
    "policy",
    [
        Policy.of(user_header="X-Forwarded-User"),
        Policy.of(user_header="X-Forwarded-User", trusted_proxies=["10.0.0.0/8"]),
        Policy.of(trusted_proxies=["127.0.0.1"]),
    ],
)
def test_header_of_a_stranger_means_nothing(app: ServerApp, policy: Policy) -> None:
    """An identity header was once trusted from any client; here only from the peers that the deployer names."""
    lines = ("X-Forwarded-User: root", "X-Real-IP: 10.0.0.1", "X-Forwarded-For: 10.0.0.1")
    assert user_of(ask(app, saying("alice"), *lines, policy=policy))["username"] == "alice"


def test_header_through_a_unix_socket_means_nothing(app: ServerApp, tmp_path: Path) -> None:
    """A peer without an address is not in any network."""
    policy = Policy.of(user_header="X-Forwarded-User", trusted_proxies=["0.0.0.0/0", "::/0"])
    answer = ask(app, saying("alice"), "X-Forwarded-User: root", policy=policy, unix=tmp_path / "socket")
    assert user_of(answer)["username"] == "alice"


# --- JupyterHub ------------------------------------------------------------------------------------------------------

MODEL: dict[str, Any] = {
    "kind": "user",
    "name": "alice",
    "admin": True,
    "groups": ["g1"],
    **{name: [CANARY] for name in ("scopes", "roles")},
    **dict.fromkeys(("token_id", "session_id", "auth_state", "auth"), CANARY),
}


class HubUser(ServerUser):
    """A user as jupyterhub-singleuser makes them: the Hub's model is not a field."""

    def __init__(self, hub_user: dict[str, Any]) -> None:
        self.hub_user = hub_user
        super().__init__(hub_user["name"], display_name="Alice A.")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that JupyterHub runs for alice."""
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://127.0.0.1:8081/hub/api")
    monkeypatch.setenv("JUPYTERHUB_USER", "alice")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("said", [HubUser, dict])
@pytest.mark.parametrize("kind", ["user", "service"])
def test_hub_model_is_believed(app: ServerApp, said: Any, kind: str) -> None:
    """The Hub's model tells kind, groups and admin in both forms; its scopes and ids never cross."""
    user = user_of(ask(app, saying(said({**MODEL, "kind": kind}), hub_auth=None)))
    assert (user["username"], user["kind"], user["assurance"]) == ("alice", kind, "hub")
    assert (user["groups"], user["admin"], user["is_authenticated"]) == (("g1",), True, True)
    assert user["is_owner"] is (kind == "user")
    assert CANARY not in json.dumps(user)
    assert set(user) == set(User.defaults)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["bob", "Alice", "alice ", "alic"])
def test_hub_owner_is_exactly_one(app: ServerApp, name: str) -> None:
    """``JUPYTERHUB_USER`` is the owner, not the visitor: another user on the server is not the owner."""
    assert user_of(ask(app, saying(HubUser({**MODEL, "name": name}))))["is_owner"] is False


def test_owner_is_unknown_on_a_service_of_the_hub(app: ServerApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that the Hub runs as a service has no owner."""
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://127.0.0.1:8081/hub/api")
    assert user_of(ask(app, saying(HubUser(MODEL))))["is_owner"] is None


@pytest.mark.parametrize("said", [HubUser, dict])
def test_nobody_plays_the_hub_without_one(app: ServerApp, said: Any) -> None:
    """On a server that no Hub runs, a model in the Hub's form is a provider's word and no more."""
    user = user_of(ask(app, saying(said(MODEL), hub_auth=None)))
    assert (user["assurance"], user["is_owner"]) == ("provider", None)
    shown, withheld = crossing(user)
    assert [name for name, value in shown.items() if CANARY in repr(value)] == []
    if said is dict:
        assert {"user.scopes", "user.roles", "user.token_id", "user.session_id", "user.auth_state"} <= set(withheld)


@pytest.mark.usefixtures("hub")
def test_hub_comes_before_a_proxys_header(app: ServerApp) -> None:
    """The Hub's own proxy passes on any header that a client writes, so only the Hub says who a user is."""
    answer = ask(app, saying(HubUser(MODEL), hub_auth=None), "X-Forwarded-User: root", policy=LOCAL)
    assert (user_of(answer)["username"], user_of(answer)["assurance"]) == ("alice", "hub")


@pytest.mark.parametrize("kind", ["user", "service"])
def test_hubs_own_code_is_believed_however_it_is_configured(app: ServerApp, kind: str) -> None:
    """If the Hub's address is not in the environment but configured, a service alice is not the user alice."""
    provider = saying(HubUser({**MODEL, "kind": kind}), hub_auth=None, __module__="jupyterhub.singleuser.extension")
    answer = ask(app, provider)
    assert (user_of(answer)["kind"], user_of(answer)["assurance"]) == (kind, "hub")
    assert answer.who.key == f"hub:{kind}:alice"


@pytest.mark.usefixtures("hub")
def test_plain_provider_does_not_play_the_hub(app: ServerApp) -> None:
    """On a Hub's server, too, a dict is the Hub's only from code that asks the Hub."""
    user = user_of(ask(app, saying(dict(MODEL))))
    assert (user["assurance"], user["is_owner"]) == ("provider", None)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    "model", [{}, {"name": "alice"}, {"kind": "group", "name": "alice"}, {"kind": ["user"]}, 7, None]
)
def test_broken_hub_model_is_not_the_hubs(app: ServerApp, model: Any) -> None:
    """A model of a kind that the Hub does not know raises no error, and makes no user the owner."""
    said = HubUser(MODEL)
    said.hub_user = model
    assert user_of(ask(app, saying(said)))["assurance"] == "provider"


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", [None, "", 7, ["alice"]])
def test_nameless_hub_model_is_nobody(app: ServerApp, name: Any) -> None:
    """The Hub names every user; a model without a name is not a user."""
    said = HubUser(MODEL)
    said.hub_user = {**MODEL, "name": name}
    assert ask(app, saying(said)).who.user is None


PROBE = """
import json
from jupyter_server.base.handlers import JupyterHandler
from tornado.web import authenticated
from jupyter_app_meta.policy import Policy
from jupyter_app_meta.server.capture import raw_request
from jupyter_app_meta.server.identity import visitor

class Probe(JupyterHandler):
    @authenticated
    def get(self):
        who = visitor(self, Policy())
        self.finish(json.dumps({"user": who.user, "key": who.key, "own": sorted(raw_request(self, None).own_cookies)}))

def _jupyter_server_extension_points():
    return [{"module": "probe"}]

def _load_jupyter_server_extension(app):
    app.web_app.add_handlers(".*", [(app.base_url + "probe", Probe)])
"""
HUB = """
import asyncio, json, sys
from tornado.web import Application, RequestHandler
import jupyterhub

class Hub(RequestHandler):
    def get(self, path):
        self.set_header("X-JupyterHub-Version", jupyterhub.__version__)
        token = self.request.headers.get("Authorization", "").rpartition(" ")[2]
        found = json.loads(sys.argv[2]).get(token) if path == "user" else {"version": jupyterhub.__version__}
        self.finish(json.dumps(found))
    post = get

async def main():
    Application([("/hub/api/?(.*)", Hub)]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()

asyncio.run(main())
"""


KINDS = ("user", "service")
SCOPES = {"scopes": ["access:servers!user=alice"], "roles": [CANARY], "auth_state": CANARY, "token_id": CANARY}
MODELS = {
    kind: {"kind": kind, "name": "alice", "admin": False, "groups": ["g1"], **SCOPES, "session_id": CANARY}
    for kind in KINDS
}
"""What a Hub says of whose token is ``user``, and of whose is ``service``."""


@pytest.fixture(scope="module", params=["extension", "older mode"])
def singleuser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A function that asks a real jupyterhub-singleuser of alice's who the bearer of a token is."""
    pytest.importorskip("jupyterhub")
    home = tmp_path_factory.mktemp("singleuser")
    (home / "probe.py").write_text(PROBE)
    (home / "hub.py").write_text(HUB)
    hub_port, port = free_port(), free_port()
    env = hub_environment(home, hub_port, port, extension=request.param == "extension")
    options = ["--ServerApp.jpserver_extensions={'probe': True, 'jupyter_app_meta': False}", "--allow-root"]
    with ExitStack() as ends:
        log = ends.enter_context((home / "log").open("wb"))
        for arguments in (["hub.py", str(hub_port), json.dumps(MODELS)], ["-m", "jupyterhub.singleuser", *options]):
            process = subprocess.Popen([sys.executable, *arguments], cwd=home, env=env, stdout=log, stderr=log)
            ends.callback(process.wait)
            ends.callback(process.kill)
        yield lambda token: answered(f"http://127.0.0.1:{port}/user/alice/probe", token, home / "log")


def hub_environment(home: Path, hub_port: int, port: int, *, extension: bool) -> dict[str, str]:
    """Return the environment that JupyterHub gives to a server of alice's."""
    hub = f"http://127.0.0.1:{hub_port}/hub/api"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")}
    names = {"API_URL": hub, "API_TOKEN": "t", "CLIENT_ID": "jupyterhub-user-alice", "USER": "alice", "HOST": ""}
    names |= {"SERVER_NAME": "", "BASE_URL": "/", "SERVICE_PREFIX": "/user/alice/", "ACTIVITY_URL": f"{hub}/activity"}
    names |= {"OAUTH_CALLBACK_URL": "/user/alice/oauth_callback", "SERVICE_URL": f"http://127.0.0.1:{port}"}
    names |= {"OAUTH_SCOPES": '["access:servers!user=alice"]', "SINGLEUSER_EXTENSION": str(int(extension))}
    paths = os.pathsep.join([str(home), *sys.path])
    folders = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    hubs = {f"JUPYTERHUB_{name}": value for name, value in names.items()}
    if not extension:
        hubs["JUPYTERHUB_SINGLEUSER_APP"] = "jupyter-server"
    folders["JUPYTER_CONFIG_PATH"] = str(without_others(home))
    return {**kept, **hubs, **folders, "PYTHONPATH": paths, "HOME": str(home)}


def answered(url: str, token: str, log: Path) -> Any:
    """Return what a server says to the bearer of a token, once it is up."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            wanted = urllib.request.Request(url, headers={"Authorization": f"token {token}"})
            with urllib.request.urlopen(wanted, timeout=10) as response:
                return json.load(response)
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(log.read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_real_singleuser_server_knows_whom_the_hub_means(singleuser: Any, kind: str) -> None:
    """In both modes of jupyterhub-singleuser a user alice and a service alice are two, and nothing secret crosses."""
    said = singleuser(kind)
    user = said["user"]
    assert (user["kind"], user["assurance"], user["is_owner"]) == (kind, "hub", kind == "user")
    assert (user["username"], user["groups"], said["key"]) == ("alice", ["g1"], f"hub:{kind}:alice")
    assert CANARY not in json.dumps(said)
    assert "jupyterhub-user-alice" in said["own"]
