"""What a notebook is called, and the index that shows it; no notebook is run."""

from __future__ import annotations

import json
import re
import time
from html import unescape
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME as HERE
from stage import served, write

from jupyter_app_meta.dashboards import DashboardError, create_app
from jupyter_app_meta.dashboards.files.titles import title

anything = st.text(st.characters(exclude_categories=()), max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=6,
)
cells = st.fixed_dictionaries(
    {}, optional={"cell_type": st.sampled_from(["markdown", "code"]) | json_values, "source": json_values}
)


def titled(folder: Path, source: Any, name: str = "the_file-name", **metadata: Any) -> str:
    """Return the title of a notebook with one text."""
    path = folder / f"{name}.ipynb"
    cell = {"cell_type": "markdown", "source": source}
    path.write_text(json.dumps({"metadata": metadata, "cells": [cell]}))
    return title(path)


@pytest.mark.parametrize(
    "source", ["# First\n\n# Second", ["Before\n", "# First\n", "# Second"], "\n\n#  First \t\r\n"]
)
def test_first_heading_is_the_title(tmp_path: Path, source: Any) -> None:
    """The first heading of the first level names a notebook, written as one text or as lines."""
    assert titled(tmp_path, source) == "First"


@pytest.mark.parametrize(
    ("heading", "said"),
    [
        ("# **Bold** and `code`", "Bold and code"),
        ("# A [link](https://example.org/x) here", "A link here"),
        ("# ![A logo](logo.png) Sales", "A logo Sales"),
        ("# <b>Sales</b> & more", "Sales & more"),
        ("# Closed ##", "Closed"),
        ("# C# for us", "C# for us"),
        ("# Übersicht 日本", "Übersicht 日本"),
        ("# 3 < 4", "3 < 4"),
    ],
)
def test_markup_is_taken_off(tmp_path: Path, heading: str, said: str) -> None:
    """A title is what people read, without the signs of Markdown and HTML."""
    assert titled(tmp_path, heading) == said


@pytest.mark.parametrize(
    "source", ["text", "#NoSpace", "## Second level", "#", "# ", "# **", "    # code", "", [], "\\# no"]
)
def test_file_names_what_has_no_heading(tmp_path: Path, source: Any) -> None:
    """Without a heading the file's name is made readable."""
    assert titled(tmp_path, source) == "The file name"


def test_metadata_wins(tmp_path: Path) -> None:
    """A title in the notebook's metadata comes first, unless it is empty or not a string."""
    assert titled(tmp_path, "# Heading", title="  Stated ") == "Stated"
    for stated in ("", "  ", None, 7, ["x"], {"a": 1}):
        assert titled(tmp_path, "# Heading", title=stated) == "Heading"


def test_code_and_later_cells_do_not_matter(tmp_path: Path) -> None:
    """A comment in code is not a heading; the heading of a later text cell is."""
    path = write(tmp_path / "a.ipynb", "# a comment", "%md no heading", "%md # Heading", "%md # Other")
    assert title(path) == "Heading"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b"{}", b'{"cells": []}', b'{"metadata": {}, "cells": 7}']
)
def test_broken_notebook_has_its_files_name(tmp_path: Path, content: bytes) -> None:
    """What cannot be read as a notebook is still shown by its name, as is what is not there."""
    path = tmp_path / "my_sales.ipynb"
    path.write_bytes(content)
    assert title(path) == "My sales"
    assert title(tmp_path / "gone_notebook.ipynb") == "Gone notebook"
    assert title(tmp_path) != ""


@given(metadata=json_values, cells=st.lists(cells | json_values, max_size=3) | json_values)
def test_any_json_has_a_title(tmp_path_factory: pytest.TempPathFactory, metadata: Any, cells: Any) -> None:
    """There is a title for any metadata and cells."""
    path = tmp_path_factory.getbasetemp() / "any.ipynb"
    path.write_text(json.dumps({"metadata": metadata, "cells": cells}))
    assert title(path).strip()


def test_endless_notebook_has_its_files_name(tmp_path: Path) -> None:
    """A file that is nested without end is one more broken notebook."""
    (tmp_path / "deep.ipynb").write_text("[" * 100_000)
    assert title(tmp_path / "deep.ipynb") == "Deep"


def test_heading_is_found_in_no_time(tmp_path: Path) -> None:
    """A heading with many blanks does not keep all visitors waiting."""
    began = time.process_time()
    assert titled(tmp_path, f"# a{' ' * 900}b").startswith("a")
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("source", "said"), [("#\n\nA paragraph.", "The file name"), ("# Use snake_case_names", "Use snake_case_names")]
)
def test_heading_is_what_a_reader_sees(tmp_path: Path, source: str, said: str) -> None:
    """An empty heading does not count, and an underscore within a word is a letter."""
    assert titled(tmp_path, source) == said


# --- the index -------------------------------------------------------------------------------------------------------


def links(html: str) -> dict[str, str]:
    """Return the links of an index and what they say."""
    found = re.findall(r'<li><a href="([^"]*)"><span>(.*?)</span>', html)
    return {unescape(link): unescape(said) for link, said in found}


async def test_index_lists_what_can_be_opened(tmp_path: Path) -> None:
    """Pages and directories are listed with their titles; a page whose path has a parameter is not."""
    page = write(tmp_path / "page.ipynb", "%md # A page", kernel=HERE)
    for name in ("b/two", "one", "_draft", ".hidden/x"):
        write(tmp_path / "folder" / f"{name}.ipynb", f"%md # Title of {name}", kernel=HERE)
    app = create_app().with_index().with_app(path="/page", root=page).with_app(path="/pages/{x}", root=page)
    async with served(app.with_dynamic_directory(path="/folder", directory=tmp_path / "folder")) as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert links(answer.text) == {
        "/page": "A page",
        "/folder/b/two": "Title of b/two",
        "/folder/one": "Title of one",
    }


async def test_index_shows_examples_of_a_page_with_parameters(tmp_path: Path) -> None:
    """A page whose path has parameters is listed once for each of its examples that the visitor may see."""
    page = write(tmp_path / "page.ipynb", "%md # A page", kernel=HERE)
    examples = [{"x": "1001"}, {"x": "ö & ö"}, {"x": "hidden"}]

    def authorize(user: Any, request: Any) -> bool:
        return bool(request.path_params["x"] != "hidden")

    app = create_app().with_index().with_app(path="/pages/{x}", root=page, authorize=authorize, examples=examples)
    async with served(app) as client:
        found = links((await client.get("/")).text)
        assert found == {"/pages/1001": "A page", "/pages/%C3%B6%20%26%20%C3%B6": "A page"}
        assert [(await client.head(link)).status_code for link in found] == [200, 200]


@pytest.mark.parametrize("examples", ["x", [1], [{"y": "1"}], [{}], [{"x": 1}], [{"x": "a/b"}], [{"x": ".."}]])
def test_examples_must_fit_the_path(tmp_path: Path, examples: Any) -> None:
    """An example has one segment for each parameter; anything else is refused by name."""
    with pytest.raises(DashboardError, match=r"examples .*for /\{x\}|examples of /\{x\}"):
        create_app().with_app(path="/{x}", root=tmp_path / "a.ipynb", examples=examples)


async def test_index_shows_what_this_visitor_may_see(tmp_path: Path) -> None:
    """A page whose ``authorize`` does not answer True for the visitor and that page is left out."""
    folder = tmp_path / "folder"
    for name in ("mine", "other", "raises"):
        write(folder / f"{name}.ipynb", "1", kernel=HERE)

    async def validate(user: Any, request: Any) -> bool | str:
        answers: dict[str, bool | str] = {"mine": True, "other": False}
        return answers[request.path_params["name"]]

    app = create_app().with_index(path="/list").with_dynamic_directory(path="/", directory=folder, validate=validate)
    app = app.with_app(path="/elsewhere", root=folder / "mine.ipynb", authorize=lambda user, request: "/login")
    async with served(app) as client:
        assert links((await client.get("/list")).text) == {"/mine": "Mine"}


async def test_index_escapes_titles(tmp_path: Path) -> None:
    """A title is shown as text, even if it looks like markup."""
    title = "<script>alert('x')</script>\"&"
    page = write(tmp_path / "page.ipynb", "1", title=title, kernel=HERE)
    async with served(create_app().with_index().with_app(path="/page", root=page)) as client:
        answer = await client.get("/")
    assert "<script>alert" not in answer.text and links(answer.text) == {"/page": title}


async def test_empty_index_says_so(tmp_path: Path) -> None:
    """A visitor who may see nothing is told so."""
    async with served(create_app().with_index().with_dynamic_directory(path="/x", directory=tmp_path)) as client:
        assert "There are no dashboards that you can open." in (await client.get("/")).text


@pytest.mark.parametrize("name", ["what?", "a#b", "50%25 off"])
async def test_links_of_the_index_lead_to_their_pages(tmp_path: Path, name: str) -> None:
    """A name with signs that URLs use for something else is escaped in its link."""
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / f"{name}.ipynb")
    async with served(create_app().with_index().with_dynamic_directory(path="/x", directory=tmp_path)) as client:
        (link,) = links((await client.get("/")).text)
        assert (await client.head(link)).status_code == 200


async def test_file_whose_name_is_no_text_does_not_cost_the_index(tmp_path: Path) -> None:
    """A file whose name is not UTF-8, as old archives have them, costs at most its own entry."""
    folder = tmp_path / "folder"
    write(folder / "page.ipynb", "1", kernel=HERE)
    (folder / b"caf\xe9.ipynb".decode("utf-8", "surrogateescape")).write_text("{}")
    async with served(create_app().with_index().with_dynamic_directory(path="/x", directory=folder)) as client:
        answer = await client.get("/")
    assert (answer.status_code, links(answer.text).get("/x/page")) == (200, "Page")


async def test_directory_with_a_parameter_is_not_listed(tmp_path: Path) -> None:
    """A directory whose path has a parameter has no link, because the parameter's value is not known."""
    write(tmp_path / "page.ipynb", "1", kernel=HERE)
    app = create_app().with_index().with_dynamic_directory(path="/of/{tenant}", directory=tmp_path)
    async with served(app) as client:
        assert links((await client.get("/")).text) == {}
