"""The content of a notebook's file: JSON or text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import texts


def read(path: Path) -> Any:
    """Return the notebook in a file, in the form of nbformat. JSON is not checked: it may have any form.

    Raises OSError, BadNotebook for a text, and ValueError or RecursionError for a file that is not JSON.
    """
    return texts.load(path) if texts.is_text(path) else json.loads(path.read_text("utf-8"))
