"""Notebooks written for Voila find the query where they look for it, cold and warm, and never another visitor's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import nbformat
import pytest
from harness import Server
from stage import FORK, Opened, eventually, move, staging, visit, write

from jupyter_app_meta.dashboards.files.imports import advice

READ = """import json, os, subprocess, sys
from voila.utils import get_query_string
def read():
    name = "QUERY_STRING"
    return [get_query_string(), os.environ[name], os.getenv(name), os.environ.get(name, "absent")]
open(f"ready-{os.getpid()}", "w").close()
print("<" + json.dumps(read()) + ">", os.environ["VOILA_REQUEST_URL"], "QUERY_STRING" in os.environ)"""

STORED = """inherited = "import os; print('inherited', os.environ.get('QUERY_STRING'))"
print(subprocess.run([sys.executable, "-c", inherited], capture_output=True, text=True).stdout)
others = os.environ.get("QUERY_STRINGS"), "PATH" in os.environ
print("listed", "QUERY_STRING" in list(os.environ), "others", others)"""

NOBODYS = """import warnings
from concurrent.futures import ThreadPoolExecutor
with warnings.catch_warnings(record=True) as caught, ThreadPoolExecutor(1) as pool:
    warnings.simplefilter("always")
    found = [pool.submit(os.environ.get, "QUERY_STRING").result() for _ in range(3)]
print("pool", found, [str(warning.message) for warning in caught if "QUERY_STRING" in str(warning.message)])"""

CALLBACK = """import ipywidgets
slider, label = ipywidgets.IntSlider(), ipywidgets.Label("untouched")
slider.observe(lambda change: setattr(label, "value", f"{get_query_string()}|{change.new}"), "value")
display(ipywidgets.VBox([slider, label]))
print("slider", slider.comm.comm_id, "label", label.comm.comm_id)"""

APP = """app = (create_app(identity_provider=People)
               .with_app(path="/cold", root="page.ipynb").with_app(path="/warm", root="page.ipynb", warm=1))"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One notebook, cold and warm; the server's own environment has a query too."""
    home = tmp_path_factory.mktemp("query")
    write(home / "root" / "page.ipynb", READ, STORED, NOBODYS, CALLBACK)
    with staging(home, APP, env={"QUERY_STRING": "server=own", "VOILA_PREHEAT": "True"}) as server:
        yield server


def opened(server: Server, path: str, region: str) -> Opened:
    """Open the page with a query that has a credential; a warm one, once there is one that waits."""
    if path == "/warm" and not FORK:
        eventually(lambda: list((server.home / "root").glob("ready-*")), timeout=60)
        for note in (server.home / "root").glob("ready-*"):
            note.unlink()
    return visit(server, "alice" if region == "emea" else "bob", path, region=region, token="CANARY", q="a b&c")


@pytest.mark.parametrize("path", ["/cold", "/warm"])
def test_query_is_where_voila_has_it(server: Server, path: str) -> None:
    """The cells of a page, and its callbacks, read their own visitor's filtered query; nothing else has it."""
    for region in ("emea", "apac"):
        page = opened(server, path, region)
        text = unescape(page.response.text)
        query = f"region={region}&q=a%20b%26c"
        found = re.search(r"<\[(.*?)\]> (\S+) (\w+)", text)
        assert found, text[-3000:]
        assert {part.replace("+", "%20") for part in re.findall(r'"(.*?)"', found[1])} == {query}
        assert found[2].replace("+", "%20") == f"{server.url.rstrip('/')}{path}?{query}" and found[3] == "True"
        assert "inherited None" in text and "listed False others (None, True)" in text
        said = re.search(r"pool (\[.*?\]) (\[.*\])", text)
        assert said and said[1] == "[None, None, None]"
        assert said[2].count("Read app_meta().request.query_params") == 1
        assert move(page.connect(), page, 3).replace("+", "%20") == f"{query}|3"
        assert "CANARY" not in text
        page.close()
    warned = f"{path} (page.ipynb) imports voila.utils. It works"
    assert server.log.count(warned) == 1 and "read app_meta().request.query_params in place of" in server.log


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("from voila.utils import get_query_string", True),
        ("import os\nif os.name:\n    from voila.utils import (\n        wait_for_request)", True),
        ("import json, voila.utils as u", True),
        ("from voila import app, utils", True),
        ("from voila import (utils)", True),
        ("# from voila.utils import get_query_string", False),
        ("import voila\nimport voila.utilsx", False),
        ("from my_voila.utils import x", False),
        ("from voila import utility", False),
    ],
)
def test_imports_of_voila_are_found(source: str, *, is_one: bool) -> None:
    """Each form of the import in a code cell counts; text and other modules do not."""
    cells = [nbformat.v4.new_markdown_cell("from voila.utils import x"), nbformat.v4.new_code_cell(source)]
    assert bool(advice(nbformat.v4.new_notebook(cells=cells))) is is_one
