"""What nbconvert works out for each page, although all pages of a notebook share it: it is done once.

1. The preprocessors run once for each version of a notebook. They see no visitor and no outputs. If a deployer
   configured one that does not come with nbconvert, all run for each page, because that one may do something else each
   time. So do those that execute cells or that fail: the page reports the failure.
2. The addresses of static files, and the markup that includes them, are found once. Voila reads many folders for each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from nbconvert.preprocessors import ExecutePreprocessor
from nbformat import NotebookNode

INCLUDES = ("include_css", "include_js", "include_url", "include_lab_theme")
"""The resources with which a template includes static files. They are functions of the file's name."""

MOST = 256
"""How many addresses are kept for one notebook. A template names its files, so there are few."""

SHIPPED = "nbconvert.preprocessors."


def prepare(
    exporter: Any, notebook: NotebookNode, resources: dict[str, object]
) -> tuple[NotebookNode, dict[str, object]]:
    """Return the notebook and the resources from which each page is made, and keep what the exporter works out."""
    _keep_addresses(exporter)
    if not all(_is_repeatable(preprocessor) for preprocessor in exporter._preprocessors):
        return notebook, resources
    try:
        prepared: tuple[NotebookNode, dict[str, object]] = exporter._preprocess(
            notebook, exporter._init_resources(resources)
        )
    except Exception:  # a preprocessor may raise anything, and its page will say so
        return notebook, resources
    exporter._preprocess = _unchanged
    return prepared


def _is_repeatable(preprocessor: Any) -> bool:
    """Whether a preprocessor makes the same of a notebook each time, as nbconvert's own do."""
    if not getattr(preprocessor, "enabled", True):
        return True
    return type(preprocessor).__module__.startswith(SHIPPED) and not isinstance(preprocessor, ExecutePreprocessor)


def _unchanged(notebook: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
    return notebook, resources


def _keep_addresses(exporter: Any) -> None:
    """Make an exporter look each static file up once."""
    exporter.static_url = _kept(exporter.static_url)
    init_resources = exporter._init_resources
    kept: dict[str, Callable[..., Any]] = {}

    def with_kept(resources: Any) -> Any:
        resources = init_resources(resources)
        for name in INCLUDES:
            kept.setdefault(name, _kept(resources[name]))
        resources.update(kept)
        return resources

    exporter._init_resources = with_kept


def _kept(look_up: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that keeps its results."""
    return lru_cache(MOST)(look_up)
