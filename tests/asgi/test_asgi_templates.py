"""Pages of each installed template and theme, rendered before their base was known: all their links are below it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from urllib.parse import quote, unquote, urljoin

import pytest
from harness import Server
from hypothesis import given
from hypothesis import strategies as st
from journeys import at, hosting
from stage import Opened, browse, write

from jupyter_app_meta.dashboards.files import looks
from jupyter_app_meta.dashboards.web.bases import rebased

DASHBOARDS = """
mounted(builder.with_dynamic_directory(path="/d", directory="."), "/t/{tenant}/d")
"""

TENANT = "t/a%26b%27c%20%22%3C%C3%BC;/d/"
"""A place whose parameter has characters that mean something in HTML, JSON, scripts and cookies."""

BASE = "/t/a%26b%27c%20%22%3C%C3%BC%3B/d/"
"""Its base, as pages have it."""

THEMES = {"lab": ["light", "dark", "JupyterLab Light", "JupyterLab Dark"]}
"""The themes to try with a template, if it has more than two."""

ODD = r"""{%- extends "voila/templates/lab/index.html.j2" -%}
{%- block html_head_js -%}{{ super() }}
<meta name="json" content="{{ (resources.base_url | tojson | string).replace("/", "\\/") | e }}">
<meta name="quoted" content="?next={{ resources.base_url.replace("/", "%2F") }}">
<meta name="escaped" content="{{ resources.base_url.replace("/", "&#47;") | safe }}">
<meta name="short" content="{{ resources.base_url.rstrip("/") }}/x">
<meta name="parts" content="{% for part in resources.base_url.split("/") %}[{{ part }}]{% endfor %}">
{%- endblock html_head_js -%}"""
"""A template of a deployer's own that spells the base in its own ways."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a notebook for each template and theme."""
    home = tmp_path_factory.mktemp("looks")
    for template, theme in installed():
        write(home / "root" / f"{template}-{theme}.ipynb", "%md # A page", voila={"template": template, "theme": theme})
    write(home / "root" / "odd.ipynb", "print(1)", voila={"template": "odd"})
    (folder := home / "data" / "voila" / "templates" / "odd").mkdir(parents=True)
    (folder / "index.html.j2").write_text(ODD)
    (folder / "conf.json").write_text(json.dumps({"base_template": "lab"}))
    with hosting(home, DASHBOARDS) as server:
        yield server


def installed() -> list[tuple[str, str]]:
    """Return the installed templates, each with its themes."""
    return [(name, theme) for name in looks.templates() for theme in THEMES.get(name, ["light", "dark"])]


def opened(host: Server, name: str, **query: str) -> Opened:
    """Open a page below the place with the odd name, which gives all of it."""
    page = browse(at(host, TENANT).visitor(cookies={"person": "alice"}), f"d/{name}", **query)
    assert page.response.status_code == 200 and "app-meta-base" not in page.response.text
    return page


class Links(HTMLParser):
    """The links of a page to files: what it loads, and where its configuration says that its scripts find more."""

    def __init__(self, page: Opened) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.config: dict[str, str] = {}
        self.body: dict[str, str | None] = {}
        self.feed(page.response.text)
        config = re.search(r'<script id="jupyter-config-data"[^>]*>(.*?)</script>', page.response.text, re.DOTALL)
        assert config
        self.config = json.loads(config[1])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element loads."""
        given = dict(attrs)
        if tag == "body":
            self.body = given
        if link := given.get("src" if tag in ("script", "img") else "href" if tag == "link" else ""):
            self.found.add(link)


@pytest.mark.parametrize(("template", "theme"), installed())
def test_links_of_each_template_and_theme_are_below_the_place(host: Server, template: str, theme: str) -> None:
    """No page has the path with which it was rendered; what it loads is found, whatever theme the query asks for."""
    page = opened(host, f"{template}-{theme}", theme="light" if "ark" in theme else "dark", template="classic")
    links = Links(page)
    links.found.add(f"{links.config['fullStaticUrl']}/voila.js")
    found = {urljoin(str(page.response.url), link) for link in links.found}
    own = {link for link in found if link.startswith(host.url)}  # the others are in the page itself, or at a CDN
    assert own and all(link.startswith(urljoin(host.url, BASE)) for link in own)
    assert {link: page.visitor.get(link).status_code for link in own} == dict.fromkeys(own, 200)
    assert links.body["data-base-url"] == f"{BASE}voila/" and links.config["baseUrl"] == BASE
    assert links.config["jupyterLabTheme"] == theme
    assert links.config["fullLabextensionsUrl"] == f"{BASE}voila/labextensions"
    assert page.close().status_code == 204


def test_template_may_spell_the_base_in_its_own_way(host: Server) -> None:
    """Slashes that are escaped for JSON, URLs or HTML stay so, and a base may be without its last slash."""
    page = opened(host, "odd")
    told = dict(re.findall(r'<meta name="(\w+)" content="(.*?)">', page.response.text))
    assert json.loads(told["json"].replace("&#34;", '"')) == BASE and "\\/" in told["json"]
    assert unquote(told["quoted"]) == f"?next={BASE}" and "/" not in told["quoted"]
    assert told["escaped"].replace("&#47;", "/") == BASE and "/" not in told["escaped"]
    assert told["short"] == f"{BASE}x"
    assert told["parts"] == f"[][{BASE.strip('/')}][]"
    assert page.close().status_code == 204


PAGE_BASE = "/app-meta-base-0123abcd/"


@pytest.mark.parametrize("slash", ["/", r"\/", "%2F", "%2f", "&#47;", "&#x2F;", r"\u002F"])
@given(parts=st.lists(st.sampled_from(["dash", "t", "%C3%BC", "a=b", "~x", "@1:2"]), max_size=4))
def test_base_has_the_slashes_of_the_path_that_it_replaces(slash: str, parts: list[str]) -> None:
    """What a template spells is what it would have spelled of the base itself."""

    def spelled(base: str) -> str:
        return (quote(base) if slash.startswith("%") else base).replace("/", slash)

    base = "/".join(["", *parts, ""]) if parts else "/"
    text = 'x "{}voila" {}, {}/y {}'
    forms: list[Callable[[str], str]]
    forms = [spelled, lambda b: spelled(b)[: -len(slash)], lambda b: b.rstrip("/"), lambda b: b.strip("/")]
    rendered, wanted = (text.format(*(form(b) for form in forms)) for b in (PAGE_BASE, base))
    assert rebased(rendered, PAGE_BASE, base) == wanted


def test_page_without_the_path_stays_as_it_is() -> None:
    """So does each page of a server that knows its base ahead."""
    assert rebased("a /dash/ b", PAGE_BASE, "/x/") == "a /dash/ b" == rebased("a /dash/ b", "", "/x/")
