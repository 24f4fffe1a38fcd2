"""Real browsers on a real Hub: two people in one notebook, the next person in one browser, and dashboards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from harness import AWARE, WHO, Json, Server
from labs import PATIENCE, READY_TO_RUN, run_cell
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Response,
    expect,
)
from ready import ready_hub
from stage import SLIDER, kernels, write
from stage import WHO as VISITOR

from hub import Hub

LAB = 'c.LabApp.news_url = None\nc.ServerApp.jpserver_extensions["jupyterlab"] = True\n'
HARMLESS = ("theme", "flavour")
NOTEBOOK = "user/alice/lab/tree/ours.ipynb"

COUNTED = f"{WHO}\nruns = globals().get('runs', 0) + 1; print(f'run {{runs}}.')"
"""A cell that prints what it sees, and how many times it was run in this kernel, by whomever."""

BUTTON = """import ipywidgets
from jupyter_app_meta import app_meta
if "button" not in globals():
    button, label, clicks = ipywidgets.Button(description="Mine"), ipywidgets.Label("nobody"), []
    def clicked(button):
        user = app_meta().user
        clicks.append(user.username)
        label.value = f"click {len(clicks)}: {user.username}, {user.is_owner}, {user.assurance}"
    button.on_click(clicked)
display(ipywidgets.VBox([button, label]))"""
"""A cell that shows the same button to everybody who runs it: a label says who has clicked."""

NEXT_OUTPUT = """before => {
    const shown = document.querySelector(".jp-Notebook .jp-CodeCell .jp-OutputArea-output")?.textContent ?? "";
    return shown !== before && /run \\d+\\.\\s*$/.test(shown) && shown;
}"""
"""What the first cell shows, once that is complete and not what it showed before."""


ASK = """async ([url, method, token]) => {
    const own = document.cookie.match(/(?:^|; )_xsrf=([^;]+)/)[1];
    return (await fetch(url, {method, headers: token ? {"X-XSRFToken": own} : {}})).status;
}"""
"""What a page's script does, with or without its XSRF token."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub with the ready configuration, and JupyterLab in its users' servers; alice shares hers with two."""
    home = tmp_path_factory.mktemp("hub")
    with ready_hub(home, VISITOR, SLIDER, config=LAB) as hub:
        write(home / "home" / "alice" / "ours.ipynb", COUNTED, BUTTON, kernel=AWARE)
        for guest in ("bob", "carol"):
            hub.share("alice", guest)
        yield hub


@contextmanager
def window(browser: Browser) -> Iterator[BrowserContext]:
    """Open a browser window of its own."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def log_in(page: Page, name: str) -> None:
    """Fill in the Hub's login form, to which the browser has been led."""
    page.locator("#username_input").fill(name)
    page.locator("#password_input").fill("any")
    page.locator("#login_submit").click()


# --- JupyterLab -------------------------------------------------------------------------------------------------------


class Lab:
    """A browser window with JupyterLab and alice's notebook in it."""

    def __init__(self, hub: Hub, page: Page) -> None:
        self.hub, self.page = hub, page
        self.cells = page.locator(".jp-Notebook .jp-CodeCell")

    def open(self, guest: str = "") -> Lab:
        """Open the notebook; a guest is led to the Hub's form, and back."""
        self.page.goto(f"{self.hub.url}{NOTEBOOK}")
        if guest:
            log_in(self.page, guest)
            self._confirm()
        self.page.wait_for_function(READY_TO_RUN, arg=AWARE)
        return self

    def _confirm(self) -> None:
        """Let alice's server know who this is; the Hub asks everybody once, also in another window."""
        asked = self.page.get_by_role("button", name="Authorize")
        asked.or_(self.cells).first.wait_for()
        if asked.is_visible():
            asked.click()

    def see(self) -> Json:
        """Run the first cell; return what it saw, and which run it was."""
        before = "".join(self.cells.first.locator(".jp-OutputArea-output").all_text_contents())
        self.run(0)
        lines = self.page.wait_for_function(NEXT_OUTPUT, arg=before).json_value().splitlines()
        return {**json.loads(lines[0]), "run": int(lines[1].strip("run ."))}

    def run(self, cell: int) -> None:
        """Press the keys that run a cell."""
        run_cell(self.page, cell)

    def choose(self, menu: str, item: str) -> None:
        """Choose from the menu."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=item, exact=True).click()

    @property
    def button(self) -> Locator:
        """The button that the second cell shows."""
        return self.cells.nth(1).locator(".jupyter-button")

    @property
    def label(self) -> Locator:
        """The label below it."""
        return self.cells.nth(1).locator(".widget-label")


def add_cookies(context: BrowserContext, hub: Hub, name: str) -> None:
    """Give a browser two harmless cookies; the configuration names ``theme``."""
    context.add_cookies([{"name": cookie, "value": f"{cookie}-of-{name}", "url": hub.url} for cookie in HARMLESS])


@pytest.fixture(scope="module")
def alice(hub: Hub, browser: Browser) -> Iterator[Lab]:
    """Alice's window: she logs in, the Hub starts her server and leads her there, and she opens the notebook."""
    with window(browser) as context:
        add_cookies(context, hub, "alice")
        page = context.new_page()
        page.goto(hub.url)
        log_in(page, "alice")
        page.wait_for_url("**/user/alice/lab*")
        yield Lab(hub, page).open()


@pytest.fixture(scope="module")
def bob(hub: Hub, browser: Browser, alice: Lab) -> Iterator[Lab]:
    """Bob's window, with the notebook of alice's server."""
    with window(browser) as context:
        add_cookies(context, hub, "bob")
        yield Lab(hub, context.new_page()).open("bob")


def test_cells_of_two_people_in_one_notebook(hub: Hub, alice: Lab, bob: Lab) -> None:
    """Two people run the cells of one kernel in turns: each cell has its own person, and the page they look at."""
    people = {"alice": alice, "bob": bob}
    turns = ["alice", "bob", "alice", "bob", "bob", "alice"]
    seen = [people[name].see() for name in turns]
    users = [[each["user"][key] for key in ("username", "is_owner", "kind", "assurance")] for each in seen]
    assert users == [[name, name == "alice", "user", "hub"] for name in turns]
    assert {(each["mode"], each["via"], each["url"]) for each in seen} == {("edit", "page", f"{hub.url}{NOTEBOOK}")}
    assert len({each["session"]["kernel_id"] for each in seen}) == 1
    assert [each["run"] - seen[0]["run"] for each in seen] == list(range(len(turns)))


def test_cookies_of_two_people_in_one_notebook(alice: Lab, bob: Lab) -> None:
    """Of the owner as of a guest the one cookie is seen that is open; no login and no XSRF token is."""
    hers, his = alice.see(), bob.see()
    assert (hers["cookies"], his["cookies"]) == ({"theme": "theme-of-alice"}, {"theme": "theme-of-bob"})
    assert all("cookies.flavour" in each["redacted"] for each in (hers, his))
    for lab, seen in ((alice, hers), (bob, his)):
        jar = [cookie for cookie in lab.page.context.cookies() if cookie["name"] not in HARMLESS]
        sent = {cookie["name"] for cookie in jar if not cookie["path"].startswith("/hub/")}
        assert sent >= {"_xsrf", "jupyterhub-session-id", "jupyterhub-user-alice"}
        assert {f"cookies.{name}" for name in sent} <= set(seen["redacted"])
        assert "cookie" not in seen["headers"]
        assert [cookie["name"] for cookie in jar if cookie["value"] in json.dumps(seen)] == []


def test_widget_that_two_people_share(alice: Lab, bob: Lab) -> None:
    """One button in two windows: its callback sees who clicked, and tells both."""
    people = {"alice": alice, "bob": bob}
    for lab in people.values():
        lab.run(1)
        lab.button.wait_for()
    for number, name in enumerate(["alice", "bob", "bob", "alice"], 1):
        people[name].button.click()
        for lab in people.values():
            expect(lab.label).to_have_text(f"click {number}: {name}, {name == 'alice'}, hub", timeout=PATIENCE)


def test_next_login_in_one_window_is_the_next_person(hub: Hub, browser: Browser, alice: Lab) -> None:
    """Bob logs out by Lab's menu and carol logs in, in one window: in the same kernel the next cell is carol's."""
    with window(browser) as context:
        lab = Lab(hub, context.new_page()).open("bob")
        first = lab.see()
        lab.choose("File", "Log Out")
        lab.page.wait_for_url("**/hub/login*")
        second = lab.open("carol").see()
    assert [each["user"]["username"] for each in (first, second, alice.see())] == ["bob", "carol", "alice"]
    assert (second["user"]["is_owner"], second["user"]["groups"]) == (False, [])
    assert (second["run"], second["session"]["kernel_id"]) == (first["run"] + 1, first["session"]["kernel_id"])


# --- dashboards -------------------------------------------------------------------------------------------------------


class Dashboard:
    """A browser window on the Hub's service of dashboards, and what of ours went wrong in it."""

    def __init__(self, hub: Hub, context: BrowserContext) -> None:
        self.hub, self.page = hub, context.new_page()
        self.wrong: list[str] = []
        self.page.on("response", self._answered)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"uncaught: {error}"))

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.url.startswith(self.hub.url):
            self.wrong.append(f"{response.status} {response.request.method} {response.url}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and message.location["url"].startswith(self.hub.url):
            self.wrong.append(f"console: {message.text}")

    def open(self, name: str, path: str) -> Dashboard:
        """Ask for a page, log in where the Hub asks who it is, and be led back to the page."""
        address = f"{self.hub.url}services/dashboards/{path}"
        self.page.goto(address)
        log_in(self.page, name)
        self.page.wait_for_url(address, wait_until="commit")
        return self

    def shows(self, text: str) -> None:
        """Wait until the page has this text, and its slider."""
        expect(self.page.locator("#rendered_cells")).to_contain_text(text, timeout=PATIENCE)
        self.page.locator(".noUi-handle").wait_for()

    def move(self) -> str:
        """Move the slider by one with the keyboard; return what the callback wrote into the label."""
        handle, label = self.page.locator(".noUi-handle"), self.page.locator("div.widget-label")
        value = int(float(handle.get_attribute("aria-valuenow") or 0)) + 1
        handle.press("ArrowRight")
        expect(label).to_have_text(re.compile(rf"\|{value}$"), timeout=PATIENCE)
        return label.inner_text()

    @property
    def kernel_id(self) -> str:
        """The kernel that the page tells its script to connect to."""
        found = self.page.evaluate("() => JSON.parse(document.getElementById('jupyter-config-data').text).kernelId")
        return str(found)

    def ask(self, method: str, kernel_id: str, *, token: bool) -> int:
        """Call the route of a kernel from the page's script; return the status of the answer."""
        return int(self.page.evaluate(ASK, [f"/services/dashboards/api/kernels/{kernel_id}", method, token]))

    def has_kernel(self, kernel_id: str) -> bool:
        """Whether a kernel runs."""
        assert self.hub.process is not None
        return kernel_id in kernels(Server(self.hub.home, self.hub.url, self.hub.process, token=""))


def test_dashboard_shows_who_is_looking(hub: Hub, browser: Browser) -> None:
    """Two people at the same time log in, move their sliders and reload: pages and callbacks know each their own."""
    with window(browser) as hers, window(browser) as his:
        carol = Dashboard(hub, hers).open("carol", "public?region=emea")
        bob = Dashboard(hub, his).open("bob", "sales?region=apac")
        carol.shows("<carol|{'region': 'emea'}|{'name': 'public'}|run>")
        bob.shows("<bob|{'region': 'apac'}|{'name': 'sales'}|run>")
        labels = [carol.move(), bob.move(), carol.move(), bob.move()]
        assert [label.split("|")[0::3] for label in labels] == [[who, n] for n in "12" for who in ("carol", "bob")]
        left = bob.kernel_id
        bob.page.reload(wait_until="commit")
        bob.shows("<bob|{'region': 'apac'}|{'name': 'sales'}|run>")
        assert bob.move().startswith("bob|{'region': 'apac'}|")
        assert carol.move().startswith("carol|{'region': 'emea'}|")
        hub.wait(lambda: not bob.has_kernel(left), "the end of the kernel of the page that was reloaded")
        assert bob.has_kernel(bob.kernel_id) and bob.has_kernel(carol.kernel_id)
        assert carol.wrong == [] and bob.wrong == []


def test_dashboard_after_the_browser_was_restarted(hub: Hub, browser: Browser) -> None:
    """A browser that has lost its session cookies, the XSRF token among them, shows its person a page that works."""
    with window(browser) as context:
        dashboard = Dashboard(hub, context).open("bob", "public")
        dashboard.shows("<bob|{}|{'name': 'public'}|run>")
        for cookie in context.cookies():
            if cookie["expires"] == -1:
                context.clear_cookies(name=cookie["name"])
        assert {cookie["name"] for cookie in context.cookies()} == {"service-dashboards", "jupyterhub-hub-login"}
        dashboard.page.reload(wait_until="commit")
        dashboard.shows("<bob|{}|{'name': 'public'}|run>")
        assert dashboard.move().startswith("bob|{}|")
        assert dashboard.wrong == []


def test_script_of_a_page_reaches_its_own_kernel(hub: Hub, browser: Browser) -> None:
    """A page's script asks for its kernel, and ends it, with the Hub's XSRF token only; another's page never can."""
    with window(browser) as hers, window(browser) as his:
        carol, bob = Dashboard(hub, hers).open("carol", "public"), Dashboard(hub, his).open("bob", "public")
        carol.shows("<carol|")
        bob.shows("<bob|")
        kernel_id = bob.kernel_id
        ways = [(method, token) for method in ("GET", "DELETE") for token in (False, True)]
        assert [carol.ask(method, kernel_id, token=token) for method, token in ways] == [403, 403, 403, 403]
        assert [bob.ask(method, kernel_id, token=token) for method, token in ways] == [403, 200, 403, 204]
        hub.wait(lambda: not bob.has_kernel(kernel_id), "the end of the kernel")
        assert carol.move().startswith("carol|")


def test_closed_dashboard_ends_its_kernel(hub: Hub, browser: Browser) -> None:
    """What a browser sends as a page closes gets past the Hub's checks, and ends the page's kernel."""
    with window(browser) as context:
        dashboard = Dashboard(hub, context).open("bob", "public")
        dashboard.shows("<bob|{}|{'name': 'public'}|run>")
        kernel_id = dashboard.kernel_id
        dashboard.move()
        assert dashboard.has_kernel(kernel_id)
        dashboard.page.close(run_before_unload=True)
        hub.wait(lambda: not dashboard.has_kernel(kernel_id), "the end of the kernel of the page that was closed")


def test_dashboard_is_for_its_group(hub: Hub, browser: Browser) -> None:
    """A user who is not in the group is redirected to the Hub's form and back, and gets the page that says 403."""
    with window(browser) as context:
        dashboard = Dashboard(hub, context).open("carol", "sales")
        expect(dashboard.page.locator("h1")).to_have_text("You may not see this page", timeout=PATIENCE)
        assert f"403 GET {dashboard.page.url}" in dashboard.wrong
