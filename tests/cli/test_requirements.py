"""The packages that dashboards need: one sentence says what is missing, in every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jupyter_app_meta import requirements

if TYPE_CHECKING:
    from tests.cli.conftest import Site

OLD = "dashboards need voila 0.5.13 or newer, not 0.4.0: pip install 'jupyter-app-meta[dashboards]' (`pip check` names"
ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "voila":
            raise ModuleNotFoundError(f"No module named {name!r}", name="voila")
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture
def old(site: Site) -> Site:
    """A site whose Voila was downgraded, as installing voila-vuetify does."""
    absent = site.root / "absent"
    (absent / "voila").mkdir(parents=True)
    (absent / "voila" / "__init__.py").write_text("")
    (absent / "voila-0.4.0.dist-info").mkdir()
    (absent / "voila-0.4.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: voila\nVersion: 0.4.0\n")
    return site


def imported(code: str, *paths: Path) -> str:
    """Return the last line that a process says that imports create_app after this code."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])}
    code += "\nfrom jupyter_app_meta.dashboards import create_app"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    return done.stderr.splitlines()[-1]


def test_old_voila_is_one_sentence(old: Site) -> None:
    """`serve`, `create_app` and `check` say the same, and for `check` it is a fault."""
    served = old.run("serve", str(old.root))
    assert (served.returncode, served.stdout) == (1, "")
    assert served.stderr.startswith(f"jupyter app-meta: {OLD}") and served.stderr.count("\n") == 1
    assert imported("", old.root / "absent").startswith(f"jupyter_app_meta.errors.RequirementMissing: {OLD}")
    status, rows = old.check()
    assert (status, rows["dashboards"][0]) == (1, "fault") and rows["dashboards"][1].startswith(OLD)


def test_missing_voila_is_one_sentence() -> None:
    """A program that serves dashboards hears what to install."""
    said = "RequirementMissing: voila is missing: pip install 'jupyter-app-meta[dashboards]'"
    assert imported(ABSENT).endswith(said)


@pytest.mark.parametrize(
    ("version", "oldest", "older"),
    [
        *(("0.5.12", "0.5.13", True), ("0.5.13", "0.5.13", False), ("0.10.0", "0.5.13", False), ("7.4", "7.4", False)),
        *(("7.4.0a1", "7.4", False), ("6.29.5", "7.4", True), ("8", "7.4", False), ("7.3.9.post1", "7.4", True)),
    ],
)
def test_versions_are_compared_as_numbers(version: str, oldest: str, older: bool) -> None:
    """0.10 is newer than 0.5.13."""
    assert requirements.is_older(version, oldest) is older


def test_check_judges_what_serve_refuses(site: Site) -> None:
    """A fault for one is a refusal of the other: options on the command line, and those of a file."""
    for option, said in {
        "--VoilaConfiguration.theme=drak": "VoilaConfiguration.theme must name an installed theme, not 'drak'",
        "--VoilaConfiguration.template=nosuch": "VoilaConfiguration.template must name an installed template",
        "--Serve.wram=4": "Serve.wram: there is no such option; did you mean 'warm'?",
        "--VoilaConfiguration.classic_tree=True": "VoilaConfiguration.classic_tree has no effect here",
    }.items():
        status, rows = site.check(option)
        assert (status, rows["dashboards"][0]) == (1, "fault") and said in rows["dashboards"][1], option
    path = site.write("jupyter_app_meta_config.py", "c.VoilaConfiguration.theme = 'drak'\n")
    status, rows = site.check()
    assert status == 1 and "'drak'" in rows["dashboards"][1]
    assert str(path) in rows["configuration read"][1]
    path.write_text("c.VoilaConfiguration.theme = 'dark'\n")
    assert site.check()[1]["dashboards"] == ("ok", "this configuration can be served.")


def test_old_ipykernel_is_a_risk(site: Site) -> None:
    """Each kernel's own ipykernel is asked for its version."""
    fake = site.root / "fake"
    (fake / "ipykernel").mkdir(parents=True)
    (fake / "ipykernel" / "__init__.py").write_text("__version__ = '7.1.0'\n")
    spec = site.kernels / "python3-app-meta" / "kernel.json"
    spec.write_text(spec.read_text().replace("{", f'{{"env": {{"PYTHONPATH": "{fake}"}}, ', 1))
    status, rows = site.check()
    assert status == 0
    assert rows["kernel python3-app-meta"][0] == "risk" and "ipykernel 7.1.0" in rows["kernel python3-app-meta"][1]


def test_native_kernel_is_hidden_only_if_told_to(site: Site) -> None:
    """A kernel called python3 in another folder would stand before ipykernel's own."""
    where = ("--prefix", str(site.root / "env"), "--name", "python3")
    refused = site.run("kernelspec", "install", *where)
    assert refused.returncode == 1 and "'python3' is the name of ipykernel's own kernel" in refused.stderr
    assert not (site.root / "env").exists()
    assert site.run("kernelspec", "install", *where, "--replace").returncode == 0
    assert site.run("kernelspec", "install", *where).returncode == 0  # it is ours now
