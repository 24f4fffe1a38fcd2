"""``serve --dev``: an author looks as another person, sees tracebacks, and the page notices changed files."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
from harness import Server
from playwright.sync_api import Browser, expect
from stage import WHO, Opened, browse, served, serving_folder, write

from jupyter_app_meta.cli.serve import Serve
from jupyter_app_meta.dashboards import DashboardError, create_app
from jupyter_app_meta.providers import made_up
from jupyter_app_meta.providers.made_up import MadeUpIdentityProvider

GROUPS = f"{WHO}; print(m.user.groups, m.user.is_authenticated, m.request.headers.get('accept-language'))"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the server's notebook, the module beside it and the file of users."""
    home = tmp_path_factory.mktemp("dev")
    write(home / "root" / "page.ipynb", GROUPS, "raise ValueError('for the author')")
    (home / "root" / "helper.py").write_text("x = 1\n")
    (home / "root" / "people.toml").write_text('[alice]\ngroups = ["editors"]\n')
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    """A server for its author."""
    with serving_folder(home, ".", "--dev", "--users=people.toml") as server:
        yield server


def look(server: Server, user: str = "", *groups: str, header: str = "", **query: str) -> Opened:
    """Open the page as the bar does."""
    told = quote(json.dumps({"user": user, "groups": groups, "header": header}))
    return browse(server.visitor(cookies={"app-meta-look-as": told} if user else {}), "page", **query)


def test_an_author_looks_as_anybody(server: Server) -> None:
    """The page is that of the chosen visitor, with the traceback, and the bar says who that is."""
    page = look(server, "bob", "staff", "x", region="emea")
    assert "<bob|{'region': 'emea'}|" in page.html and "('staff', 'x') True" in page.html
    assert "for the author" in page.html and "Traceback" in page.html
    assert 'value="bob"' in page.html and 'value="staff, x"' in page.html and '<option value="alice">' in page.html
    assert '"people": {"alice": ["editors"]}' in page.html


def test_a_page_notices_changed_files(server: Server, home: Path) -> None:
    """The version changes with the modules beside the notebook; only the page's visitor may ask for it."""
    page = look(server)
    assert "False" in page.html and 'placeholder="nobody"' in page.html
    asked = f"api/app-meta/changes/{page.kernel_id}"
    first = page.visitor.http.get(asked).text
    assert len(first) == 64 and page.visitor.http.get(asked).text == first
    (home / "root" / "helper.py").write_text("x = 22\n")
    assert page.visitor.http.get(asked).text != first
    told = quote(json.dumps({"user": "mallory", "groups": []}))
    assert server.visitor(cookies={"app-meta-look-as": told}).http.get(asked).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example.org"}, {"X-Forwarded-For": "10.0.0.7"}, {"Forwarded": "for=1.2.3.4"}, {"X-Real-IP": "::1"}],
)
async def test_made_up_visitors_are_of_this_machine(tmp_path: Path, headers: Mapping[str, str]) -> None:
    """A request from elsewhere is refused, even if the deployer names the provider."""
    app = create_app(identity_provider=MadeUpIdentityProvider).with_dynamic_directory(path="/", directory=tmp_path)
    async with served(app.with_index()) as http:
        assert (await http.get("/")).status_code == 200
        assert (await http.get("/", headers=headers)).status_code == 403


async def test_the_bar_is_nowhere_else(tmp_path: Path) -> None:
    """Another server asks no cookie who a visitor is, and has no route for changes."""
    async with served(create_app().with_dynamic_directory(path="/", directory=tmp_path)) as http:
        path = "/api/app-meta/changes/00000000-0000-0000-0000-000000000000"
        assert (await http.get(path)).status_code in (403, 404)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ip=0.0.0.0"], "--ip must be localhost, not 0.0.0.0"),
        (["--ip="], "--ip must be localhost"),
        (["--token=x"], "combined with --token"),
        (["--Serve.auto_token=True"], "combined with --token"),
        (["--hub"], "combined with --hub"),
        (["--proxy-header=X-User"], "combined with --proxy-header"),
        (["--AppMetaExtension.trusted_proxies=10.0.0.0/8"], "trusted_proxies"),
        (["--Serve.public_url=https://example.org"], "Serve.public_url"),
        (["--Serve.trust_xheaders=True"], "Serve.trust_xheaders"),
        (["--Serve.allow_origin=*"], "Serve.allow_origin"),
        (["--identity-provider=jupyter_server.auth.IdentityProvider"], "combined with --identity-provider"),
    ],
)
def test_dev_is_refused_where_others_could_come(tmp_path: Path, options: list[str], said: str) -> None:
    """The refusal names the option."""
    app = Serve(log=logging.getLogger(__name__))
    app.initialize([str(tmp_path), "--dev", *options])
    with pytest.raises(DashboardError, match=said.replace("*", r"\*")):
        app.builder()


def test_voilas_short_forms(tmp_path: Path) -> None:
    """Voila's options for looks have the same short forms here."""
    app = Serve(log=logging.getLogger(__name__))
    app.initialize([str(tmp_path), "--theme=dark", "--template=lab", "--strip-sources=False", "--show-tracebacks"])
    found = app.builder().config.VoilaConfiguration
    assert (found.theme, found.template, found.show_tracebacks) == ("dark", "lab", True)
    assert str(found.strip_sources) == "False"


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("Accept-Language: de", ("Accept-Language", "de")),
        ("x-tenant:  a: b ", ("x-tenant", "a: b")),
        ("x-empty:", ("x-empty", "")),
        *((text, None) for text in ("", "no colon", ": value", "a b: c", "x: ä", "x: a\r\ny: b", "x: " + "a" * 256)),
        *((f"{name}: 1", None) for name in ("host", "Cookie", "SEC-FETCH-DEST", "content-length", "x-xsrftoken")),
        (5, None),
    ],
)
def test_a_made_up_header(told: object, kept: tuple[str, str] | None) -> None:
    """A header has a name and a value, and is none that the server itself needs."""
    assert made_up._header_in({"header": told}) == kept


def test_the_bar_looks_as_somebody_else(server: Server, browser: Browser) -> None:
    """What the author writes into the bar is who the next page sees. The first page is the bar alone."""
    found = re.search(r'<div id="app-meta-dev".*</div>', look(server).response.text, re.DOTALL)
    assert found
    context = browser.new_context()
    context.set_default_timeout(60_000)
    page, address = context.new_page(), f"{server.url}page"
    page.route(address, lambda route: route.fulfill(body=found[0], content_type="text/html"), times=1)
    page.goto(address)
    fields = {"Look as": "alice", "Query": "region=emea", "Header": "accept-language: tlh"}
    for label, value in fields.items():
        page.get_by_label(label).fill(value)
    page.get_by_label("Look as").dispatch_event("change")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_text("('editors',) True tlh")).to_be_visible()
    assert page.url == f"{address}?region=emea"
    assert {label: page.get_by_label(label).input_value() for label in fields} == fields
    context.close()


def test_a_page_is_loaded_again_when_its_notebook_is_saved(server: Server, home: Path, browser: Browser) -> None:
    """The author saves, and sees the new text without a click, as the same visitor with the same query."""
    notebook = write(home / "root" / "edited.ipynb", f"{WHO}; print('first text')")
    context = browser.new_context()
    page, address = context.new_page(), f"{server.url}edited?region=emea"
    with page.expect_response(lambda answer: "/api/app-meta/changes/" in answer.url and answer.ok, timeout=60_000):
        page.goto(address)
    cells = page.locator("#rendered_cells")
    expect(cells).to_contain_text("first text", timeout=60_000)
    write(notebook, f"{WHO}; print('second text')")
    expect(cells).to_contain_text("second text", timeout=60_000)
    expect(cells).to_contain_text("{'region': 'emea'}")
    context.close()
