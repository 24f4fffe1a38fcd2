"""The rules that hold for all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = {
    "a test": "import pytest\ndef test(): pytest.skip('no browser')",
    "a mark": "import pytest\n@pytest.mark.skipif(True, reason='no browser')\ndef test(): pass",
    "a fixture": "import pytest\n@pytest.fixture\ndef f(): pytest.skip('no browser')\ndef test(f): pass",
    "a module": "import pytest\npytest.skip('no browser', allow_module_level=True)",
    "an import": "import pytest\npytest.importorskip('no_such_module_for_the_browser')\ndef test(): pass",
}


def run(folder: Path, source: str, ci: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a test file under our conftest."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    return subprocess.run(command, env={**os.environ, "CI": ci}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("source", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_fails_in_ci(tmp_path: Path, source: str) -> None:
    """Where CI is true a skip is a failure that gives the reason of the skip."""
    result = run(tmp_path, source, "true")
    assert result.returncode != 0
    assert "CI skips nothing" in result.stdout
    assert "browser" in result.stdout


def test_a_skip_passes_elsewhere(tmp_path: Path) -> None:
    """On a developer's machine a skip is a skip."""
    assert run(tmp_path, SKIPS["a test"], "").returncode == 0


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    """A test that is expected to fail may do so in CI."""
    assert run(tmp_path, "import pytest\n@pytest.mark.xfail\ndef test(): assert False", "true").returncode == 0


def test_personal_settings_are_kept_out(tmp_path: Path) -> None:
    """The tests see no Jupyter folder, token or Hub of whoever runs them."""
    for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        assert Path(os.environ[variable]).parent.name.startswith("app-meta-")
    assert "JUPYTER_TOKEN" not in os.environ
    assert "JUPYTERHUB_API_TOKEN" not in os.environ
