"""What nbconvert works out for each page is worked out once for a version of a notebook, unless that could be seen."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from harness import kernelspec
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from stage import KERNEL, write

from jupyter_app_meta.dashboards import create_app
from jupyter_app_meta.dashboards.runs import notebook
from jupyter_app_meta.dashboards.runs.notebook import Blueprint
from jupyter_app_meta.frame.outputs import is_static

CELLS = ("%md # Sales", "%md A secret", "%md The end")


class Counting(Preprocessor):
    """A deployer's own preprocessor."""

    pages = 0

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Count the pages in the text of the first cell."""
        Counting.pages += 1
        nb.cells[0]["source"] = f"# Page {Counting.pages}"
        return nb, resources


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a notebook whose second cell is tagged, and a template whose static file can be edited."""
    kernelspec(tmp_path, KERNEL)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    path = write(tmp_path / "page.ipynb", *CELLS)
    found = nbformat.read(path, as_version=4)
    found.cells[1].metadata["tags"] = ["hidden"]
    nbformat.write(found, path)
    return tmp_path


async def read(home: Path, **config: object) -> Blueprint:
    """Return the blueprint of the notebook, on a server with this configuration and Voila's own template."""
    path = home / "page.ipynb"
    application = (
        create_app(config={"VoilaConfiguration": {"template": "lab"}, **config}).with_app(path="/", root=path).build()
    )
    try:
        version = notebook.version(path)
        assert version
        return await notebook.read(application.services, path, version)
    finally:
        await application.close()


async def page(blueprint: Blueprint, changes: str = "") -> str:
    """Return a page whose cells show no outputs, with ``changes`` after the text of each cell."""

    async def each(nb: NotebookNode, kernel_id: str) -> AsyncIterator[NotebookNode]:
        for cell in nb.cells:
            cell["source"] += f" {changes}"
            yield cell

    async def kernel_start(nb: NotebookNode) -> str:
        return "0" * 36

    pieces = blueprint.exporter.generate_from_notebook_node(
        blueprint.prepared,
        resources=dict(blueprint.resources),
        extra_context={
            "frontend": "voila",
            "main_js": "voila.js",
            "kernel_start": kernel_start,
            "cell_generator": each,
            "progressive_rendering": False,
            "is_static": is_static,
            "display_begins": lambda output: "",
            "display_ends": lambda output: "",
        },
        page_config=dict(blueprint.page_config),
    )
    return "".join([piece async for piece, _ in pieces])


def style(home: Path, program: str, text: str) -> None:
    """Write the style sheet of a template. Voila's templates come before those of nbconvert."""
    path = home / "data" / program / "templates" / "lab" / "static" / "our.css"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def addresses(blueprint: Blueprint) -> set[str]:
    """Return what a template writes to include a style sheet, in both ways."""
    exporter: Any = blueprint.exporter
    resources = exporter._init_resources(dict(blueprint.resources))
    return {exporter.static_url("our.css"), str(resources["include_css"]("static/our.css"))}


def applied(caplog: pytest.LogCaptureFixture, name: str) -> int:
    """Return how often a preprocessor of this name was applied."""
    return sum(record.getMessage() == f"Applying preprocessor: {name}" for record in caplog.records)


async def test_preprocessors_run_once(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The tagged cell is removed from each page, and the preprocessor that removes it runs for the first page only."""
    caplog.set_level(logging.DEBUG)
    blueprint = await read(home, TagRemovePreprocessor={"remove_cell_tags": ["hidden"]})
    pages = [await page(blueprint) for _ in range(3)]
    assert pages[0] == pages[1] == pages[2]
    assert "Sales" in pages[0] and "The end" in pages[0] and "secret" not in pages[0]
    assert applied(caplog, "TagRemovePreprocessor") == 1
    assert len(blueprint.notebook.cells) == 3  # cells are reported by their numbers in the file


async def test_pages_share_no_cells(home: Path) -> None:
    """What the template of one page changes in its cells is in no other page."""
    blueprint = await read(home)
    first = await page(blueprint, changes="only mine")
    assert "only mine" in first and "only mine" not in await page(blueprint)


async def test_a_deployers_preprocessor_runs_for_each_page(home: Path) -> None:
    """It may do something else each time; so it is not taken for one of nbconvert's."""
    blueprint = await read(home, VoilaExporter={"preprocessors": ["test_prepared.Counting"]})
    pages = [await page(blueprint) for _ in range(2)]
    assert "Page 1" in pages[0] and "Page 2" in pages[1]


async def test_a_preprocessor_that_fails_fails_in_the_page(home: Path) -> None:
    """The notebook is read, because only a page reports what its notebook did wrong."""
    found = nbformat.read(home / "page.ipynb", as_version=4)
    found.cells[0]["metadata"]["tags"] = "not a list"
    (home / "page.ipynb").write_text(json.dumps(found))
    blueprint = await read(home, TagRemovePreprocessor={"remove_cell_tags": ["hidden"]})
    with pytest.raises(nbformat.ValidationError):
        await page(blueprint)


async def test_static_files_are_looked_up_once(home: Path) -> None:
    """An address holds for all pages of a version of a notebook; the next version finds a file that comes first."""
    style(home, "nbconvert", "a { color: red }")
    blueprint = await read(home)
    first = addresses(blueprint)
    style(home, "voila", "a { color: blue }")
    again = addresses(await read(home))
    assert addresses(blueprint) == first and first.isdisjoint(again)
    assert all("templates/lab/static/our.css?v=" in address for address in first | again)
