"""Where the tests fork the kernels of each dashboard, a test with a page that was not forked fails."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

SOURCE = '''
import pytest
from stage import WHO, staging, visit, write

THREAD = "import threading, time\\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()"
APP = """
app = create_app(identity_provider=People)
for name in ("page", "thread", "other", "own"):
    app = app.with_app(path=f"/{name}", root=f"{name}.ipynb", fork=False if name == "own" else None)
"""

@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    for name in ("page", "own"):
        write(home / "root" / f"{name}.ipynb", WHO)
    for name in ("thread", "other"):
        write(home / "root" / f"{name}.ipynb", THREAD, WHO)
    with staging(home, APP) as server:
        yield server

def test_forked(server):
    assert "<alice|" in visit(server, "alice", "page").html

def test_unasked(server):
    assert "<alice|" in visit(server, "alice", "own").html

@pytest.mark.unforked("the thread")
def test_explained(server):
    assert "<alice|" in visit(server, "alice", "thread").html

@pytest.mark.unforked("a cell failed")
def test_explained_otherwise(server):
    assert "<alice|" in visit(server, "alice", "other").html

def test_unexplained(server):
    assert "<alice|" in visit(server, "alice", "thread").html
'''


@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")
def test_pages_that_were_not_forked_fail_their_tests(tmp_path: Path) -> None:
    """Unless the test, or its dashboard, says why. The end of the run counts all pages."""
    shutil.copy(PROJECT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_pages.py").write_text(SOURCE)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-c", str(PROJECT / "pyproject.toml")]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        env={**env, "APP_META_TESTS_FORK": "1", "CI": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert dict(re.findall(r"::test_(\w+) (PASSED|FAILED)", ran.stdout)) == {
        "forked": "PASSED",
        "unasked": "PASSED",
        "explained": "PASSED",
        "explained_otherwise": "FAILED",
        "unexplained": "FAILED",
    }, ran.stdout
    assert ran.stdout.count("/thread was cold: the thread 'Thread-1 (sleep)'") == 1
    assert re.search(r"^ +1 forked$", ran.stdout, re.MULTILINE)
    assert re.search(r"^ +1 cold: its dashboard says fork=False$", ran.stdout, re.MULTILINE)
    assert re.search(r"^ +3 cold: the thread .* runs$", ran.stdout, re.MULTILINE)
