"""Notebooks in text: which .py and .md files are notebooks, and their content. jupytext reads their cells.

1. The server never executes such a file. Its cells run in a kernel, as the cells of an .ipynb file do.
2. In a directory a text is a notebook only if its header says so, or ``# %%`` marks its cells: helper modules and
   READMEs are often beside notebooks. A text that the deployer names is always a notebook. A script without marks is
   one cell.
3. A text that cannot be read is refused with a sentence for its author.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell

from ...errors import BadNotebook
from ..paths import TEXTS
from . import frontmatter
from .conversion import FORMATS, MISSING, Body, convert

LARGEST = 512 * 1024
"""How many bytes a text may have. jupytext takes long for a larger one."""

_quoted = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\Z)'
    r"|'''(?:[^'\\]|\\.|'(?!''))*+(?:'''|\Z)"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'(?:[^'\\\n]|\\.)*+'"
    r"|(?P<comment>#[^\n]*)",
    re.DOTALL,
)
"""Python's strings and comments. A string that does not end takes the rest."""

_mark = re.compile(r"# ?%%(?:\s.*)?")


class Source(NamedTuple):
    """A text, its header's metadata, and the part for jupytext; None for a script that is one cell."""

    text: str
    metadata: dict[str, Any]
    body: Body | None


def is_text(path: Path) -> bool:
    """Whether a file's name has the suffix of a text."""
    return path.suffix.lower() in TEXTS


def looks(path: Path) -> bool:
    """Whether a text says that it is a notebook, even if it cannot be read as one; raises OSError."""
    found = path.stat()
    return _looks(path, found.st_mtime_ns, found.st_size)


def counts(path: Path) -> bool:
    """Whether a text in a directory is a notebook that can be shown."""
    try:
        return looks(path) and problem(path) is None
    except OSError:
        return False


def problem(path: Path) -> str | None:
    """Return a sentence that says why a text cannot be shown; None if nothing is wrong before its cells are read."""
    try:
        found = path.stat()
        return _problem(path, found.st_mtime_ns, found.st_size)
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})."


def load(path: Path) -> NotebookNode:
    """Return the notebook in a text; raises BadNotebook."""
    try:
        found = _source(path)
    except OSError as error:
        raise BadNotebook(f"{path.name} cannot be read ({error.strerror}).") from error
    if found.body is None:
        cells, language = [new_code_cell(found.text)], "python"
    else:
        cells, language = convert(found.body, path.name)
    metadata = from_dict(found.metadata)
    if language and "kernelspec" not in metadata:
        metadata.setdefault("language_info", NotebookNode(name=language))
    return NotebookNode(nbformat=4, nbformat_minor=5, metadata=metadata, cells=cells)


def has_marks(text: str) -> bool:
    """Whether a script has a line that begins with ``# %%`` and is not within a string."""
    if "%%" not in text:
        return False
    comments = (match for match in _quoted.finditer(text) if match["comment"])
    return any(
        _mark.fullmatch(match[0]) and text[match.start() - 1 : match.start()] in ("", "\n") for match in comments
    )


@lru_cache(maxsize=100_000)  # a folder of sources has many files, and is walked every few seconds
def _looks(path: Path, changed: int, size: int) -> bool:
    script = path.suffix.lower() == ".py"
    with path.open("rb") as file:
        text = _lines(file.read(LARGEST).decode("utf-8-sig", "replace"))
    try:
        metadata, body = frontmatter.read(text, script=script)
    except ValueError:
        metadata, body = {}, text
    said = _said(metadata, "kernelspec", "name") or _format(metadata)
    return bool(said) or (script and has_marks(body))


@lru_cache(maxsize=10_000)
def _problem(path: Path, changed: int, size: int) -> str | None:
    try:
        found = _source(path)
    except BadNotebook as error:
        return str(error)
    return MISSING.format(path.name) if found.body and find_spec("jupytext") is None else None


def _source(path: Path) -> Source:
    """Return the divided text of a file; raises BadNotebook and OSError."""
    text, script = _text(path), path.suffix == ".py"
    try:
        metadata, body = frontmatter.read(text, script=script)
    except ValueError as error:
        raise BadNotebook(
            f"{path.name} has a header that cannot be read ({error}): correct what is between its two lines ---."
        ) from error
    said = _format(metadata)
    _expect(said, path)
    is_one_cell = script and not said and not has_marks(body)
    options = _said(metadata, "jupytext")
    return Source(text, metadata, None if is_one_cell else Body(path.suffix, said, body, options or {}))


def _expect(format: str, path: Path) -> None:
    known = FORMATS[path.suffix]
    if format and format not in known:
        raise BadNotebook(
            f"{path.name} is in jupytext's format {format[:40]!r}, and a {path.suffix} file must be in one of "
            f"{', '.join(known)}: convert it with `jupytext --to {path.suffix[1:]}:{known[0]}`."
        )


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise BadNotebook(
            f"{path.name} is larger than {LARGEST >> 10} KiB, the most that a notebook in text may have: move its data "
            "into other files."
        )
    try:
        return _lines(content.decode("utf-8-sig"))
    except UnicodeError as error:
        raise BadNotebook(f"{path.name} is not text in UTF-8: save it in that encoding.") from error


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _format(metadata: dict[str, Any]) -> str:
    """Return the name of the format that a header states, or nothing."""
    return str(_said(metadata, "jupytext", "text_representation", "format_name") or "")


def _said(metadata: Any, *names: str) -> Any:
    """Return an inner value of metadata of any form; None if it is missing."""
    for name in names:
        metadata = metadata.get(name) if isinstance(metadata, dict) else None
    return metadata
