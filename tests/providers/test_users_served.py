"""``--users`` over HTTP: dashboards and a Jupyter server whose visitors log in by a form."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import websocket
from harness import Server, serving
from stage import WHO, eventually, served, serving_folder, write
from tornado import web

from jupyter_app_meta.dashboards import Builder, create_app
from jupyter_app_meta.providers import UsersIdentityProvider
from jupyter_app_meta.providers.attempts import Attempts, Limits
from jupyter_app_meta.providers.handlers import Refusal
from jupyter_app_meta.providers.identified import Session
from jupyter_app_meta.providers.users import editing, passwords
from jupyter_app_meta.state.stores.base import Where
from jupyter_app_meta.state.stores.open import open_store

PASSWORD = "correct horse"
HASH = passwords.hashed(PASSWORD)


def people(folder: Path) -> Path:
    """Write a file with alice of sales and bob."""
    path = folder / "people.toml"
    path.write_text(f'[alice]\npassword = "{HASH}"\ndisplay_name = "Alice Example"\ngroups = ["sales"]\n')
    path.chmod(0o600)
    editing.set_password(path, "bob", HASH)
    return path


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A browser of a server below ``/apps/``, with one page that is for sales."""
    config = {"UsersIdentityProvider": {"file": str(people(tmp_path))}}
    builder = create_app(identity_provider=UsersIdentityProvider, base_url="/apps/", config=config)
    builder = builder.with_app(
        path="/sales", root=write(tmp_path / "sales.ipynb", "1"), authorize=lambda user, request: "sales" in user.groups
    )
    async with served(builder.with_index()) as client:
        yield client


async def log_in(client: httpx.AsyncClient, name: str, password: str = PASSWORD, wanted: str = "") -> httpx.Response:
    """Fill in the form."""
    form = await client.get("/apps/login", params={"next": wanted})
    assert form.status_code == 200 and form.headers["Cache-Control"] == "no-store"
    fields = dict(re.findall(r'name="(_xsrf|next)" value="(.*?)"', form.text))
    return await client.post("/apps/login", data={"username": name, "password": password, **fields})


async def test_visitor_logs_in_and_comes_to_the_page(client: httpx.AsyncClient) -> None:
    """A page leads to the login, which leads back; the groups of the file are the user's."""
    asked = await client.get("/apps/sales?region=emea")
    assert asked.status_code == 302 and asked.headers["Location"].startswith("/apps/login?next=%2Fapps%2Fsales")
    answer = await log_in(client, "alice", wanted="/apps/sales?region=emea")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/apps/sales?region=emea")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/apps/" in cookie
    assert (await client.head("/apps/sales")).status_code == 200
    assert "Alice Example" in (await client.get("/apps/")).text


async def test_group_is_missing(client: httpx.AsyncClient) -> None:
    """Bob is logged in, and is not of sales."""
    await log_in(client, "bob")
    assert (await client.head("/apps/sales")).status_code == 403


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong"), ("mallory", PASSWORD), ("alice", ""), ("", "")])
async def test_wrong_login_tells_nothing(client: httpx.AsyncClient, name: str, password: str) -> None:
    """An unknown name and a wrong password are answered alike, and no cookie is set."""
    answer = await log_in(client, name, password)
    assert answer.status_code == 401 and "The name or the password is wrong." in answer.text
    assert "username-app-meta" not in answer.headers.get("Set-Cookie", "")


async def test_login_of_another_site_is_refused(client: httpx.AsyncClient) -> None:
    """Without the token of the form there is no login."""
    answer = await client.post("/apps/login", data={"username": "alice", "password": PASSWORD})
    assert answer.status_code == 403 and "username-app-meta" not in answer.headers.get("Set-Cookie", "")


async def test_login_never_leads_to_another_site(client: httpx.AsyncClient) -> None:
    """A forged address leads to the start page."""
    answer = await log_in(client, "alice", wanted="//evil.example/apps/")
    assert answer.headers["Location"] == "/apps/"


async def test_guesses_are_limited(tmp_path: Path) -> None:
    """After too many guesses the right password must wait as well; another name need not."""
    provider = UsersIdentityProvider(file=str(people(tmp_path)))
    provider.limits = Limits(by_name=Attempts(burst=3, pause=3600), by_address=Attempts(burst=5, pause=3600))
    for _ in range(3):
        await refused(provider, "alice", "guess")
    await refused(provider, "alice", PASSWORD, 429)
    assert (await provider.log_in("bob", PASSWORD, "here")).username == "bob"
    await refused(provider, "mallory", "guess")
    await refused(provider, "bob", PASSWORD, 429)
    assert (await provider.log_in("bob", PASSWORD, "elsewhere")).username == "bob"


async def test_logout_counts_on_each_server(tmp_path: Path) -> None:
    """A session that ended on one of two servers is over on the other."""
    options = {"file": str(people(tmp_path))}
    state = {"state_url": f"sqlite:///{tmp_path}/state.db"}
    config = {"UsersIdentityProvider": options, "AppMetaExtension": state}
    page = write(tmp_path / "page.ipynb", "1")

    def server(name: str) -> Builder:
        made = create_app(identity_provider=UsersIdentityProvider, base_url="/apps/", server_id=name, config=config)
        return made.with_app(path="/page", root=page).with_index()

    async with served(server("aaaa")) as here, served(server("bbbb")) as there:
        assert (await log_in(here, "alice")).status_code == 303
        there.cookies.update(here.cookies)
        assert (await there.get("/apps/")).status_code == 200
        await here.post("/apps/logout", data={"_xsrf": here.cookies["_xsrf"]})
        async with asyncio.timeout(60):
            while (await there.get("/apps/")).status_code == 200:  # it is the user's question
                await asyncio.sleep(0.05)
        assert (await there.get("/apps/")).headers["Location"].startswith("/apps/login")
    store = open_store(f"sqlite:///{tmp_path}/state.db")
    [row] = store.export(Where("logouts"))
    store.close()
    assert row.expires and abs(row.expires - json.loads(row.text)) < 60


async def test_strangers_lock_no_user_out(client: httpx.AsyncClient) -> None:
    """After strangers used up all attempts of a name, its user still logs in where the user has logged in before."""
    assert (await log_in(client, "alice")).status_code == 303
    async with httpx.AsyncClient(base_url=client.base_url) as stranger:
        answers = [(await log_in(stranger, "alice", "guess")).status_code for _ in range(11)]
        assert answers == [401] * 10 + [429]
    client.cookies.delete(next(name for name in client.cookies if name.startswith("username-")))
    for name, password, status in (("alice", "guess", 401), ("alice", PASSWORD, 303)):
        assert (await log_in(client, name, password)).status_code == status


def test_a_user_who_logs_in_too_often_waits(tmp_path: Path) -> None:
    """Each session that ends is remembered, so no user may begin them without end."""
    provider, told = UsersIdentityProvider(file=str(people(tmp_path))), dict[str, str]()
    user = provider.user_of(Session.begin("alice", 60, passwords.mark(HASH)))
    assert user
    handler: Any = SimpleNamespace(
        current_user=None,
        base_url="/",
        request=SimpleNamespace(protocol="http", host="here"),
        set_header=told.__setitem__,
        set_secure_cookie=lambda *_, **__: None,
    )
    for _ in range(100):
        provider.begin(handler, user)
    with pytest.raises(web.HTTPError) as caught:
        provider.begin(handler, user)
    assert caught.value.status_code == 429 and int(told["Retry-After"]) > 0


async def refused(provider: UsersIdentityProvider, name: str, password: str, status: int = 401) -> None:
    """Expect that a login from one address is refused."""
    with pytest.raises(Refusal) as caught:
        await provider.log_in(name, password, "here")
    assert caught.value.status == status and bool(caught.value.retry_after) == (status == 429)


async def test_session_ends_with_logout_and_with_the_account(client: httpx.AsyncClient, tmp_path: Path) -> None:
    """A kept copy of the cookie is worth nothing after a logout, a new password or the end of the account."""
    path = tmp_path / "people.toml"

    async def ends(end: str) -> None:
        await log_in(client, "alice")
        kept = dict(client.cookies)
        assert (await client.get("/apps/")).status_code == 200
        if end == "logout":
            token = client.cookies["_xsrf"]
            assert "You are logged out" in (await client.post("/apps/logout", data={"_xsrf": token})).text
            client.cookies.update(kept)
        elif end == "password":
            editing.set_password(path, "alice", passwords.hashed(PASSWORD))
        else:
            path.write_text("[bob]\n")
        assert (await client.get("/apps/")).status_code == 302
        client.cookies.clear()

    for end in ("logout", "password", "account"):
        await ends(end)


def test_session_has_a_length(tmp_path: Path) -> None:
    """An old session names no visitor, even if a browser kept its cookie."""
    provider = UsersIdentityProvider(file=str(people(tmp_path)))
    now = Session.begin("alice", 60, passwords.mark(HASH))
    assert provider.is_current(provider.user_of(now))
    assert not provider.is_current(provider.user_of(replace(now, until=time.time() - 1)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``serve --users``, where pages need no login by themselves."""
    home = tmp_path_factory.mktemp("users")
    people(home)
    write(home / "root" / "who.ipynb", f"{WHO}\nprint(f'[{{m.login_url}}|{{m.logout_url}}]')")
    write(home / "root" / "members.ipynb", "from jupyter_app_meta import app_meta\napp_meta().require_user()")
    options = ("--users", str(home / "people.toml"), "--UsersIdentityProvider.login_required=False")
    with serving_folder(home, *options) as server:
        yield server


def log_in_at(server: Server, name: str) -> httpx.Client:
    """Return a browser of this user."""
    browser = server.visitor(token=False).http
    token = re.search(r'name="_xsrf" value="(.*?)"', browser.get("login").text)
    assert token
    answer = browser.post("login", data={"username": name, "password": PASSWORD, "_xsrf": token[1]})
    assert answer.url.path == "/"
    return browser


def test_stranger_is_led_to_the_login_by_require_user(server: Server) -> None:
    """Where pages need no login, a cell may ask for one; a stranger is not authenticated."""
    stranger = server.visitor(token=False).http
    page = stranger.get("who?x=1").text
    assert "[/login?next=%2Fwho%3Fx%3D1|/logout]" in page
    assert re.search(r"visitor-\S+\|", page) and "Traceback" not in page
    assert "login?next=%2Fmembers" in stranger.get("members").text


def test_logout_ends_the_pages_of_this_user_alone(server: Server) -> None:
    """Sockets of alice's pages are closed; bob's page stays."""
    sockets = []
    for name in ("alice", "bob"):
        browser = log_in_at(server, name)
        page = browser.get("who").text
        assert f"{name}|" in page.replace("&lt;", "<")
        kernel = re.search(r'"kernelId": "([0-9a-f-]{36})"', page)
        assert kernel
        cookies = "; ".join(f"{c.name}={c.value}" for c in browser.cookies.jar)
        url = f"{server.url.replace('http', 'ws', 1)}api/kernels/{kernel[1]}/channels"
        sockets.append(
            (browser, websocket.create_connection(url, cookie=cookies, origin=server.url.rstrip("/"), timeout=60))
        )
    (alice, hers), (bob, his) = sockets
    alice.post("logout", data={"_xsrf": alice.cookies["_xsrf"]})
    eventually(lambda: not hers.connected or hers.recv_frame().opcode == websocket.ABNF.OPCODE_CLOSE)
    his.ping()
    assert his.connected and bob.get("").status_code == 200
    his.close()
    hers.shutdown()


def test_next_user_of_a_browser_ends_the_session_of_the_one_before(server: Server) -> None:
    """Bob logs in where alice was: a copy of alice's cookie is worth nothing from then on."""
    browser = log_in_at(server, "alice")
    copy = dict(browser.cookies)
    token = re.search(r'name="_xsrf" value="(.*?)"', browser.get("logout").text)
    assert token and "alice|" in browser.get("who").text
    browser.post("login", data={"username": "bob", "password": PASSWORD, "_xsrf": token[1]})
    assert "bob|" in browser.get("who").text
    assert "alice|" not in server.visitor(cookies=copy, token=False).http.get("who").text


def test_account_that_is_gone_loses_its_sockets(server: Server) -> None:
    """An open page of a user whose account ends is cut off."""
    path = server.home / "people.toml"
    editing.set_password(path, "carol", HASH)
    browser = log_in_at(server, "carol")
    kernel = re.search(r'"kernelId": "([0-9a-f-]{36})"', browser.get("who").text)
    assert kernel
    cookies = "; ".join(f"{c.name}={c.value}" for c in browser.cookies.jar)
    url = f"{server.url.replace('http', 'ws', 1)}api/kernels/{kernel[1]}/channels"
    socket = websocket.create_connection(url, cookie=cookies, origin=server.url.rstrip("/"), timeout=60)
    path.write_text(path.read_text().replace("[carol]", "[dora]"))
    eventually(lambda: socket.recv_frame().opcode == websocket.ABNF.OPCODE_CLOSE)
    socket.shutdown()


def test_jupyter_server_takes_the_same_provider(tmp_path: Path) -> None:
    """JupyterLab's server knows its users by the same file, and its logout ends the session."""
    config = (
        "c.ServerApp.identity_provider_class = 'jupyter_app_meta.providers.UsersIdentityProvider'\n"
        f"c.UsersIdentityProvider.file = {str(people(tmp_path))!r}\n"
    )
    with serving(tmp_path, config=config, token="") as server:
        visitor = server.visitor(token=False)
        assert visitor.get("api/me").status_code == 403
        browser = visitor.http
        token = re.search(r'name="_xsrf" value="(.*?)"', browser.get("login").text)
        assert token
        browser.post(
            "login", data={"username": "alice", "password": PASSWORD, "_xsrf": token[1]}, follow_redirects=False
        )
        me = browser.get("api/me").json()["identity"]
        assert me["username"] == "alice" and "session" not in me and "key" not in me
        kernel = visitor.start_kernel()
        socket = visitor.connect(kernel)
        assert socket.who()["user"]["username"] == "alice"
        kept = dict(browser.cookies)
        elsewhere = browser.get("logout", headers={"Sec-Fetch-Site": "cross-site"})
        assert "Log out?" in elsewhere.text and visitor.get("api/me").status_code == 200
        assert "Log out?" in browser.get("logout").text  # without a word of where the link was
        own = {"Referer": f"{server.url}lab"}
        assert "You are logged out" in browser.get("logout", headers=own).text
        browser.cookies.update(kept)
        assert visitor.get("api/me").status_code == 403
        with pytest.raises(ConnectionError, match="not logged in"):
            deque(iter(socket.receive, None), maxlen=0)
