"""Dashboards on a Hub, by the very configuration of the documentation: a service of the Hub's, and a user's server."""

from __future__ import annotations

import re
import secrets
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import websocket
from harness import Server
from ready import ready_hub
from stage import SLIDER, WHO, Opened, move, write

from hub import Guest, Hub

FACTS = """from jupyter_app_meta import app_meta
import os
u = app_meta().user
print(f"<{u.username}|{u.kind}|{u.assurance}|{sorted(u.groups)}|{u.is_owner}|{u.is_authenticated}>")
print(f"<cookies {dict(app_meta().cookies)}> <token {os.environ.get('JUPYTERHUB_API_TOKEN')}>")"""

COUNTS = """from jupyter_app_meta import shared, visitor
print(f"<visits {visitor.state.add('visits')} of {shared.state.add('visits')}>")
print(f"<environment {[name for name in os.environ if 'STATE_' in name or 'COOKIE_SECRET' in name]}>")"""

VOILA = 'c.ServerApp.jpserver_extensions["voila.server_extension"] = True\n'


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub with the ready configuration."""
    home = tmp_path_factory.mktemp("hub")
    with ready_hub(home, FACTS, WHO, SLIDER, COUNTS, config=VOILA) as hub:
        write(home / "home" / "alice" / "sales.ipynb", FACTS, WHO, SLIDER, COUNTS)
        yield hub


def service(hub: Hub) -> Server:
    """Return the service of dashboards, as its visitors reach it."""
    assert hub.process is not None
    server = Server(hub.home, f"{hub.url}services/dashboards/", hub.process, token="")
    server.closing = hub.closing
    return server


def visitor(hub: Hub, name: str) -> Guest:
    """Return a person's browser on the service."""
    return Guest(service(hub), jar=hub.browser(name).jar)


def look(guest: Guest, path: str, **query: str) -> Opened:
    """Open a page."""
    return Opened(guest, guest.get(path, params=query))


def script(hub: Hub, token: str) -> Guest:
    """Return a client of the service without cookies that presents an API token."""
    return Guest(service(hub), headers={"Authorization": f"token {token}"})


def test_visitor_logs_in_at_the_hub(hub: Hub) -> None:
    """One is led to the Hub and back to the page and its query, and the page knows who the Hub says they are."""
    opened = look(visitor(hub, "bob"), "sales", region="emea")
    assert opened.response.status_code == 200, opened.html
    assert "<bob|user|hub|['analysts']|None|True>" in opened.html
    assert "<bob|{'region': 'emea'}|{'name': 'sales'}|run>" in opened.html
    assert move(opened.connect(), opened, 3).startswith("bob|{'region': 'emea'}|")
    assert opened.close().status_code == 204


def test_group_decides(hub: Hub) -> None:
    """A user without the right group sees neither a page, nor its link, nor the kernel of a user who may."""
    bob, carol = visitor(hub, "bob"), visitor(hub, "carol")
    opened = look(bob, "sales")
    assert look(carol, "sales").response.status_code == 403
    assert "<carol|user|hub|[]|None|True>" in look(carol, "public").html
    assert ("dashboards/sales" in bob.get("").text, "dashboards/sales" in carol.get("").text) == (True, False)
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        carol.connect(opened.kernel_id)
    assert carol.http.post(f"voila/api/shutdown/{opened.kernel_id}").status_code == 403
    assert move(opened.connect(), opened, 4).startswith("bob|")


def test_only_named_cookies_reach_a_page(hub: Hub) -> None:
    """Neither the Hub's cookies nor the service's own, and no token of the Hub's in the kernel's environment."""
    alice = visitor(hub, "alice")
    for name in ("theme", "other"):
        alice.http.cookies.set(name, "dark", domain="127.0.0.1", path="/services/dashboards/")
    opened = look(alice, "public")
    assert {"service-dashboards", "jupyterhub-session-id"} <= {cookie.name for cookie in alice.jar}
    assert "<cookies {'theme': 'dark'}> <token None>" in opened.html


def test_nobody_is_let_in_without_the_hub(hub: Hub) -> None:
    """A stranger sees the Hub's login, a token the Hub does not know is refused, and so is one without the scope."""
    assert Guest(service(hub)).get("public").url.path == "/hub/login"
    known = {
        "made-up": script(hub, "made-up"),
        "narrow": script(hub, hub.token("bob", "read:users:name!user").value),
        "service": script(hub, hub.tokens["alice"]),
    }
    found = {name: client.http.get("public", follow_redirects=False).status_code for name, client in known.items()}
    assert found == {"made-up": 302, "narrow": 403, "service": 403}


def test_script_with_a_token_is_its_user(hub: Hub) -> None:
    """An API token of a user opens pages as this user, without any cookie."""
    opened = look(script(hub, hub.token("bob").value), "sales")
    assert "<bob|user|hub|['analysts']|None|True>" in opened.html
    assert move(opened.connect(), opened, 5).startswith("bob|")
    assert opened.visitor.http.delete(f"api/kernels/{opened.kernel_id}").status_code == 204


def test_pages_of_two_at_the_same_moment(hub: Hub) -> None:
    """Each sees their own page, and their callbacks are their own."""
    guests = [visitor(hub, name) for name in ("alice", "bob", "carol")]
    with ThreadPoolExecutor(3) as pool:
        opened = list(pool.map(lambda guest: look(guest, "public", mark="1"), guests))
    for name, page in zip(("alice", "bob", "carol"), opened, strict=True):
        assert set(re.findall(r"<(\w+)\|", page.html)) == {name}
        assert move(page.connect(), page, 6).startswith(f"{name}|{{'mark': '1'}}|")


def test_pages_are_framed_by_nobody(hub: Hub) -> None:
    """All servers of a Hub have one origin: a script in another's page could read a frame of this one."""
    opened = look(visitor(hub, "bob"), "public")
    assert opened.response.headers["Content-Security-Policy"] == "frame-ancestors 'none'"


def test_no_credential_is_logged(hub: Hub) -> None:
    """Neither a token in an address that is refused, nor a login's code, nor what a stranger writes as its error."""
    before = len(hub.log)
    narrow = script(hub, hub.token("bob", "read:users:name!user").value)
    assert narrow.get("public?token=CANARY&region=emea").status_code == 403
    for query in ("code=CANARY&state=stale", "error=x&error_description=%0aforged%20line"):
        assert narrow.get(f"oauth_callback?{query}").status_code in (400, 403)
    log = "\n".join(line for line in hub.log[before:].splitlines() if "[ConfigProxy]" not in line)
    assert "403 GET /services/dashboards/public?region=emea" in log
    assert "A login failed" in log and "CANARY" not in log and "\nforged line" not in log


def test_stranger_makes_nobody_wait_for_the_hub(hub: Hub) -> None:
    """While the Hub is slow to say who a stranger is, others are served."""
    assert hub.process is not None
    stranger, other = script(hub, secrets.token_hex()), Guest(service(hub))
    hub.process.send_signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(stranger.get, "oauth_callback?code=x&state=y")
            for _ in range(10):
                assert other.http.get("public", follow_redirects=False).status_code == 302
            assert not asked.done()
            hub.process.send_signal(signal.SIGCONT)
            assert asked.result(30).status_code == 403
    finally:
        hub.process.send_signal(signal.SIGCONT)


def test_ending_a_kernel_needs_the_pages_own_token(hub: Hub) -> None:
    """The script of a page shows the XSRF token that it was given; without it nothing is ended."""
    bob = visitor(hub, "bob")
    opened = look(bob, "public")
    kernel = f"api/kernels/{opened.kernel_id}"
    assert bob.http.delete(kernel).status_code == 403
    assert bob.get(kernel, headers={"Sec-Fetch-Mode": "cors"}).status_code == 403
    assert bob.call("GET", kernel, headers={"Sec-Fetch-Mode": "cors"}).json()["id"] == opened.kernel_id
    assert bob.call("DELETE", kernel).status_code == 204


def test_another_person_in_the_same_browser(hub: Hub) -> None:
    """After a logout and another login the next page is the other person's, and the first one's kernel is not."""
    browser = hub.browser("bob")
    first = look(Guest(service(hub), jar=browser.jar), "sales")
    assert "<bob|" in first.html
    first.visitor.get("logout")
    browser.log_in("carol")
    second = Guest(service(hub), jar=browser.jar)
    assert "<carol|" in look(second, "public").html
    assert look(second, "sales").response.status_code == 403
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        second.connect(first.kernel_id)


@pytest.fixture(scope="module")
def alices(hub: Hub) -> None:
    """Alice's own server, which she shares with bob."""
    hub.start_server("alice")
    hub.share("alice", "bob")


def test_a_users_server_has_a_state_of_its_own(hub: Hub, alices: None) -> None:
    """What the service stores for alice is not found in her server, nor in reach of bob, with whom she shares it.

    Her server has neither the address of the service's store nor what opens it: each has a file for its account alone.
    """
    alice = look(visitor(hub, "alice"), "public").html
    again = look(visitor(hub, "alice"), "public").html
    counted = [re.findall(r"<visits (\d+) of (\d+)>", page)[0] for page in (alice, again)]
    assert int(counted[1][0]) == int(counted[0][0]) + 1 and int(counted[1][1]) == int(counted[0][1]) + 1
    owned = look(hub.browser("alice").visit("alice"), "voila/render/sales.ipynb").html
    shared = look(hub.browser("bob").visit("alice"), "voila/render/sales.ipynb").html
    own, guest = (re.findall(r"<visits (\d+) of (\d+)>", page)[0] for page in (owned, shared))
    assert (own, guest) == (("1", "1"), ("1", "2"))
    assert [re.findall("<environment (.*)>", page) for page in (owned, alice)] == [["[]"], ["[]"]]
    stores = sorted(hub.home.rglob("app-meta/state.db"))
    assert len(stores) >= 2
    assert {path.stat().st_mode & 0o777 for path in stores} == {0o600}
    assert {path.parent.stat().st_mode & 0o777 for path in stores} == {0o700}


def test_dashboard_in_a_users_server(hub: Hub, alices: None) -> None:
    """Voila in alice's server shows alice to alice, and bob to bob with whom she shares it, in callbacks too."""
    for name, owner in (("alice", True), ("bob", False)):
        guest = hub.browser(name).visit("alice")
        guest.http.cookies.set("theme", name, domain="127.0.0.1", path="/user/alice/")
        opened = look(guest, "voila/render/sales.ipynb", region=name)
        assert f"<{name}|user|hub|" in opened.html and f"|{owner}|True>" in opened.html
        assert f"<{name}|{{'region': '{name}'}}|" in opened.html
        assert f"<cookies {{'theme': '{name}'}}>" in opened.html
        assert move(opened.connect(), opened, 7).startswith(f"{name}|{{'region': '{name}'}}|")
