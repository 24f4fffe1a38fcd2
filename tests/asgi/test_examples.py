"""The examples: each is started as its guide says, in a real uvicorn, and used as a reader would use it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import websocket
from browsing import PATIENCE, Tab
from harness import Server, Visitor, free_port, launched, without_others
from playwright.sync_api import Browser, Page, expect
from stage import browse, eventually, kernel_process, kernels

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PASSWORDS = {"alice": "wonderland", "bob": "builder"}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The application of the tutorial, started by its command."""
    home, port = tmp_path_factory.mktemp("fastapi"), free_port()
    (home / "root").mkdir()
    argv = [
        "-m",
        "uvicorn",
        "main:app",
        "--app-dir",
        str(EXAMPLES / "fastapi"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with launched(home, argv, f"http://127.0.0.1:{port}/") as server:
        yield server


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """JupyterLab inside FastAPI."""
    home, port = tmp_path_factory.mktemp("lab"), free_port()
    (home / "root").mkdir()
    env = {"LAB_PASSWORDS": json.dumps(PASSWORDS), "JUPYTER_CONFIG_PATH": str(without_others(home))}
    argv = [str(EXAMPLES / "jupyterlab" / "main.py"), str(port)]
    with launched(home, argv, f"http://127.0.0.1:{port}/", env=env) as server:
        yield server


def logged_in(server: Server, person: str, place: str = "") -> Visitor:
    """Return a browser in which this person has used the host's form; it looks at a place of the host."""
    visitor = server.visitor()
    answer = visitor.http.post("login", data={"username": person, "password": PASSWORDS[person]})
    assert answer.status_code == 200 and answer.history[0].status_code == 303
    visitor.http.base_url = server.url + place
    visitor.server = Server(server.home, server.url + place, server.process, "")
    visitor.server.closing = server.closing
    return visitor


# --- two dashboards in FastAPI ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "dash/", "dash/sales", "dash/budget"])
def test_strangers_are_led_to_the_login(host: Server, path: str) -> None:
    """Also from a dashboard."""
    answer = httpx.get(host.url + path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize(("username", "password"), [("alice", "builder"), ("alice", ""), ("mallory", ""), ("", "")])
def test_wrong_passwords_are_refused(host: Server, username: str, password: str) -> None:
    """No session begins."""
    answer = httpx.post(host.url + "login", data={"username": username, "password": password})
    assert answer.status_code == 401 and not answer.cookies


def test_each_person_sees_what_the_groups_allow(host: Server) -> None:
    """Alice is of finance and Bob is not: his list lacks the budget, and its page is refused."""
    alice, bob = logged_in(host, "alice", "dash/"), logged_in(host, "bob", "dash/")
    assert all(name in alice.get("").text for name in ("/dash/sales", "/dash/budget"))
    assert "/dash/sales" in bob.get("").text and "/dash/budget" not in bob.get("").text
    assert bob.get("budget").status_code == 403
    page = browse(alice, "budget")
    assert "alice, the budget is 1,200,000." in page.html
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        bob.connect(page.kernel_id)
    assert refused.value.status_code == 403
    assert page.close().status_code == 204
    eventually(lambda: page.kernel_id not in kernels(host))


def test_a_page_knows_its_visitor_and_our_own_field(host: Server) -> None:
    """``meta=`` and the query reach the notebook."""
    page = browse(logged_in(host, "bob", "dash/"), "sales", region="South")
    assert "Welcome Bob Brown! You are in Oslo." in page.html
    assert "bob sees 315 orders in the South." in page.html
    assert page.close().status_code == 204


def test_a_reader_uses_it_in_a_browser(host: Server, browser: Browser) -> None:
    """The login form, the list, a page, its callback, and logging out."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    enter(context.new_page(), host)
    tab = Tab(context, host.url)
    tab.page.goto(f"{host.url}dash/sales")
    tab.page.get_by_label("Region").select_option("South")
    expect(tab.page.get_by_text("alice sees 315 orders in the South.")).to_be_visible(timeout=PATIENCE)
    kernel_id = tab.kernel_id
    assert kernel_id in kernels(host) and [each for each in tab.wrong if "/labextensions/" not in each] == []
    tab.page.goto(host.url)
    tab.page.get_by_role("button", name="Log out").click()
    expect(tab.page.get_by_role("heading")).to_have_text("Log in")
    eventually(lambda: kernel_id not in kernels(host))
    context.close()


def enter(page: Page, host: Server) -> None:
    """Ask for a dashboard, log in as alice by the form, and go to the page of sales by its links."""
    page.goto(f"{host.url}dash/sales")
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password").fill(PASSWORDS["alice"])
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Dashboards").click()
    page.get_by_role("link", name="Sales").click()
    expect(page.get_by_text("Welcome Alice Andrews! You are in Rome.")).to_be_visible(timeout=PATIENCE)


def test_sigterm_ends_the_kernels(host: Server) -> None:
    """The dashboards take part in the host's lifespan: an open page's kernel ends before the server does."""
    page = browse(logged_in(host, "bob", "dash/"), "sales")
    assert_ends(host, page.kernel_id)


def assert_ends(server: Server, kernel_id: str) -> None:
    """Send SIGTERM: the server ends, and so does its kernel."""
    kernel = kernel_process(server, kernel_id)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == -signal.SIGTERM, server.log
    assert not kernel.is_running() or kernel.status() == psutil.STATUS_ZOMBIE
    assert "Traceback" not in server.log


# --- JupyterLab in FastAPI --------------------------------------------------------------------------------------------


def test_lab_needs_the_login_of_its_host(lab: Server) -> None:
    """A stranger gets no page, no kernel and no socket; a wrong password begins no session."""
    for path in ("lab-server/lab", "lab-server/api/kernels", "lab-server/lab?token=x"):
        assert httpx.get(lab.url + path).status_code == 401
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(f"{lab.url.replace('http', 'ws')}lab-server/api/events/subscribe")
    assert refused.value.status_code == 403
    for username, password in (("alice", "x"), ("alice", ""), ("mallory", "")):
        answer = httpx.post(lab.url + "login", data={"username": username, "password": password})
        assert answer.status_code == 401 and not answer.cookies


def test_lab_runs_a_cell_that_knows_the_hosts_user(lab: Server) -> None:
    """The page, a kernel, a cell over its socket, a large file, and the end of it all."""
    alice = logged_in(lab, "alice", "lab-server/")
    assert "jupyter-config-data" in alice.get("lab").text
    assert alice.get("api/me").json()["identity"]["username"] == "alice"
    body = {"type": "file", "format": "text", "content": "x" * 1_000_000}
    assert alice.call("PUT", "api/contents/large.txt", body).status_code == 201
    kernel_id = alice.start_kernel("python3")
    code = "from jupyter_app_meta import app_meta; print(app_meta().user.username, app_meta().user.assurance)"
    assert alice.connect(kernel_id).run(code).text == "alice provider\n"
    assert_ends(lab, kernel_id)
