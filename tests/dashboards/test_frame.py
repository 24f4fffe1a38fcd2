"""The page around a dashboard, by HTTP: its header, what each visitor finds in it, and what needs no script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server
from stage import Opened, browse, served, staging, visit, write

from jupyter_app_meta import frame
from jupyter_app_meta.dashboards import DashboardError, create_app
from jupyter_app_meta.dashboards.web.around.headers import filled, initials
from jupyter_app_meta.frame.outputs import is_static
from jupyter_app_meta.providers import UsersIdentityProvider

APP = """
app = (create_app(identity_provider=People)
       .with_index()
       .with_app(path="/cold", root="page.ipynb")
       .with_app(path="/warm", root="page.ipynb", warm=1)
       .with_app(path="/dark", root="dark.ipynb")
       .with_app(path="/bare", root="bare.ipynb"))
"""

MARKED = "print('<!--app-meta:header-->')\ndisplay({'text/html': '<!--app-meta:header--><i>mine</i>'}, raw=True)"
TABLE = "display({'text/html': '<table><tr><td>42</td></tr></table>', 'text/plain': '42'}, raw=True)"
SCRIPT = "display({'text/html': '<script>window.ran = 1</script>', 'text/plain': 'x'}, raw=True)"
WHO = "from jupyter_app_meta import app_meta\nprint('for', app_meta().user.username)"
OUTPUT = "application/vnd.voila.cell-output+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose pages have our template, but for one that asks for Voila's."""
    home = tmp_path_factory.mktemp("frame")
    cells = ("%md # Sales & <more>\n\nWhat was sold. And more.", TABLE, SCRIPT, WHO, MARKED)
    write(home / "root" / "page.ipynb", *cells)
    write(home / "root" / "dark.ipynb", "1", voila={"theme": "dark"})
    write(home / "root" / "bare.ipynb", TABLE, voila={"template": "lab"})
    with staging(home, APP) as server:
        yield server


def header(page: Opened) -> str:
    """Return the header of a page."""
    found = re.search(r'<header class="am-header">(.*?)</header>', page.response.text, re.DOTALL)
    assert found, page.response.text[:500]
    return found[1]


@pytest.mark.parametrize("path", ["cold", "warm"])
def test_header_is_the_visitors_own(server: Server, path: str) -> None:
    """A page, also one that was rendered ahead, has the title, the way back and its visitor, all of them escaped."""
    page = visit(server, "eve%20%3Cb%3E", path)
    shown = header(page)
    assert '<a class="am-back" href="/">' in shown and '<p class="am-title">Sales &amp;' in shown
    assert "Eve &lt;B&gt;" in shown and "<B>" not in shown and ">E&lt;<" in shown
    assert '<a href="/logout">Log out</a>' in shown
    assert "for eve &lt;b&gt;" in page.response.text


def test_index_has_the_header_and_first_sentences(server: Server) -> None:
    """The index says who its visitor is, and the first sentence of each page."""
    index = server.visitor(cookies={"person": "alice"}).get("").text
    assert "am-chip" in index and ">Alice<" in index
    assert "What was sold." in index and "And more." not in index


def test_author_cannot_have_the_header_twice(server: Server) -> None:
    """What looks like the header's mark in an output is the author's."""
    page = visit(server, "alice", "cold").response.text
    assert page.count('<details class="am-chip">') == 1
    assert "<!--app-meta:header--><i>mine</i>" in page


def test_output_that_needs_no_script_is_in_the_page(server: Server) -> None:
    """A table is there as HTML. What runs a script waits for Voila's, as all outputs do in Voila's template."""
    page, bare = visit(server, "alice", "cold").response.text, visit(server, "alice", "bare").response.text
    waiting = re.findall(rf'<script type="{re.escape(OUTPUT)}">(.*?)</script>', page, re.DOTALL)
    assert "<td>42</td>" in page and [text for text in waiting if "42" in text] == []
    assert len(waiting) == 1 and "window.ran" in waiting[0]
    assert "<td>42</td>" not in bare and "am-header" not in bare and OUTPUT in bare


def test_page_names_no_other_host(server: Server) -> None:
    """Styles, scripts, fonts and mathematics come from this server."""
    page = visit(server, "alice", "cold").response.text
    named = set(re.findall(r"https?://[\w.-]+", page)) - {"http://www.w3.org"}
    assert named <= {server.url.rstrip("/").rpartition(":")[0], "http://localhost"}
    assert '"fullMathjaxUrl": "null"' in page


def test_theme_is_the_visitors_unless_it_is_fixed(server: Server) -> None:
    """If no theme is named, the visitor's system decides; a notebook may fix it."""
    free, fixed = (visit(server, "alice", path).response.text for path in ("cold", "dark"))
    assert '<meta name="theme-fixed" content="">' in free
    assert '<meta name="theme-fixed" content="dark">' in fixed


def test_pages_of_one_notebook_begin_with_the_same_bytes(server: Server) -> None:
    """Apart from the header and the kernel, what comes before the first output says nothing of the visitor."""
    begun = []
    for person in ("alice", "bob"):
        text = browse(server.visitor(cookies={"person": person}), "cold").response.text.partition("<table>")[0]
        own = r'<header class="am-header">.*?</header>|"kernelId": "[^"]*"| data-tab="[^"]*"|<!--/?[0-9a-f:]+-->'
        text = re.sub(own, "", text, flags=re.DOTALL)
        begun.append(text)
    assert begun[0] == begun[1] and len(begun[0]) > 5000


def test_script_of_the_frame_is_small() -> None:
    """The scripts of the frame have less than 15 kB together."""
    assert sum(path.stat().st_size for path in frame.FOLDER.glob("*.js")) < 15_000


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"text/plain": "x"}, True),
        ({"text/html": "<b>x</b>", "text/plain": "x"}, True),
        ({"image/png": "aGk=", "text/plain": "x"}, True),
        ({"text/html": ["<b>", "x</b>"]}, True),
        ({"text/html": "<SCRIPT>x</SCRIPT>"}, False),
        ({"text/html": "costs $ 5"}, False),
        ({"text/markdown": r"\(x\)"}, False),
        ({"text/latex": "$x$", "text/plain": "x"}, False),
        ({"application/vnd.jupyter.widget-view+json": {}, "text/plain": "x"}, False),
        ({}, False),
    ],
)
def test_outputs_that_need_no_script(data: dict[str, Any], expected: bool) -> None:
    """Text, pictures and HTML need none, unless the HTML has scripts or mathematics."""
    assert is_static({"output_type": "display_data", "data": data}) is expected


@pytest.mark.parametrize(
    ("name", "expected"), [("Alice", "A"), ("Ada von Love Lace", "AL"), ("", ""), ("  ß x ", "SSX")]
)
def test_initials(name: str, expected: str) -> None:
    """The first letters of the first and the last word stand for a name."""
    assert initials(name) == expected


async def test_header_is_filled_in_once() -> None:
    """Only the mark before the cells is the header's place."""

    async def pieces() -> Any:
        for piece in ("<html>", "<header>" + frame.MARK + "</header>", '<main id="rendered_cells">', frame.MARK):
            yield piece

    assert "".join([piece async for piece in filled(pieces(), "HEAD")]).count("HEAD") == 1


async def test_deployers_pages_come_first(tmp_path: Path) -> None:
    """A file of ``template_paths`` takes the place of our page, and may extend it; a status may have its own."""
    own = tmp_path / "pages"
    own.mkdir()
    ours = '{% extends "app-meta/NAME" %}{% block main %}<p>Acme {{ status }}</p>{{ super() }}{% endblock %}'
    for name in ("error.html", "login.html", "index.html"):
        (own / name).write_text(ours.replace("NAME", name))
    (own / "403.html").write_text("<b>{{ status }} of Acme</b>")
    (tmp_path / "people.toml").touch(0o600)
    config = {"UsersIdentityProvider": {"file": str(tmp_path / "people.toml")}}
    builder = create_app(template_paths=[own], identity_provider=UsersIdentityProvider, config=config)
    async with served(builder.with_app(path="/page", root=write(tmp_path / "page.ipynb"))) as client:
        login, missing = (await client.get("/login")).text, (await client.get("/nowhere")).text
        assert "<p>Acme </p>" in login and 'name="password"' in login and "am-header" in login
        assert "<p>Acme 404</p>" in missing and "There is no such page" in missing
        assert (await client.post("/login")).status_code == 403
        assert (await client.post("/logout")).text == "<b>403 of Acme</b>"


async def test_header_names_nobody_where_nobody_can_log_in(tmp_path: Path) -> None:
    """A server without a login has neither a menu of the visitor nor a button to log in."""
    builder = create_app().with_index().with_app(path="/page", root=write(tmp_path / "page.ipynb"))
    async with served(builder) as client:
        for path in ("/", "/nowhere"):
            text = (await client.get(path)).text
            assert "am-header" in text and "Log in" not in text and '<details class="am-chip">' not in text


async def test_login_with_a_token_has_our_look(tmp_path: Path) -> None:
    """The form of jupyter_server's own providers is drawn like our pages, and says why a token was refused."""
    builder = create_app(token="sesame").with_app(path="/page", root=write(tmp_path / "page.ipynb"))
    async with served(builder) as client:
        form = await client.get("/login", params={"next": "/page"})
        assert 'class="am-page am-form"' in form.text and "Password or token" in form.text
        fields = {"_xsrf": client.cookies["_xsrf"], "password": "guess"}
        refused = await client.post("/login", params={"next": "/page"}, data=fields)
        assert refused.status_code == 401 and 'role="alert" id="problem">Invalid credentials' in refused.text
        let_in = await client.post("/login", params={"next": "/page"}, data={**fields, "password": "sesame"})
        assert (let_in.status_code, let_in.headers["Location"]) == (302, "/page")


def test_folder_of_pages_exists() -> None:
    """A misspelt folder is refused at the start."""
    with pytest.raises(DashboardError, match="template_paths"):
        create_app(template_paths=["absent"]).check()
