"""What a notebook imports.

There may be something better here, of which its author is told once. What cells import after the question may be
imported before, if kernels are forked. A notebook that names none of ``QUESTIONS`` does not ask who is looking. And one
that makes up a name before it asks has perhaps one visitor in mind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from nbformat import NotebookNode

_utils = re.compile(
    r"^[ \t]*(?:from[ \t]+voila\.utils[ \t]+import\b|import[ \t]+(?:[\w., \t]*,[ \t]*)?voila\.utils\b|"
    r"from[ \t]+voila[ \t]+import[ \t]+(?:\([ \t]*)?(?:[\w, \t]*,[ \t]*)?utils\b)",
    re.MULTILINE,
)

_names = re.compile(
    r"^[ \t]*(?:import[ \t]+(?P<modules>[\w.]+[\w., \t]*)|from[ \t]+(?P<module>[\w.]+)[ \t]+import\b)", re.MULTILINE
)
_settings = re.compile(r"\b(?:environ|putenv)\b")

MOST, LONGEST = 64, 100
"""How many modules are named at most, and how long a name may be."""

QUESTIONS = ("app_meta", "QUERY_STRING", "VOILA_REQUEST_URL", "get_query_string", "wait_for_request")
"""What the code of a cell that asks has in it: the name of this package or its function, or what Voila offers."""

_question = re.compile(
    r"(?:\bapp_meta|get_query_string|wait_for_request)\s*\(|%app_meta|QUERY_STRING|VOILA_REQUEST_URL|"
    r"\b(?:visitor|session|shared)\."
)
_made_up = re.compile(
    r"\b(uuid[14678]?|token_(?:bytes|hex|urlsafe)|urandom|getpid|SystemRandom|randbelow|randbytes|getrandbits|"
    r"(?:secrets|random)\.choices?)\s*\(|\b(default_rng|RandomState|Random)\s*\(\s*\)"
)

VOILA = (
    "imports voila.utils. It works, but needs Voila beside the kernel: read app_meta().request.query_params in place "
    "of get_query_string() and wait_for_request()."
)


def advice(notebook: NotebookNode) -> str:
    """Return what to write in place of an import of a notebook's cells; empty if there is nothing to say."""
    return VOILA if any(map(_utils.search, sources(notebook["cells"]))) else ""


def unique(code: list[str], left: list[str]) -> str:
    """Return what code makes up before it asks, if each visitor should have one; or nothing.

    ``left`` are the cells that have not run to their end. The first of them asks. A generator of random numbers that
    was not seeded counts, because its numbers would be the same for all. The process sees more than a text says
    (``kernel.forks.ahead.unique``), but not that.
    """
    asking = left[0] if left else ""
    asked = _question.search(asking)
    ahead = *code[: len(code) - len(left)], asking[: asked.start()] if asked else asking
    for found in filter(None, map(_made_up.search, ahead)):
        return (
            f"it calls {found[1] or found[2]}() before it asks who is looking, and its visitors would share the result"
        )
    return ""


def asks(notebook: NotebookNode) -> bool:
    """Whether a notebook may ask who is looking. A module of its author may ask as well, which is not seen here."""
    return any(question in source for source in sources(notebook["cells"]) for question in QUESTIONS)


def sources(cells: Iterable[NotebookNode]) -> list[str]:
    """Return the code of these cells."""
    return [str(cell.get("source", "")) for cell in cells if cell.get("cell_type") == "code"]


def modules(code: Iterable[str], left: Iterable[str]) -> list[str]:
    """Return the names of the modules that cells import.

    ``left`` are the cells that have not run. If they set variables of the environment, modules that they import may
    read those: then none is named. A name in a text or a comment counts, because it does no harm.
    """
    if any(map(_settings.search, left)):
        return []
    found = (match for source in code for match in _names.finditer(source))
    each = (match["module"] or match["modules"] for match in found)
    names = (part.split()[0] for text in each for part in text.split(",") if part.strip())
    return list(dict.fromkeys(name for name in names if name[0] != "." and len(name) <= LONGEST))[:MOST]
