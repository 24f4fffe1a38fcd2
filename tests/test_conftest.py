"""The rules that hold for all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

SKIPS = {
    "a test": "import pytest\ndef test(): pytest.skip('no browser')",
    "a mark": "import pytest\n@pytest.mark.skipif(True, reason='no browser')\ndef test(): pass",
    "a fixture": "import pytest\n@pytest.fixture\ndef f(): pytest.skip('no browser')\ndef test(f): pass",
    "a module": "import pytest\npytest.skip('no browser', allow_module_level=True)",
    "an import": "import pytest\npytest.importorskip('no_such_module_for_the_browser')\ndef test(): pass",
}


XFAIL = "import pytest\n@pytest.mark.xfail\ndef test(): assert False"


def run(folder: Path, sources: Mapping[str, str], ci: str) -> dict[str, tuple[str, str]]:
    """Run pytest on test files under our conftest; return what became of each, and why."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    for name, source in sources.items():
        (folder / f"test_{name.replace(' ', '_')}.py").write_text(source)
    options = ("-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--junitxml=report.xml")
    command = [sys.executable, "-m", "pytest", *options, "--rootdir", str(folder), str(folder)]
    subprocess.run(command, cwd=folder, env={**os.environ, "CI": ci}, capture_output=True, check=False)
    ends = {}
    for case in ET.parse(folder / "report.xml").iter("testcase"):
        file = case.get("classname") or case.get("name") or ""  # what fails in its module has no class
        ends[file.removeprefix("test_").replace("_", " ")] = next(
            ((end.tag, f"{end.get('message')}{end.text}") for end in case), ("passed", "")
        )
    return ends


def test_skips_fail_in_ci(tmp_path: Path) -> None:
    """Where CI is true a skip is a failure that gives the reason of the skip; an expected failure is none."""
    ends = run(tmp_path, {**SKIPS, "an expected failure": XFAIL}, "true")
    assert ends.pop("an expected failure")[0] == "skipped"
    assert ends.keys() == SKIPS.keys()
    for name, (end, why) in ends.items():
        assert end in ("failure", "error"), name
        assert "CI skips nothing" in why and "browser" in why, name


def test_skips_pass_elsewhere(tmp_path: Path) -> None:
    """On a developer's machine a skip is a skip."""
    ends = run(tmp_path, SKIPS, "")
    assert {name: end for name, (end, _) in ends.items()} == dict.fromkeys(SKIPS, "skipped")


HANGS = """
import asyncio, time, pytest

@pytest.fixture
def stuck():
    yield
    while True:
        time.sleep(1)

@pytest.mark.timeout(1)
def test_stuck(stuck):
    time.sleep(60)

@pytest.mark.timeout(1)
def test_swallows():
    async def busy():
        asyncio.get_running_loop().call_soon(time.sleep, 3)  # what interrupts a callback is logged
        await asyncio.sleep(60)
    asyncio.run(busy())
"""


def test_what_hangs_after_its_time_limit_fails_alone(tmp_path: Path) -> None:
    """A test whose clean-up hangs after its time limit is interrupted again and reported; the next tests run."""
    source = Path(__file__).with_name("conftest.py").read_text()
    (tmp_path / "conftest.py").write_text(source.replace("AGAIN = 30", "AGAIN = 1"))
    (tmp_path / "test_hangs.py").write_text(HANGS)
    (tmp_path / "test_other.py").write_text("def test(): pass")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_WORKER"} | {"CI": "true"}
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert "2 failed, 1 passed, 1 error" in ran.stdout.splitlines()[-1]
    assert "test_stuck failed in call" in ran.stderr
    assert "test_stuck failed in teardown" in ran.stderr


def test_personal_settings_are_kept_out(tmp_path: Path) -> None:
    """The tests see no Jupyter folder, token or Hub of the developer who runs them."""
    for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        assert Path(os.environ[variable]).parent.name.startswith("app-meta-")
    assert "JUPYTER_TOKEN" not in os.environ
    assert "JUPYTERHUB_API_TOKEN" not in os.environ
