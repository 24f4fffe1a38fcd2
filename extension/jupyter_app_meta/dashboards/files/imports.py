"""What a notebook imports although there is something better here. Its author is told once."""

from __future__ import annotations

import re

from nbformat import NotebookNode

_utils = re.compile(
    r"^[ \t]*(?:from[ \t]+voila\.utils[ \t]+import\b|import[ \t]+(?:[\w., \t]*,[ \t]*)?voila\.utils\b|"
    r"from[ \t]+voila[ \t]+import[ \t]+(?:\([ \t]*)?(?:[\w, \t]*,[ \t]*)?utils\b)",
    re.MULTILINE,
)

VOILA = (
    "imports voila.utils. It works, but needs Voila beside the kernel: read app_meta().request.query_params in place "
    "of get_query_string() and wait_for_request()."
)


def advice(notebook: NotebookNode) -> str:
    """Return what to write in place of an import of a notebook's cells; empty if there is nothing to say."""
    cells: list[NotebookNode] = notebook["cells"]
    sources = (str(cell.get("source", "")) for cell in cells if cell.get("cell_type") == "code")
    return VOILA if any(map(_utils.search, sources)) else ""
