"""Which user a cell sees on a real JupyterHub, in both modes of its single-user servers."""

from __future__ import annotations

import base64
import json
import random
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from textwrap import indent

import httpx
import pytest
import websocket
from harness import FORMATS, WHO, Json, Result, Socket

from hub import Guest, Hub, hub_running
from jupyter_app_meta.errors import PolicyError
from jupyter_app_meta.policy import Policy

CACHE = 1  # for how many seconds a user's server believes what the Hub said of a token
CONFIG = f"""
import os
c.HubOAuth.cache_max_age = {CACHE}
c.AppMetaExtension.cookies_allow = ["theme", "jupyterhub-*", "*xsrf*"]
if os.environ["JUPYTERHUB_USER"] == "carol":
    c.AppMetaExtension.cookies_allow = ["*"]
    c.AppMetaExtension.headers_allow = ["*"]
    c.ServerApp.allow_external_kernels = True
    c.ServerApp.external_connection_dir = os.path.expanduser("~/kernels")
"""
TARGET = f"""
from comm import get_comm_manager
def opened(comm, message):
    @comm.on_msg
    def heard(message):
{indent(WHO, " " * 8)}
get_comm_manager().register_target("who", opened)

kernel, heard = get_ipython().kernel, []
original = kernel.set_parent
def spy(ident, parent, channel="shell"):
    heard.append(parent["header"]["msg_type"])
    return original(ident, parent, channel)
kernel.set_parent = spy
"""


@pytest.fixture(scope="module", params=["extension", "mixin"])
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub on which alice shares her server with bob, and carol hers, which is generous, with alice."""
    home = tmp_path_factory.mktemp("hub")
    with hub_running(home, config=CONFIG, extension=request.param == "extension") as hub:
        hub.start_server("alice", "carol")
        hub.share("alice", "bob")
        hub.share("carol", "alice")
        yield hub


# For what has nothing to do with how a server learns who a visitor is.
in_one_mode = pytest.mark.parametrize("hub", ["extension"], indirect=True)

# Who may use alice's server, by how they come there.
CLIENTS: dict[str, Callable[[Hub], Guest]] = {
    "owner": lambda hub: hub.browser("alice").visit("alice"),
    "guest": lambda hub: hub.browser("bob").visit("alice"),
    "admin": lambda hub: hub.browser("admin").visit("alice"),
    "service": lambda hub: hub.script(hub.tokens["robot"], "alice"),
    "service of the owner's name": lambda hub: hub.script(hub.tokens["alice"], "alice"),
    "owner's script": lambda hub: hub.script(hub.token("alice").value, "alice"),
    "guest's script": lambda hub: hub.script(hub.token("bob").value, "alice"),
}


@pytest.fixture(scope="module")
def arrive(hub: Hub) -> Callable[[str], Guest]:
    """Return the clients of alice's server, each of whom comes once."""
    return cache(lambda who: CLIENTS[who](hub))


@pytest.fixture(scope="module")
def kernel(arrive: Callable[[str], Guest]) -> str:
    """A kernel of alice's server, with a comm target that says who talks to it."""
    alice = arrive("owner")
    kernel = alice.start_kernel()
    assert alice.connect(kernel).run(TARGET).text == ""
    return kernel


# --- who is seen ------------------------------------------------------------------------------------------------------


def in_cell(socket: Socket) -> Json:
    """What a cell sees."""
    return socket.who()


def in_callback(socket: Socket) -> Json:
    """What the callback of a comm sees that this client opens."""
    comm_id = uuid.uuid4().hex
    socket.send(socket.message("comm_open", {"comm_id": comm_id, "target_name": "who", "data": {}}))
    msg_id = socket.send(socket.message("comm_msg", {"comm_id": comm_id, "data": {}}))

    def is_ours(message: Json) -> bool:
        return bool(message["parent_header"].get("msg_id") == msg_id)

    messages = socket.until(lambda got: is_ours(got) and got["content"].get("execution_state") == "idle")
    seen: Json = json.loads(Result([message for message in messages if is_ours(message)]).text)
    return seen


WAYS = {"cell": in_cell, "callback": in_callback}
ANYBODY = {"kind": "user", "is_owner": False, "groups": [], "admin": False}
EXPECTED: dict[str, Json] = {
    "owner": {"username": "alice", "groups": ["owners"], "is_owner": True},
    "guest": {"username": "bob", "groups": ["analysts"]},
    "admin": {"username": "admin", "admin": True},
    "service": {"username": "robot", "kind": "service"},
    "service of the owner's name": {"username": "alice", "kind": "service"},
    "owner's script": {"username": "alice", "groups": ["owners"], "is_owner": True},
    "guest's script": {"username": "bob", "groups": ["analysts"]},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("who", EXPECTED)
def test_everybody_is_themself(arrive: Callable[[str], Guest], kernel: str, who: str, way: str) -> None:
    """A cell sees each admitted user as the Hub knows them, with groups and nothing else of the Hub's."""
    user = WAYS[way](arrive(who).connect(kernel))["user"]
    names = {name: user.pop(name) for name in ("name", "display_name", "initials", "color")}
    assert user == {**ANYBODY, **EXPECTED[who], "assurance": "hub", "is_authenticated": True}
    assert names["name"] == user["username"]


def test_display_name_is_the_authenticators(hub: Hub, arrive: Callable[[str], Guest], kernel: str) -> None:
    """A name that the authenticator gives is seen, in the older mode too, where the server itself does not show it."""
    bob = arrive("guest")
    shown = "Bob of the Hub" if hub.extension else "bob"
    assert bob.get("/api/me").json()["identity"]["display_name"] == shown
    assert bob.connect(kernel).who()["user"]["display_name"] == "Bob of the Hub"


def test_token_counts_before_the_cookie(hub: Hub, kernel: str) -> None:
    """Alice's browser that presents bob's token is bob, and no cookie but a preference is told of either."""
    alice = hub.browser("alice").visit("alice")
    alice.http.cookies.update({"lang": "de", "mood": "good"})
    with_token = [("Authorization", f"token {hub.token('bob').value}")]
    seen = [alice.connect(kernel, headers=headers).who() for headers in ([], with_token)]
    assert [(each["user"]["username"], each["cookies"]) for each in seen] == [
        ("alice", {"lang": "de"}),
        ("bob", {"lang": "de"}),
    ]


STRANGERS: dict[str, Callable[[Hub], Guest]] = {
    "nobody": lambda hub: hub.browser().visit("alice"),
    "without a share": lambda hub: hub.browser("carol").visit("alice"),
    "a script without a share": lambda hub: hub.script(hub.token("carol").value, "alice"),
    "a token that is none": lambda hub: hub.script("made-up", "alice"),
    "a guest's token for other things": lambda hub: hub.script(
        hub.token("bob", "read:users:name!user=bob").value, "alice"
    ),
}


@in_one_mode
def test_service_of_a_users_name_has_a_state_of_its_own(hub: Hub, arrive: Callable[[str], Guest], kernel: str) -> None:
    """The owner finds in a script what she stored in her browser; the service that is called as she is does not."""
    count = "from jupyter_app_meta import visitor; print(visitor.state.add('visits'))"
    people = ("owner", "service of the owner's name", "owner's script", "guest")
    assert [arrive(who).connect(kernel).run(count).text for who in people] == ["1\n", "1\n", "2\n", "1\n"]


@pytest.mark.parametrize("who", STRANGERS)
def test_stranger_reaches_no_kernel(hub: Hub, arrive: Callable[[str], Guest], kernel: str, who: str) -> None:
    """Without a login or a share there is no page, no kernel and no connection, and a kernel hears nothing."""
    watching = arrive("owner").connect(kernel)
    before = len(json.loads(watching.run("print(json.dumps(heard))").text))
    stranger = STRANGERS[who](hub)
    assert not stranger.welcomed
    assert stranger.call("GET", "/api/kernels").status_code == httpx.codes.FORBIDDEN
    assert stranger.call("POST", "/api/kernels").status_code == httpx.codes.FORBIDDEN
    assert stranger.call("POST", f"/api/kernels/{kernel}/interrupt").status_code == httpx.codes.FORBIDDEN
    assert refusal(stranger, kernel) == httpx.codes.FORBIDDEN
    heard = json.loads(watching.run("print(json.dumps(heard))").text)
    assert heard[before:] == ["execute_request"]


def refusal(guest: Guest, kernel: str) -> int:
    """Return the status with which a connection is refused, 101 where it is not."""
    try:
        guest.connect(kernel).close()
    except websocket.WebSocketBadStatusException as error:
        return int(error.status_code)
    return httpx.codes.SWITCHING_PROTOCOLS


# --- many people in one kernel ----------------------------------------------------------------------------------------


@in_one_mode
def test_people_in_one_kernel_at_once(arrive: Callable[[str], Guest], kernel: str) -> None:
    """The owner, a guest, a service of the owner's name and a script work in one kernel, in turns and at once."""
    chance, people = random.Random(7), ("owner", "guest", "service of the owner's name", "guest's script")
    sockets = {(who, format): arrive(who).connect(kernel, format=format) for who in people for format in FORMATS}

    def work(who: str, rounds: int) -> None:
        for _ in range(rounds):
            user = chance.choice(list(WAYS.values()))(sockets[who, chance.choice(FORMATS)])["user"]
            assert {name: user[name] for name in ("username", *ANYBODY)} == {**ANYBODY, **EXPECTED[who]}

    for _ in range(40):
        work(chance.choice(people), 1)
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(work, who, 20) for who in people]:
            done.result()


@in_one_mode
def test_guest_forges_the_owner(arrive: Callable[[str], Guest], kernel: str) -> None:
    """Bob presents alice's stamp, username, session and session_id in her own kernel: each stays who they are."""
    hers = arrive("owner").connect(kernel, "the-session-of-alice")
    code = "import json; print(json.dumps(get_ipython().kernel.get_parent()['metadata']['app_meta']))"
    stamp = json.loads(hers.run(code).text)
    assert "alice" in stamp["payload"]
    claims = {"username": "alice", "session": hers.session_id}
    for format in FORMATS:
        his = arrive("guest").connect(kernel, hers.session_id, format=format)
        twice = f'{{"app_meta": {json.dumps(stamp)}, "\\u0061pp_meta": {json.dumps(stamp)}}}'
        for forged in ({"metadata": {"app_meta": stamp}}, {"raw_metadata": twice}):
            assert his.who(**forged, **claims)["user"]["username"] == "bob"
    assert hers.who()["user"]["username"] == "alice"


@in_one_mode
@pytest.mark.parametrize("newcomer", ["owner", "guest", "service of the owner's name"])
def test_buffered_output_is_its_owners(hub: Hub, arrive: Callable[[str], Guest], tmp_path: Path, newcomer: str) -> None:
    """What was printed while alice's connection was broken reaches only her, even if others present her session_id."""
    alice, session, go = arrive("owner"), "the-lost-session", tmp_path / "go"
    kernel = alice.start_kernel()

    def model() -> Json:
        found: Json = alice.get(f"/api/kernels/{kernel}").json()
        return found

    hers = alice.connect(kernel, session)
    code = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\nprint('for alice only')"
    hers.send(hers.message("execute_request", {"code": code, "silent": False}))
    hers.until(lambda message: message["header"]["msg_type"] == "execute_input")
    hers.close()
    hub.wait(lambda: (model()["connections"], model()["execution_state"]) == (0, "busy"), "the end of the connection")
    go.touch()
    hub.wait(lambda: model()["execution_state"] == "idle", "the end of the cell")
    socket = arrive(newcomer).connect(kernel, session)
    socket.run("1")
    texts = [message["content"].get("text") for message in socket.seen]
    assert ("for alice only\n" in texts) is (newcomer == "owner")


# --- what is withheld -------------------------------------------------------------------------------------------------

SHOW = """
import json
from jupyter_app_meta import app_meta
from IPython.display import display
m = app_meta()
display(m, m.request, m.request.headers, m.request.cookies, m.request.query_params, m.request.url, m.user)
print(repr(m), str(m.request), m.request.headers.items(), dict(m.request.cookies), dict(m.session))
print(str(m.request.url), dict(m.request.query_params), m.request.base_url, m.request.meta)
print(json.dumps(dict(m.user)), m.request.redacted, m.request.truncated)
"""
CELLS = (SHOW, "%app_meta", "%app_meta --json", "%app_meta user", "%app_meta cookies", "%app_meta headers")
VISITORS: dict[str, Callable[[Hub], Guest]] = {
    "owner": lambda hub: hub.browser("carol").visit("carol"),
    "guest": lambda hub: hub.browser("alice").visit("carol"),
    "owner's script": lambda hub: hub.script(hub.token("carol").value, "carol"),
    "guest's script": lambda hub: hub.script(hub.token("alice").value, "carol"),
}


@pytest.mark.parametrize("who", VISITORS)
def test_nothing_secret_of_the_hub_is_seen(hub: Hub, who: str) -> None:
    """Scopes, ids, auth_state, tokens and login cookies never cross, though the deployer opens ``*``."""
    _, carol = (hub.browser(name) for name in ("alice", "carol"))  # the Hub keeps an auth_state of who logged in
    kernel = carol.visit("carol").start_kernel()
    guest = VISITORS[who](hub)
    guest.http.cookies.set("theme", "dark")
    token = api_token(guest)
    secrets = secrets_of(hub, guest, token)
    query = f"&token={token}&_xsrf=xsrf-in-a-query&region=emea"
    headers = [("X-XSRFToken", "xsrf-in-a-header"), ("X-Theme", "light")]
    socket = guest.connect(kernel, query=query, headers=headers)
    output = "".join(str(socket.run(code).messages) for code in CELLS)
    for harmless in ("dark", "light", "emea", "query.token", "headers.x-xsrftoken"):
        assert harmless in output
    assert [secret for secret in secrets if secret in output] == []


def api_token(guest: Guest) -> str:
    """Return the token of a script, or the one in a browser's login cookie."""
    if guest.headers:
        return str(dict(guest.headers)["Authorization"].split()[1])
    (signed,) = (cookie.value or "" for cookie in guest.jar if cookie.name.startswith("jupyterhub-user-"))
    return base64.b64decode(signed.split("|")[4].partition(":")[2]).decode()


def secrets_of(hub: Hub, guest: Guest, token: str) -> list[str]:
    """Return what the Hub knows of a visitor and the visitor presents, but for what cells may see."""
    model = hub.api("GET", "/user", token=token)
    assert {"scopes", "token_id", "session_id", "auth_state"} <= set(model)
    assert hub.canary in json.dumps(hub.api("GET", f"/users/{model['name']}"))
    cookies = [cookie.value or "" for cookie in guest.jar if cookie.name != "theme"]
    known = [hub.canary, *model["scopes"], *([model["session_id"]] if model["session_id"] else [])]
    return [token, *known, *cookies, "token_id", "auth_state", "'scopes", '"scopes', "xsrf-in-a"]


def test_cookies_of_everybody_need_to_be_named(hub: Hub, arrive: Callable[[str], Guest], kernel: str) -> None:
    """Only well-known preferences are seen and what ``cookies_allow`` names, of the owner too on her own server."""
    mine = {"theme": "dark", "flavour": "mint", "access_token": "a-credential"}
    seen = {}
    for who, come in CLIENTS.items():
        guest = come(hub)
        for name, value in mine.items():
            guest.http.cookies.set(name, value)
        seen[who] = guest.connect(kernel).who()
        assert "cookies.access_token" in seen[who]["redacted"]
    assert [who for who, each in seen.items() if each["cookies"] != {"theme": "dark"}] == []
    assert [who for who, each in seen.items() if "cookies.flavour" not in each["redacted"]] == []


def test_no_option_opens_a_cookie_of_the_hub(hub: Hub) -> None:
    """``unsafe_cookies`` refuses the name of every cookie that a browser has after its login to two servers."""
    browser = hub.browser("alice")
    assert browser.visit("alice").welcomed and browser.visit("carol").welcomed
    names = {cookie.name for cookie in browser.jar}
    assert names >= {"_xsrf", "jupyterhub-session-id", "jupyterhub-hub-login", "jupyterhub-user-alice"}
    for name in names:
        with pytest.raises(PolicyError):
            Policy.of(unsafe_cookies=[name])


# --- logins that end --------------------------------------------------------------------------------------------------


def test_next_login_in_the_same_browser_is_the_next_person(hub: Hub, kernel: str) -> None:
    """Alice logs out and bob logs in, in one browser: new connections are bob's, and in between there are none."""
    browser = hub.browser("alice")
    guest = browser.visit("alice")
    first = guest.connect(kernel)
    browser.log_out()
    assert refusal(guest, kernel) == httpx.codes.FORBIDDEN
    browser.log_in("bob")
    assert refusal(guest, kernel) == httpx.codes.FORBIDDEN
    assert browser.visit("alice").welcomed
    assert guest.connect(kernel).who()["user"]["username"] == "bob"
    assert first.who()["user"]["username"] == "alice"


def test_revoked_share_ends_with_the_servers_cache(hub: Hub, kernel: str) -> None:
    """Once her share is revoked carol is refused within ``cache_max_age``; a connection that is open stays hers."""
    hub.share("alice", "carol")
    carol = hub.browser("carol").visit("alice")
    socket = carol.connect(kernel)
    assert socket.who()["user"]["username"] == "carol"
    hub.unshare("alice", "carol")
    hub.wait(lambda: refusal(carol, kernel) == httpx.codes.FORBIDDEN, "a refusal")  # by default it takes 300 s
    assert socket.who()["user"]["username"] == "carol"


def test_deleted_token_ends_with_the_servers_cache(hub: Hub, kernel: str) -> None:
    """Once her token is deleted alice's script is refused within ``cache_max_age``; its open connection stays hers."""
    token = hub.token("alice")
    script = hub.script(token.value, "alice")
    socket = script.connect(kernel)
    assert socket.who()["user"]["is_owner"] is True
    hub.revoke("alice", token)
    hub.wait(lambda: refusal(script, kernel) == httpx.codes.FORBIDDEN, "a refusal")  # by default it takes 300 s
    assert socket.who()["user"]["is_owner"] is True


# --- restarts ---------------------------------------------------------------------------------------------------------


def test_hub_restarts_in_the_middle_of_a_session(hub: Hub, arrive: Callable[[str], Guest], kernel: str) -> None:
    """Without the Hub open connections work, and new ones are refused at the latest when the cache is over."""
    alice, bob = arrive("owner"), arrive("guest")
    hers, his = alice.connect(kernel), bob.connect(kernel)
    hub.stop_hub()
    hub.wait(lambda: refusal(bob, kernel) != httpx.codes.SWITCHING_PROTOCOLS, "a refusal")
    assert [socket.who()["user"]["username"] for socket in (hers, his)] == ["alice", "bob"]
    hub.start_hub()
    assert [socket.who()["user"]["username"] for socket in (hers, his)] == ["alice", "bob"]
    assert [guest.connect(kernel).who()["user"]["username"] for guest in (alice, bob)] == ["alice", "bob"]
    assert hub.browser("bob").visit("alice").connect(kernel).who()["user"]["groups"] == ["analysts"]


def test_server_restarts_beside_its_kernel(hub: Hub) -> None:
    """A kernel that runs outside of carol's server outlives it, and knows its visitors through the next one."""
    carol = hub.browser("carol").visit("carol")
    started = kernels(carol)
    connection_file = hub.home / "home" / "carol" / "kernels" / "kernel-by-hand.json"
    connection_file.parent.mkdir()
    hub.run([sys.executable, "-m", "ipykernel_launcher", "-f", str(connection_file), "--ext=jupyter_app_meta"])
    hub.wait(lambda: kernels(carol) > started, "the kernel")
    (kernel,) = kernels(carol) - started
    assert carol.connect(kernel).run("x = 42").text == ""
    assert seen_in(hub, kernel) == [("carol", True), ("alice", False)]
    hub.stop_server("carol")
    hub.start_server("carol")
    carol = hub.browser("carol").visit("carol")
    (kernel,) = kernels(carol)
    assert carol.connect(kernel).run("print(x)").text == "42\n"
    assert seen_in(hub, kernel) == [("carol", True), ("alice", False)]


def kernels(guest: Guest) -> set[str]:
    """Return the ids of the kernels that a server knows."""
    return {kernel["id"] for kernel in guest.get("/api/kernels").json()}


def seen_in(hub: Hub, kernel: str) -> list[tuple[str, bool]]:
    """Return whom a kernel of carol's server sees when she and alice run a cell."""
    users = [hub.browser(name).visit("carol").connect(kernel).who()["user"] for name in ("carol", "alice")]
    return [(user["username"], user["is_owner"]) for user in users]
