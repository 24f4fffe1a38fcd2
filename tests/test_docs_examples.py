"""Python code in the documentation runs as it stands, for a made-up visitor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from jupyter_app_meta.testing import fake_request

PROJECT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    page
    for page in (PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md"))
    if "```python" in page.read_text("utf-8")
)


def examples(page: Path) -> list[Any]:
    """Return the examples of a page: fences that say ``python``; fragments say ``{code-block} python``."""
    return list(Sybil(parsers=[PythonCodeBlockParser()], path=str(page.parent)).parse(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_example_runs(page: Path) -> None:
    """The examples of a page run one after the other, as a reader would paste them into one notebook."""
    found = examples(page)
    assert found
    with fake_request(user="alice", headers={"accept-language": "en"}, query={"region": "emea"}, url="/sales"):
        for example in found:
            example.evaluate()
