"""The documentation is complete: a name that a reader may meet stands in the README."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from jupyter_core.application import base_aliases, base_flags

import jupyter_app_meta
from jupyter_app_meta import cli, testing
from jupyter_app_meta.dashboards import Builder
from jupyter_app_meta.dashboards.command import Serve
from jupyter_app_meta.server.app import AppMetaExtension

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text("utf-8")
CHANGELOG = (PROJECT / "CHANGELOG.md").read_text("utf-8")

FIRST_SCREEN = 40
INHERITED = {*base_flags, *base_aliases} - {"config"}
OPTIONS = sorted(AppMetaExtension.class_own_traits(config=True))


def commands(parser: argparse.ArgumentParser, words: str) -> list[str]:
    """Return each command that a parser has, in the words that a user types."""
    found: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, leaf in action.choices.items():
                found += commands(leaf, f"{words} {name}") or [f"{words} {name}"]
    return found


@pytest.mark.parametrize("name", [*jupyter_app_meta.__all__, testing.fake_request.__name__])
def test_each_public_name_is_documented(name: str) -> None:
    """The README has each name that the front door exports, as code."""
    assert f"`{name}" in README or f".{name}`" in README


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_is_documented(name: str) -> None:
    """The README's table has a row for each option, and each option explains itself."""
    assert f"| `{name}` |" in README
    assert len(AppMetaExtension.class_own_traits()[name].help) > 20


@pytest.mark.parametrize("command", commands(cli._parsers()[0], "jupyter app-meta"))
def test_each_command_is_documented(command: str) -> None:
    """The README has each command as it is typed."""
    assert command in README


@pytest.mark.parametrize("name", ["jupyterhub_config.py", "dashboards_config.py"])
def test_hub_configuration_is_documented(name: str) -> None:
    """The README has the very files that the Hub's tests run."""
    text = (PROJECT / "docs" / "jupyterhub" / name).read_text("utf-8")
    assert f"```python\n{text}```" in README


@pytest.mark.parametrize("option", sorted({*Serve.aliases, *Serve.flags} - INHERITED))
def test_each_option_of_serve_is_documented(option: str) -> None:
    """The README has each option of `jupyter app-meta serve` as it is typed."""
    assert f"`--{option}`" in README


@pytest.mark.parametrize("name", sorted(Serve.class_own_traits(config=True)))
def test_each_trait_of_serve_explains_itself(name: str) -> None:
    """`--help-all` says what each trait does."""
    assert len(Serve.class_own_traits()[name].help) > 20


@pytest.mark.parametrize("name", [name for name in vars(Builder) if name.startswith("with_")])
def test_each_method_of_the_builder_is_documented(name: str) -> None:
    """The README shows each `with_…` of a builder."""
    assert f"{name}(" in README


@pytest.mark.parametrize("magic", ["%app_meta", "%%app_meta", "%load_ext jupyter_app_meta"])
def test_each_magic_is_documented(magic: str) -> None:
    """The README has each magic."""
    assert f"`{magic}" in README or f"\n{magic}" in README


def test_the_first_screen_says_what_cannot_be_defended() -> None:
    """Before anybody scrolls, the README says where `user` is a security boundary and where it is not."""
    screen = "\n".join(README.splitlines()[:FIRST_SCREEN])
    assert "can redefine" in screen
    assert "security boundary" in screen
    assert "pip install jupyter-app-meta" in screen


def test_each_link_into_the_project_leads_somewhere() -> None:
    """Files that the README links to or shows are there."""
    links = [part.partition(")")[0].partition("#")[0] for part in README.split("](")[1:]]
    missing = [link for link in links if link and "://" not in link and not (PROJECT / link).exists()]
    assert missing == []


def test_the_changelog_has_this_version() -> None:
    """The changelog has an entry for the version that the package says it is."""
    assert f"## [{jupyter_app_meta.__version__}]" in CHANGELOG
