"""The documentation is complete: the reference has each name that a reader may meet, under a heading of its own."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jupyter_core.application import base_aliases, base_flags

import jupyter_app_meta
from jupyter_app_meta import asgi, cli, testing
from jupyter_app_meta.asgi import AsgiBuilder, create_asgi_app
from jupyter_app_meta.cli.logins import CHOICES
from jupyter_app_meta.cli.serve import Serve
from jupyter_app_meta.dashboards import Builder, create_app
from jupyter_app_meta.errors import AppMetaError
from jupyter_app_meta.model import User
from jupyter_app_meta.server.app import AppMetaExtension
from jupyter_app_meta.server.hooks import Authorize, Meta, OnError

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = Path(jupyter_app_meta.__file__).parent
DOCS = PROJECT / "docs"
README = (PROJECT / "README.md").read_text("utf-8")
CHANGELOG = (PROJECT / "CHANGELOG.md").read_text("utf-8")

sys.path.insert(0, str(DOCS / "_ext"))
generated = importlib.import_module("generated")

FIRST_SCREEN = 40
MOST_LINES = 120
INHERITED = {*base_flags, *base_aliases} - {"config"}
EXTENSION_OPTIONS = sorted(AppMetaExtension.class_own_traits(config=True))
SERVE_OPTIONS = sorted(Serve.class_own_traits(config=True))
LOGIN_OPTIONS = sorted({name for cls, _ in CHOICES.values() for name in generated._own_options(cls)})
HOOKS = {"request_hook": Meta, "authorize": Authorize, "validate": Authorize, "meta": Meta, "on_error": OnError}
ERRORS = sorted(
    name
    for name in jupyter_app_meta.__all__
    if inspect.isclass(value := getattr(jupyter_app_meta, name)) and issubclass(value, AppMetaError)
)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages that the code itself knows, as Sphinx has them written."""
    folder = tmp_path_factory.mktemp("docs")
    generated.write(folder)
    return folder / "_generated"


def page(name: str) -> str:
    """Return the text of a page of the reference."""
    return (DOCS / "reference" / f"{name}.md").read_text("utf-8")


def headings(text: str) -> list[str]:
    """Return the headings of a page, without the marks of code."""
    return [found[1].replace("`", "") for found in re.finditer(r"^#+ (.+)$", text, re.MULTILINE)]


def signature(function: Callable[..., Any]) -> str:
    """Return a function's name and the names of its arguments, as a heading has them."""
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    return f"{function.__name__}({', '.join(names)})"


def commands(parser: argparse.ArgumentParser, words: str) -> list[str]:
    """Return each command that a parser has, in the words that a user types."""
    found: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, leaf in action.choices.items():
                found += commands(leaf, f"{words} {name}") or [f"{words} {name}"]
    return found


def errors(base: type[Exception]) -> set[type[Exception]]:
    """Return an error and all that are made of it, in all modules of the package."""
    for name in modules():
        importlib.import_module(name)
    return {base}.union(*map(errors, base.__subclasses__()))


def modules() -> Iterator[str]:
    """Yield the name of each module of the package."""
    for found in pkgutil.walk_packages(jupyter_app_meta.__path__, "jupyter_app_meta."):
        if not found.name.endswith("__main__"):
            yield found.name


def is_listed(name: str, layout: str) -> bool:
    """Whether the layout has this module, with a sentence of its own."""
    folder, _, module = name.rpartition("/")
    _, _, section = layout.partition(f"## `{folder}/`\n")
    row = re.search(rf"^\| `{module}\.py` \| \S.* \|$", section.partition("\n## ")[0], re.MULTILINE)
    return bool(row or re.search(rf"^## `{name}/`\n\n\S", layout, re.MULTILINE))


# --- the reference ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [jupyter_app_meta.app_meta, testing.fake_request, testing.dashboard])
def test_each_function_for_authors_has_a_heading_with_its_signature(function: Callable[..., Any]) -> None:
    """A reader finds each argument's name in the heading."""
    assert signature(function) in headings(page("authors"))


@pytest.mark.parametrize("name", sorted({*jupyter_app_meta.__all__} - {"app_meta", *ERRORS}))
def test_each_public_name_has_a_heading(name: str) -> None:
    """The reference has each value and type that the front door exports."""
    assert name in headings(page("authors"))


@pytest.mark.parametrize("name", [*User.defaults])
def test_each_field_of_a_user_is_described(name: str) -> None:
    """The table of a user's fields has each of them."""
    [rows] = ["\n".join(line for line in page("authors").splitlines() if line.startswith("| `"))]
    assert f"`{name}`" in rows


@pytest.mark.parametrize("cls", [jupyter_app_meta.AppMeta, jupyter_app_meta.HTTPRequest, jupyter_app_meta.SessionInfo])
def test_each_field_of_a_record_is_described(cls: Any) -> None:
    """The source has a comment for each field, which the reference shows, and the reference names each field."""
    source, text = inspect.getsource(cls), page("authors")
    [members] = re.findall(rf"autoclass:: {cls.__module__}\.{cls.__name__}\n   :members: (.*)", text)
    for item in fields(cls):
        assert item.name in members.split(", ")
        assert re.search(rf"^    {item.name}: .*  #: |#: .*\n    {item.name}: ", source, re.MULTILINE), item.name


def test_each_error_has_a_heading(written: Path) -> None:
    """The reference has each error that the package raises on purpose, and draws the tree of them."""
    found = {error.__name__ for error in errors(AppMetaError) if error.__module__.startswith("jupyter_app_meta.")}
    assert {*ERRORS, "DashboardError"} <= found
    assert found <= {*headings(page("errors"))}
    assert {*(written / "errors.md").read_text("utf-8").split()} >= found


@pytest.mark.parametrize("magic", ["%app_meta", "%%app_meta", "%load_ext jupyter_app_meta"])
def test_each_magic_is_documented(magic: str) -> None:
    """The reference has each magic."""
    assert f"`{magic}" in page("magics")


@pytest.mark.parametrize("name", HOOKS)
def test_each_hook_has_a_heading_with_its_signature(name: str) -> None:
    """The reference has each function of the deployer's that the server calls."""
    assert signature(HOOKS[name].__call__).replace("__call__", name) in headings(page("hooks"))


@pytest.mark.parametrize(
    "name", [name for name in vars(Builder) if not name.startswith("_") and callable(getattr(Builder, name))]
)
def test_each_method_of_the_builder_has_a_heading_with_its_signature(name: str) -> None:
    """The reference has each method of a builder."""
    assert signature(getattr(Builder, name)) in headings(page("dashboards"))


@pytest.mark.parametrize("name", [*inspect.signature(create_app).parameters])
def test_each_argument_of_create_app_is_described(name: str) -> None:
    """The reference has a row for each argument."""
    rows = [line for line in page("dashboards").splitlines() if line.startswith("| ")]
    assert any(f"`{name}`" in line.split("|")[1] for line in rows)


@pytest.mark.parametrize("name", asgi.__all__)
def test_each_name_for_asgi_has_a_heading(name: str) -> None:
    """The reference has each name of ``jupyter_app_meta.asgi``; that of the builder has its methods below."""
    found = {re.split(r"\W", heading)[0] for heading in headings(page("asgi"))}
    assert name in found | {"AsgiBuilder"}


@pytest.mark.parametrize(
    "name", [name for name in vars(AsgiBuilder) if not name.startswith("_") and callable(getattr(AsgiBuilder, name))]
)
def test_each_method_of_the_asgi_builder_has_a_heading_with_its_signature(name: str) -> None:
    """The reference has each method of a builder."""
    assert signature(getattr(AsgiBuilder, name)) in headings(page("asgi"))


@pytest.mark.parametrize("name", [*inspect.signature(create_asgi_app).parameters])
def test_each_argument_of_create_asgi_app_is_described(name: str) -> None:
    """The reference has a row for each argument."""
    rows = [line for line in page("asgi").splitlines() if line.startswith("| ")]
    assert any(f"`{name}`" in line.split("|")[1] for line in rows)


@pytest.mark.parametrize("name", EXTENSION_OPTIONS + SERVE_OPTIONS + LOGIN_OPTIONS)
def test_each_option_is_described(name: str, written: Path) -> None:
    """The reference has a heading for each option, and the option explains itself."""
    text = (written / "options.md").read_text("utf-8")
    found = re.findall(rf"^### `{name}`\n\n\*.+\*\n\n(.+)$", text, re.MULTILINE)
    assert found and min(map(len, found)) > 20


@pytest.mark.parametrize("option", sorted({*Serve.aliases, *Serve.flags} - INHERITED - {"config"}))
def test_each_short_form_is_described(option: str, written: Path) -> None:
    """The reference has each short form of `jupyter app-meta serve` as it is typed."""
    assert f"`--{option}" in (written / "serve.md").read_text("utf-8")


@pytest.mark.parametrize("command", commands(cli._parsers()[0], "jupyter app-meta"))
def test_each_command_has_a_heading(command: str, written: Path) -> None:
    """The reference has each command as it is typed."""
    assert command in headings(page("command-line") + (written / "commands.md").read_text("utf-8"))


def test_the_event_is_described(written: Path) -> None:
    """The reference has each field of the events."""
    text = (written / "events.md").read_text("utf-8")
    assert "`username`" in text
    assert "`msg_type`" in text


def test_the_layout_has_each_module(written: Path) -> None:
    """The layout has a sentence for each module."""
    text = (written / "layout.md").read_text("utf-8")
    names = [name.replace(".", "/") for name in modules()]
    assert [name for name in names if not is_listed(name, text)] == []


@pytest.mark.parametrize("name", ["jupyterhub_config.py", "dashboards_config.py"])
def test_the_hubs_configuration_is_shown(name: str) -> None:
    """The guide shows the very files that the Hub's tests run."""
    assert f"```{{literalinclude}} ../jupyterhub/{name}" in (DOCS / "how-to" / "jupyterhub.md").read_text("utf-8")
    assert (DOCS / "jupyterhub" / name).exists()


# --- the README -------------------------------------------------------------------------------------------------------


def test_the_readme_is_one_screen() -> None:
    """The README says what this is, and leads on."""
    assert len(README.splitlines()) <= MOST_LINES


def test_the_first_screen_says_what_cannot_be_defended() -> None:
    """Before a reader scrolls, the README says where `user` is a security boundary and where it is not."""
    screen = "\n".join(README.splitlines()[:FIRST_SCREEN])
    assert "can redefine" in screen
    assert "security boundary" in screen


def test_the_readme_says_how_to_install() -> None:
    """The README has the commands, and the Python version that the package needs."""
    assert "pip install jupyter-app-meta" in README
    assert "Python 3.11" in README


# --- links ------------------------------------------------------------------------------------------------------------

PAGES = sorted([*PROJECT.glob("*.md"), *(found for found in DOCS.rglob("*.md") if "_generated" not in found.parts)])


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    plain = (heading.lower().replace(" ", "-") for heading in headings(text))
    return {re.sub(r"[^\w-]", "", heading) for heading in plain}


@pytest.mark.parametrize("name", PAGES, ids=lambda name: str(name.relative_to(PROJECT)))
def test_each_link_into_the_project_leads_somewhere(name: Path) -> None:
    """Files that a page links to or shows are there, and so are their headings."""
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", name.read_text("utf-8")):
        place, _, anchor = link.partition("#")
        target = (name.parent / place) if place else name
        if "://" in link or place.startswith("mailto:"):
            continue
        is_known = target.exists() and (
            not anchor or anchor in anchors(target.read_text("utf-8")) or "options.md" in place
        )
        missing += [] if is_known else [link]
    assert missing == []


def test_the_changelog_has_this_version() -> None:
    """The changelog has an entry for the version that the package says it is."""
    assert f"## [{jupyter_app_meta.__version__}]" in CHANGELOG


# --- contributing -----------------------------------------------------------------------------------------------------

QUESTIONS = re.findall(
    r"^\| (.+?) \| `([\w/]+\.py)` \| \*(.+?)\* \|$",
    (DOCS / "contributing" / "questions.md").read_text("utf-8"),
    re.MULTILINE,
)


def test_there_are_twenty_questions() -> None:
    """A newcomer's questions are many enough to show whether the rooms have names that tell."""
    assert len(QUESTIONS) >= 20
    assert len({file for _, file, _ in QUESTIONS}) >= 20


@pytest.mark.parametrize(("question", "file", "words"), QUESTIONS, ids=[file for _, file, _ in QUESTIONS])
def test_each_question_is_answered_by_a_file(question: str, file: str, words: str) -> None:
    """The file exists, and the first paragraph of its docstring answers."""
    doc = ast.get_docstring(ast.parse((PACKAGE / file).read_text("utf-8"))) or ""
    assert words.lower() in " ".join(doc.partition("\n\n")[0].lower().split()), question


def test_the_cookies_way_has_files_that_exist() -> None:
    """The explanation of a cookie's way names rooms and files of the package."""
    text = (DOCS / "explanation" / "how-a-cookie-travels.md").read_text("utf-8")
    places = re.findall(r"^\| \d+ \| `([\w/]+)`", text, re.MULTILINE)
    assert len(places) >= 5
    assert [place for place in places if not {*PACKAGE.glob(place), *PACKAGE.glob(f"{place}.py")}] == []
