"""The pages that are no notebooks: the index, logins, errors. All of them extend ``page.html``, so they have one look.

A deployer's folders come first: a file in one of them takes the place of the page of that name. It can extend the page
that it replaces: ``{% extends "app-meta/error.html" %}``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader

from . import FOLDER, NAME


@dataclass(frozen=True, slots=True)
class Pages:
    """Templates of pages."""

    environment: Environment

    @classmethod
    def of(cls, *folders: Path, own: Sequence[str | Path] = ()) -> Pages:
        """Return the pages of our ``folders``, and of the folders of a deployer."""
        ours = FileSystemLoader([*folders, FOLDER])
        loader = ChoiceLoader([FileSystemLoader([*own]), ours, PrefixLoader({NAME: ours})])
        return cls(Environment(loader=loader, autoescape=True))

    def page(self, *names: str, **values: Any) -> str:
        """Return the first page of these names that exists, with these values."""
        return self.environment.select_template(names).render(**values)
