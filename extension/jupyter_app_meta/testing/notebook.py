"""The notebook under test: its file, its cells and the name of its kernel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import BadNotebook, KernelMissing

DEFAULT = "python3"
"""The kernel of a notebook that names none."""


def read(path: Path) -> dict[str, Any]:
    """Return a notebook in the form of nbformat 4, its sources as strings; raises OSError and BadNotebook."""
    found = _text(path) if path.suffix.lower() in (".py", ".md") else _json(path)
    cells = found.get("cells") if isinstance(found, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) and "cell_type" in cell for cell in cells):
        raise BadNotebook(f"{path.name} is not a notebook of nbformat 4: it has no list of cells.")
    for cell in cells:
        source = cell.get("source", "")
        cell["source"] = source if isinstance(source, str) else "".join(source)
    return dict(found)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadNotebook(f"{path.name} is not a notebook: {error}.") from error


def _text(path: Path) -> Any:
    from ..dashboards.files import texts  # it reads texts as `serve` does, and needs the dashboards extra

    return texts.load(path)


def kernel_of(path: Path, notebook: dict[str, Any]) -> str:
    """Return the name of the kernel that a notebook runs on; raises KernelMissing if it is not installed."""
    from jupyter_client.kernelspec import KernelSpecManager

    said = notebook.get("metadata", {}).get("kernelspec", {}).get("name") or DEFAULT
    installed = KernelSpecManager().find_kernel_specs()
    if said not in installed:
        raise KernelMissing(
            f"{path.name} needs the kernel {said}, which is not installed here (installed are: "
            f"{', '.join(sorted(installed)) or 'none'}). Install it, or choose another kernel in the notebook."
        )
    return str(said)
