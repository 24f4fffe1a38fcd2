"""A page that needs a login says so, and goes there by itself; errors of callbacks are told where the visitor looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import PATIENCE
from harness import Server
from playwright.sync_api import Browser, expect
from stage import eventually, serving_folder, staging, visit, write

MEMBERS = """from jupyter_app_meta import app_meta
print("for members:", app_meta().require_user().username)"""

OWN = """from jupyter_app_meta import NotAuthenticated
class OnlyMembers(NotAuthenticated):
    pass
raise OnlyMembers("for members")"""

BUTTON = """import ipywidgets
from jupyter_app_meta import app_meta
fails, asks, out = ipywidgets.Button(description="Fails"), ipywidgets.Button(description="Asks"), ipywidgets.Output()
fails.on_click(lambda button: int("hunter2-" + "password"))
asks.on_click(lambda button: app_meta().require_user())
held = ipywidgets.Button(description="Held")
@held.on_click
@out.capture()
def pressed(button):
    int("hunter2-" + "password")
display(fails, asks, held, out)"""

FORM = """
from pathlib import Path
from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.auth.login import LoginFormHandler

class Form(LoginFormHandler):
    def get(self):
        Path("member").touch()
        self.redirect(self.get_argument("next"))

class Members(IdentityProvider):
    login_handler_class = Form
    login_available = True
    auth_enabled = property(lambda self: Path("member").exists())
    def get_user(self, handler):
        return User("ann" if self.auth_enabled else "somebody")

app = create_app(identity_provider=Members).with_app(path="/members", root="members.ipynb")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``serve`` without a login."""
    home = tmp_path_factory.mktemp("logins")
    write(home / "root" / "members.ipynb", "print('before')", MEMBERS)
    write(home / "root" / "own.ipynb", OWN)
    write(home / "root" / "button.ipynb", BUTTON)
    with serving_folder(home) as server:
        yield server


def test_server_without_a_login_says_so_at_its_start(server: Server) -> None:
    """The log names what to choose."""
    assert "Nobody is authenticated here: require_user() refuses everybody. Choose --users," in server.log


def test_page_that_needs_a_login_says_that_there_is_none(server: Server) -> None:
    """It is not reported as a cell's error, and the log has the reason under the id."""
    opened = visit(server, None, "/members")
    found = re.search(r"this server has no login.*?(E-[0-9A-F]{4})", opened.html, re.DOTALL)
    assert found and "Log in</a>" not in opened.html
    lines = [line for line in server.log.splitlines() if found[1] in line]
    assert "members.ipynb, cell 2, for an anonymous visitor at /members: NotAuthenticated" in lines[0]
    assert "Set a token, a password or an identity provider." in lines[-1]
    opened.close()


@pytest.mark.unforked("a cell failed")
def test_author_may_derive_an_error_that_needs_a_login(server: Server) -> None:
    """A subclass of NotAuthenticated leads to the login, as NotAuthenticated does; its text is in the log."""
    opened = visit(server, None, "/own")
    found = re.search(r"this server has no login.*?(E-[0-9A-F]{4})", opened.html, re.DOTALL)
    assert found and "Something went wrong" not in opened.html
    lines = [line for line in server.log.splitlines() if found[1] in line]
    assert "own.ipynb, cell 1" in lines[0] and "OnlyMembers: for members" in lines[-1]
    opened.close()


def test_browser_goes_to_the_login_and_comes_back(tmp_path: Path, browser: Browser) -> None:
    """The page goes where visitors log in by itself, and its query is kept."""
    write(tmp_path / "root" / "members.ipynb", MEMBERS)
    with staging(tmp_path, FORM) as server:
        page = browser.new_page()
        page.goto(f"{server.url}members?region=emea&x=%3C/script%3E", timeout=PATIENCE)
        expect(page.locator("#rendered_cells")).to_contain_text("for members: ann", timeout=PATIENCE)
        assert page.url == f"{server.url}members?region=emea&x=%3C/script%3E"
        page.close()


@pytest.mark.parametrize(
    ("button", "text"), [("Fails", "Something went wrong"), ("Asks", "You need to be logged in for this")]
)
def test_error_of_a_callback_is_told_on_the_page(server: Server, browser: Browser, button: str, text: str) -> None:
    """The visitor reads an id, and the log has the traceback under it; the page goes on."""
    page = browser.new_page()
    page.goto(f"{server.url}button", timeout=PATIENCE)
    for _ in range(2):
        page.get_by_role("button", name=button).click(timeout=PATIENCE)
        alert = page.get_by_role("alert").filter(has_text=text)
        expect(alert).to_be_visible(timeout=PATIENCE)
        found = re.search(r"\((E-[0-9A-F]{4})\)", alert.inner_text())
        assert found
        eventually(lambda error_id=found[1]: f"{error_id} button.ipynb, a callback" in server.log)  # type: ignore[misc]  # mypy on defaults
        page.get_by_role("button", name="Dismiss").click(timeout=PATIENCE)
    page.close()


def test_widget_that_captures_shows_the_id(server: Server, browser: Browser) -> None:
    """What an Output widget captures in a callback is what a visitor may know."""
    page = browser.new_page()
    page.goto(f"{server.url}button", timeout=PATIENCE)
    page.get_by_role("button", name="Held").click(timeout=PATIENCE)
    shown = page.locator(".jupyter-widgets-output-area, .widget-output").filter(has_text="Something went wrong")
    expect(shown.first).to_be_visible(timeout=PATIENCE)
    assert "hunter2-password" not in page.content() and "hunter2-password" in server.log
    page.close()
