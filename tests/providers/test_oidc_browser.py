"""OpenID Connect in a browser, at a provider that comes as a package and runs in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from browsing import PATIENCE
from harness import NO_TLS, free_port, serving
from playwright.sync_api import Browser, Page, expect
from stage import eventually, staging, write

ALICE = {"sub": "1234", "preferred_username": "alice", "name": "Alice Example", "groups": ["sales"]}

CELL = """import ipywidgets
from jupyter_app_meta import app_meta
user = app_meta().require_user()
print(f"<{user.username}|{user.display_name}|{user.groups}>")
display(ipywidgets.IntSlider())"""

APP = """
import time
from pathlib import Path
from jupyter_app_meta.providers import base, identified
class Clock:
    time = staticmethod(lambda: time.time() + 9 * 3600 * Path("later").exists())
base.time = identified.time = Clock
options = {{"issuer": {issuer!r}, "client_id": "dashboards", "client_secret_file": "../secret"}}
app = create_app(identity_provider="jupyter_app_meta.providers.OpenIDProvider", config={{"OpenIDProvider": options}})
app = app.with_app(path="/who", root="who.ipynb", authorize=lambda user, request: "sales" in user.groups).with_index()
"""
"""A server whose clock goes nine hours ahead when a file is there."""


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The provider: it asks who the visitor is, and believes it."""
    port = free_port()
    arguments = ["-p", str(port), "--require-nonce=true", "--user-claims", json.dumps(ALICE)]
    log = (tmp_path_factory.mktemp("issuer") / "log").open("wb")
    process = subprocess.Popen([sys.executable, "-m", "oidc_provider_mock", *arguments], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None
        try:
            return httpx.get(f"{url}/.well-known/openid-configuration", verify=NO_TLS).is_success
        except httpx.TransportError:
            return False

    try:
        eventually(answers)
        yield url
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def authorize(page: Page, sub: str) -> None:
    """Say at the provider who one is."""
    page.locator("input[name=sub]").fill(sub, timeout=PATIENCE)
    page.get_by_role("button", name="Authorize").click(timeout=PATIENCE)


def test_visitor_logs_in_and_out(tmp_path: Path, issuer: str, browser: Browser) -> None:
    """The page leads to the provider and comes back with the groups; it is cut off when the session is over."""
    write(tmp_path / "root" / "who.ipynb", CELL)
    (tmp_path / "secret").write_text("secret")
    with staging(tmp_path, APP.format(issuer=issuer)) as server:
        page = browser.new_page()
        page.goto(f"{server.url}who?x=1", timeout=PATIENCE)
        authorize(page, "1234")
        expect(page.locator("body")).to_contain_text("<alice|Alice Example|('sales',)>", timeout=PATIENCE)
        assert page.url == f"{server.url}who?x=1"

        (tmp_path / "root" / "later").touch()
        page.reload(timeout=PATIENCE)
        authorize(page, "1234")
        expect(page.locator("body")).to_contain_text("<alice|", timeout=PATIENCE)

        page.goto(f"{server.url}logout", timeout=PATIENCE)
        page.get_by_role("button", name="Log out").click(timeout=PATIENCE)
        page.get_by_role("button", name="End session").click(timeout=PATIENCE)
        expect(page.get_by_role("button", name="Authorize")).to_be_visible(timeout=PATIENCE)
        authorize(page, "mallory")
        expect(page.locator("body")).to_contain_text("You may not enter", timeout=PATIENCE)
        page.close()
        assert "secret" not in server.log.replace("cookie_secret", "")


def test_jupyter_server_takes_the_same_provider(tmp_path: Path, issuer: str) -> None:
    """JupyterLab's server leads to the provider and back; a cell sees the user, and the logout ends the session."""
    (tmp_path / "secret").write_text("secret")
    config = (
        "c.ServerApp.identity_provider_class = 'jupyter_app_meta.providers.OpenIDProvider'\n"
        f"c.OpenIDProvider.issuer = {issuer!r}\nc.OpenIDProvider.client_id = 'lab'\n"
        f"c.OpenIDProvider.client_secret_file = {str(tmp_path / 'secret')!r}\n"
    )
    with serving(tmp_path, config=config, token="") as server:
        visitor = server.visitor(token=False)
        form = visitor.get("login?next=/api/me")
        assert str(form.url).startswith(issuer)
        answer = visitor.http.post(str(form.url), data={"sub": "1234"})
        assert answer.json()["identity"]["username"] == "alice", answer.text
        socket = visitor.connect(visitor.start_kernel())
        user = socket.who()["user"]
        assert (user["username"], user["groups"], user["assurance"]) == ("alice", ["sales"], "provider")
        kept = dict(visitor.http.cookies)
        assert str(visitor.get("logout", headers={"Referer": server.url}).url).startswith(issuer)
        visitor.http.cookies.update(kept)
        assert visitor.get("api/me").status_code == 403
