"""What a page does, in a real browser, when its kernel, its server or the network is gone, or it sends too much."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browsing import PATIENCE, Relay, Tab, contrast, luminance, window
from harness import Server, free_port
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, expect
from stage import SLIDER, WHO, eventually, kernel_process, kernels, staging, write

from jupyter_app_meta.dashboards.load.limits import DEFAULT_LIMIT, largest
from jupyter_app_meta.dashboards.web.page_script import script, told

MAX_UPLOAD = largest(DEFAULT_LIMIT)

UPLOAD = """upload, told = ipywidgets.FileUpload(), ipywidgets.HTML("nothing yet")
upload.observe(lambda change: setattr(told, "value", f"{len(change.new[0].content)} bytes came"), "value")
display(ipywidgets.VBox([upload, told]))"""

SLOW = """import time, pathlib
def moved_slowly(change):
    label.value = f"begun|{change.new}"
    while not pathlib.Path("open").exists():
        time.sleep(0.01)
slider.observe(moved_slowly, "value")"""
"""After the cell ``SLIDER``: its callback ends once the file ``open`` is there."""

APP = """
app = (create_app(identity_provider=People,
                  config={"AppMetaExtension": {"admins": ["root"]},
                          "VoilaConfiguration": {"http_keep_alive_timeout": 1}})
       .with_app(path="/page", root="page.ipynb").with_app(path="/dark", root="dark.ipynb")
       .with_app(path="/slow", root="slow.ipynb").with_app(path="/held", root="held.ipynb"))
"""

IS_ANOTHER = """known => {
    const config = document.getElementById("jupyter-config-data");
    return config && JSON.parse(config.text).kernelId !== known;
}"""
"""Whether the page has another kernel than the one that is known."""

KEEP_SOCKETS = """window.kept = []; window.Native = window.WebSocket;
window.WebSocket = class extends Native { constructor(...given) { super(...given); window.kept.push(this); } };"""
"""Runs before a page's first script and keeps the sockets that it opens."""

PHONE = {"viewport": {"width": 375, "height": 667}, "has_touch": True, "is_mobile": True}


RELOADED = """times => sessionStorage.setItem(`app-meta-reloads ${location.pathname}`,
    JSON.stringify(Array.from({length: times}, () => Date.now())))"""
"""Notes that a page was loaded anew so many times just now."""


def notebooks(home: Path) -> Path:
    """Write the page in light and dark, one that does not end, and one whose callback is held; return their home."""
    write(home / "root" / "slow.ipynb", WHO, "import time; time.sleep(600)")
    write(home / "root" / "held.ipynb", WHO, SLIDER, SLOW)
    for name, theme in (("page", "light"), ("dark", "dark")):
        write(home / "root" / f"{name}.ipynb", "%md # A page", WHO, SLIDER, UPLOAD, voila={"theme": theme})
    return home


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of these pages."""
    with staging(notebooks(tmp_path_factory.mktemp("script")), APP) as server:
        yield server


def alert(page: Page, text: str) -> None:
    """Wait until the page says this."""
    expect(page.get_by_role("alert")).to_contain_text(text, timeout=PATIENCE)


def quiet(page: Page) -> None:
    """Wait until the page says nothing."""
    expect(page.get_by_role("alert")).to_be_hidden(timeout=PATIENCE)


def kill_kernel(server: Server, tab: Tab) -> str:
    """End the process of a page's kernel, and return its id."""
    kernel_id = tab.kernel_id
    kernel_process(server, kernel_id).kill()
    return kernel_id


def came_back(tab: Tab, kernel_id: str) -> None:
    """Wait until the page has another kernel, and works."""
    tab.page.wait_for_function(IS_ANOTHER, arg=kernel_id, timeout=PATIENCE)
    tab.shows("<alice|{'region': 'emea'}|")
    assert tab.move().startswith("alice|{'region': 'emea'}|")


def begun(hers: BrowserContext, server: Server) -> Tab:
    """Begin to load the page that does not end, until its first cell is shown."""
    tab = Tab(hers, server.url).start("slow")
    tab.page.get_by_text("<alice|").wait_for(state="attached")  # a page is hidden until it is complete
    return tab


def broke_off(tab: Tab) -> None:
    """Wait until a page says that it broke off, and offers to be loaded anew."""
    said = tab.page.get_by_role("alert").filter(has_text="This page did not load completely.")
    expect(said).to_be_visible(timeout=PATIENCE)
    expect(tab.page.get_by_role("button", name="Reload")).to_be_visible()


def give(tab: Tab, size: int) -> None:
    """Choose a file of so many bytes."""
    with tab.page.expect_file_chooser() as chooser:
        tab.page.locator("button.widget-upload").click()
    chooser.value.set_files(FilePayload(name="a.bin", mimeType="application/octet-stream", buffer=b"x" * size))


def test_page_comes_back_when_its_kernel_is_killed(server: Server, browser: Browser) -> None:
    """A page whose kernel died says so and is loaded anew with its query, but not for ever; then its visitor may."""
    with window(browser, server.url, "alice") as hers:
        tab = Tab(hers, server.url).open("page?region=emea", "<alice|")
        tab.page.evaluate(RELOADED, 2)
        kernel_id = kill_kernel(server, tab)
        alert(tab.page, "Connection lost, reconnecting…")
        came_back(tab, kernel_id)
        quiet(tab.page)
        kernel_id = kill_kernel(server, tab)
        alert(tab.page, "This page has ended.")
        assert tab.kernel_id == kernel_id
        tab.page.get_by_role("button", name="Reload").click()
        came_back(tab, kernel_id)


def test_page_that_breaks_off_says_so(server: Server, browser: Browser) -> None:
    """A page whose kernel dies before the page is complete, and not one that is slow, is loaded anew by its visitor."""
    with window(browser, server.url, "alice") as hers:
        tab = begun(hers, server)
        tab.page.wait_for_timeout(4000)  # four signs of life
        quiet(tab.page)
        kernel_id = kill_kernel(server, tab)
        broke_off(tab)
        tab.page.get_by_role("button", name="Reload").click()
        tab.page.wait_for_function(IS_ANOTHER, arg=kernel_id, timeout=PATIENCE)


def test_page_comes_back_when_its_server_does(tmp_path: Path, browser: Browser) -> None:
    """A page whose server was killed waits for the next one at that address; one that was not complete says so."""
    home, port = notebooks(tmp_path), free_port()
    with ExitStack() as first:
        server = first.enter_context(staging(home, APP, port=port))
        with window(browser, server.url, "alice") as hers:
            tab = Tab(hers, server.url).open("page?region=emea", "<alice|")
            kernel_id, half = tab.kernel_id, begun(hers, server)
            os.kill(server.process.pid, signal.SIGKILL)
            broke_off(half)
            tab.page.bring_to_front()
            alert(tab.page, "Connection lost, reconnecting…")
            first.close()
            assert tab.kernel_id == kernel_id
            with staging(home, APP, port=port):
                came_back(tab, kernel_id)
                quiet(tab.page)


def test_page_waits_for_a_server_that_ends_in_order(tmp_path: Path, browser: Browser) -> None:
    """A server that is stopped tells its pages that it ends, and not that they do: they wait for the next one."""
    with ExitStack() as first:
        server = first.enter_context(staging(notebooks(tmp_path), APP))
        with window(browser, server.url, "alice") as hers:
            tab = Tab(hers, server.url).open("page?region=emea", "<alice|")
            first.close()
            alert(tab.page, "Connection lost, reconnecting…")


def test_page_keeps_its_kernel_over_a_break_of_the_network(server: Server, browser: Browser) -> None:
    """A network that is away for ten seconds is told of, and what the visitor did stays."""
    relay = Relay(urlsplit(server.url).port or 80)
    with window(browser, relay.url, "alice") as hers:
        tab = Tab(hers, relay.url).open("page?region=emea", "<alice|")
        before, kernel_id = tab.move(), tab.kernel_id
        relay.cut()
        alert(tab.page, "Connection lost, reconnecting…")
        tab.page.wait_for_timeout(10_000)  # which is what is tried
        relay.mend()
        quiet(tab.page)
        assert tab.kernel_id == kernel_id
        assert tab.move().split("|")[:3] == before.split("|")[:3]
    relay.close()


def test_widget_goes_on_when_an_answer_was_lost(server: Server, browser: Browser) -> None:
    """A widget waits until its last change is done; if the word of that is lost, it goes on all the same."""
    relay = Relay(urlsplit(server.url).port or 80)
    with window(browser, relay.url, "alice") as hers:
        tab = Tab(hers, relay.url).open("held", "<alice|")
        tab.move()
        lost = relay.deafen()
        (server.home / "root" / "open").touch()
        eventually(lambda: b'"idle"' in lost())
        relay.drop()
        tab.page.locator(".noUi-handle").press("ArrowRight")
        assert tab.label(2) == "begun|2"
        assert tab.move() == "begun|3"
    relay.close()


def test_page_that_was_ended_says_so_and_stays(server: Server, browser: Browser) -> None:
    """What the server ended on purpose is not begun again by itself: its visitor may do so."""
    with window(browser, server.url, "alice") as hers:
        tab = Tab(hers, server.url).open("page?region=emea", "<alice|")
        kernel_id = tab.kernel_id
        asked: list[str] = []
        tab.page.on("request", lambda request: asked.append(f"{request.method} {urlsplit(request.url).path}"))
        visitor = server.visitor(cookies={"person": "alice"})
        visitor.http.post(f"voila/api/shutdown/{kernel_id}", data={"_xsrf": ""}).raise_for_status()
        alert(tab.page, "This page has ended.")
        eventually(lambda: kernel_id not in kernels(server))
        tab.page.wait_for_timeout(3000)  # that nothing happens
        assert tab.kernel_id == kernel_id
        assert "HEAD /page" not in asked and "GET /page" not in asked
        tab.page.get_by_role("button", name="Reload").press("Enter")
        came_back(tab, kernel_id)
        root = server.visitor(cookies={"person": "root", "_xsrf": "ab" * 16})
        rows = root.get("api/app-meta/sessions").json()
        [id] = [row["id"] for row in rows if row["kernel_id"] == tab.kernel_id]
        assert root.call("DELETE", f"api/app-meta/sessions/{id}").status_code == 204
        alert(tab.page, "An administrator has ended this page.")


def test_upload_that_is_too_large_is_told_and_the_page_goes_on(server: Server, browser: Browser) -> None:
    """A file over the limit is not sent, its visitor reads why, and the next one and the slider work."""
    with window(browser, server.url, "alice") as hers:
        tab = Tab(hers, server.url).open("page?region=emea", "<alice|")
        before, sockets = tab.kernel_id, len(tab.sockets)
        give(tab, MAX_UPLOAD + 1)
        alert(tab.page, "What you sent is larger than this page accepts (10 MB).")
        assert tab.move().startswith("alice|")
        give(tab, 12_345)
        tab.page.get_by_text("12345 bytes came").wait_for()
        alert(tab.page, "What you sent is larger")
        tab.page.get_by_role("button", name="Dismiss").click()
        quiet(tab.page)
        assert (tab.kernel_id, len(tab.sockets), tab.wrong) == (before, sockets, [])


def test_socket_that_the_server_closes_for_its_size_is_told(server: Server, browser: Browser) -> None:
    """Where something too large was sent all the same, the page says why its socket was closed, and connects again."""
    with window(browser, server.url, "alice") as hers:
        hers.add_init_script(KEEP_SOCKETS)
        tab = Tab(hers, server.url).open("page?region=emea", "<alice|")
        tab.page.evaluate("size => Native.prototype.send.call(kept[0], new Uint8Array(size))", MAX_UPLOAD + 1)
        alert(tab.page, "What you sent is larger than this page accepts (10 MB).")
        assert tab.move().startswith("alice|")


@pytest.mark.parametrize(("path", "device"), [("page", {}), ("dark", PHONE)])
def test_banner_is_readable_and_moves_nothing(
    server: Server, browser: Browser, path: str, device: dict[str, object]
) -> None:
    """The banner is painted over the page in its theme, within the screen, and asks no other host for anything."""
    with window(browser, server.url, "alice", **device) as hers:
        tab = Tab(hers, server.url).open(path, "<alice|")
        hosts: set[str] = set()
        tab.page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        place = tab.page.locator(".noUi-handle").bounding_box()
        tab.page.evaluate(RELOADED, 3)
        kill_kernel(server, tab)
        alert(tab.page, "This page has ended.")
        assert tab.page.locator(".noUi-handle").bounding_box() == place
        button = tab.page.get_by_role("button", name="Reload")
        box, screen = button.bounding_box(), tab.page.viewport_size
        assert box and screen
        assert box["x"] >= 0 and box["x"] + box["width"] <= screen["width"] and box["height"] >= 36
        assert box["y"] + box["height"] <= screen["height"]
        card = tab.page.get_by_role("alert").locator("..")
        paint = card.evaluate("card => [getComputedStyle(card).backgroundColor, getComputedStyle(card).color]")
        assert contrast(*paint) >= 4.5
        assert (luminance(paint[0]) < 0.2) == (path == "dark")
        assert (
            contrast(*button.evaluate("b => [getComputedStyle(b).backgroundColor, getComputedStyle(b).color]")) >= 4.5
        )
        assert hosts <= {urlsplit(server.url).netloc}


def test_script_is_small_and_cannot_end_early() -> None:
    """It is written into every page: it stays below 15 kB, and has no text that would end its element."""
    text = script(DEFAULT_LIMIT, 10)
    assert len(text.encode()) < 15_000
    assert f'data-upload="{DEFAULT_LIMIT}" data-message="{MAX_UPLOAD}" data-beat="10000"' in text
    assert text.count("</script") == 1 and "<!--" not in text
    assert "http://" not in text and "https://" not in text


def test_script_is_one_function_with_all_of_its_parts() -> None:
    """What is shown stands inside the function that uses it, so that no name of ours is the page's own."""
    text = script(DEFAULT_LIMIT, 10)
    inside = text.partition("(()=>{")[2].rpartition("})();")[0]
    for part in ("const bar={", "\ntellTab();"):
        assert inside.count(part) == text.count(part) == 1


def test_page_says_its_tab_only_where_the_server_keeps_state() -> None:
    """Without a store the tab is of no use, so the page sends nothing."""
    assert "tellTab" not in script(DEFAULT_LIMIT, 10, tab=False)
    assert told(script(DEFAULT_LIMIT, 10), '/a"b/').startswith(
        '<script data-tab="/a&quot;b/" data-theme="" data-upload='
    )
    assert 'data-theme="dark"' in told(script(DEFAULT_LIMIT, 10), "/", "JupyterLab Dark")
