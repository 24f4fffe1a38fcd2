"""The cells of a notebook in text, as jupytext finds them.

1. jupytext is imported when a file needs it. Formats for which it starts a program are not used.
2. jupytext gets a text with an empty header, so that it does not take a line of the body for one (``frontmatter``).
3. Each of its errors becomes a sentence. A text that would keep it busy for minutes is refused.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Any, NamedTuple

from nbformat import NotebookNode

from ...errors import BadNotebook
from . import frontmatter

FORMATS = {".py": ("percent", "hydrogen", "light"), ".md": ("myst", "markdown")}
"""The formats that are read, by the suffix of the file."""

OPTIONS = ("cell_markers", "comment_magics", "split_at_heading")
"""Options in a header that say how the text is divided into cells."""

MOST_CELLS = 2000
"""How many cells a text may have. Two thousand take about a second."""

MISSING = (
    "{} is a notebook in text, and jupytext, which reads it, is missing: install it with pip install "
    "'jupyter-app-meta[asgi]'."
)

_directive = r"^ {0,3}(?:`{3,}|~{3,})\{(?:code|raw)-cell\}"
_fence = re.compile(_directive, re.MULTILINE)
_percent = re.compile(r"^# ?(?:%%|In\[|<codecell>)", re.MULTILINE)
_breaks = {
    "percent": _percent,
    "hydrogen": _percent,
    "light": re.compile(r"^(?:[ \t]*$|# ?\+)", re.MULTILINE),
    "myst": re.compile(rf"{_directive}|^ {{0,3}}\+\+\+", re.MULTILINE),
    "markdown": re.compile(r"^(?:(?:`{3,}|~{3,})\s*\{?\w|<!-- #|[ \t]*\n[ \t]*$)", re.MULTILINE),
}
"""Where a cell may begin. The text between two such cells is a cell as well."""


class Body(NamedTuple):
    """A text without its header. ``stated`` is the format that the header named, or empty."""

    suffix: str
    stated: str
    text: str
    options: Any


def convert(body: Body, name: str) -> tuple[list[NotebookNode], str]:
    """Return the cells of a text and their language, which is empty if nothing says it; raises BadNotebook.

    ``name`` is the name of the file.
    """
    try:
        from jupytext.jupytext import TextNotebookConverter
    except ImportError as error:
        raise BadNotebook(MISSING.format(name)) from error
    try:
        format = body.stated or _guessed(body)
        if len(_breaks[format].findall(body.text)) > MOST_CELLS:
            raise ValueError(f"it has more than {MOST_CELLS} cells, so divide it")
        if format == "myst":
            _check_options(body.text)
        notebook = TextNotebookConverter(_described(body, format), None).reads(_without_header(body, format))
    except Exception as error:  # jupytext does not catch the errors of its parsers
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadNotebook(f"{name} cannot be read as a notebook: {why}.") from error
    return notebook.cells, _language(notebook)


def _guessed(body: Body) -> str:
    if body.suffix == ".md":
        return "myst" if _fence.search(body.text) else "markdown"
    from jupytext import guess_format

    # If a script has magics that are not comments, its comments are comments, even if they look like magics.
    return "hydrogen" if guess_format(f"\n{body.text}", ".py")[0] == "hydrogen" else "percent"


def _described(body: Body, format: str) -> dict[str, Any]:
    given = body.options if isinstance(body.options, dict) else {}
    options = {name: given[name] for name in OPTIONS if name in given}
    return {"extension": body.suffix, "format_name": format, **options}


def _without_header(body: Body, format: str) -> str:
    if format == "myst":  # its header must be a mapping
        return f"---\n{{}}\n---\n{body.text}"
    return f"# ---\n# ---\n{body.text}" if body.suffix == ".py" else f"---\n---\n{body.text}"


def _check_options(text: str) -> None:
    """Raise ValueError for a MyST cell whose options must not be read."""
    from jupytext.myst import CODE_DIRECTIVE, RAW_DIRECTIVE, get_parser

    for token in get_parser().parse(f"{text}\n"):
        is_cell = token.type == "fence" and token.info.startswith((CODE_DIRECTIVE, RAW_DIRECTIVE))
        if is_cell:
            frontmatter.check(_options(token.content), "the options of a cell")


def _options(content: str) -> str:
    """Return the YAML at the beginning of a MyST cell: between lines ``---``, or in lines that begin with a colon."""
    if content.startswith("---"):
        return re.split(r"^-{3,}", content.partition("\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    lines = takewhile(lambda line: line.lstrip().startswith(":"), content.splitlines())
    return "\n".join(line.lstrip()[1:] for line in lines)


def _language(notebook: NotebookNode) -> str:
    said = notebook.metadata.get("jupytext", {})
    name = str(said.get("default_lexer") or said.get("main_language") or "").lower()
    return "python" if name in ("python3", "ipython", "ipython3") else name
