"""A plugin of pytest where APP_META_TESTS_FORK is set: each test fails that has a page whose kernel was not forked.

A test may say why its pages are not: ``@pytest.mark.unforked("a cell failed")`` has a part of what the log says, and a
dashboard with ``fork=False`` asks for another strategy. At the end of the run is a count of all pages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
UNASKED = "its dashboard says fork=False"
"""Why a page is not forked whose dashboard asks for none (``sitecustomize.py``)."""

PLACE = "APP_META_TESTS_STARTS"
"""The folder of the whole run, in which each worker has one of its own."""

MARK = "unforked: where each dashboard forks its kernels, those of this test are not forked, for one of these reasons"


class Pages:
    """What the servers of one worker note of their pages."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._read = folder, 0
        shutil.copy(HERE / "sitecustomize.py", folder)

    def new(self) -> list[dict[str, str]]:
        """Return the pages that have been opened since this was asked last."""
        with (self.folder / "starts").open("ab+") as file:
            file.seek(self._read)
            lines = [line for line in file if line.endswith(b"\n")]
        self._read += sum(map(len, lines))
        return [json.loads(line) for line in lines]


PAGES = pytest.StashKey[Pages]()


def pytest_configure(config: pytest.Config) -> None:
    """Have a folder for each worker, and one for all of them."""
    if not hasattr(config, "workerinput"):
        os.environ[PLACE] = tempfile.mkdtemp(prefix="app-meta-starts-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(PLACE)))
    config.stash[PAGES] = Pages(Path(tempfile.mkdtemp(dir=os.environ[PLACE])))


@pytest.fixture(scope="session", autouse=True)
def _forking(pytestconfig: pytest.Config) -> Iterator[None]:
    """Let each program that the tests start import ``sitecustomize.py``. This process has not."""
    before = os.environ["PYTHONPATH"]
    os.environ["PYTHONPATH"] = os.pathsep.join((str(pytestconfig.stash[PAGES].folder), before))
    yield
    os.environ["PYTHONPATH"] = before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what was passed but had a page that it does not explain."""
    report = yield
    if report.when == "setup":
        return report  # what a fixture opened is a test's own
    reasons = [reason for mark in item.iter_markers("unforked") for reason in mark.args]
    wrong = [page for page in item.config.stash[PAGES].new() if not _is_explained(page, reasons)]
    if wrong and report.passed:
        report.outcome = "failed"
        lines = [f"{page['page']} was {page['start']}: {page['why']}" for page in wrong]
        report.longrepr = "\n".join(["Not forked:", *lines])
    return report


def _is_explained(page: dict[str, str], reasons: list[str]) -> bool:
    return page["why"] in ("", UNASKED) or any(re.search(reason, page["why"]) for reason in reasons)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the pages of all workers."""
    found = Counter[str]()
    for file in Path(os.environ[PLACE]).glob("*/starts"):
        found.update(_kind(json.loads(line)) for line in file.read_text().splitlines())
    terminalreporter.section("pages")
    for kind, count in found.most_common():
        terminalreporter.line(f"{count:5} {kind}")


def _kind(page: dict[str, str]) -> str:
    return f"{page['start']}: {page['why']}" if page["why"] else page["start"]
