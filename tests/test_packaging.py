"""What the wheel has in it, and what importing it costs: nothing that a kernel's environment lacks."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from tools import oldest

import jupyter_app_meta

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = Path(jupyter_app_meta.__file__).parent
SERVER_ONLY = (
    "jupyter_server",
    "tornado",
    "traitlets",
    "jupyter_client",
    "jupyter_core",
    "IPython",
    "ipykernel",
    "zmq",
)
LIGHT = ("starlette", "anyio", "idna", "typing_extensions", "sniffio")

BLOCK = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {SERVER_ONLY!r}:
            raise ModuleNotFoundError(f"{{name}} is not here", name=name)
sys.meta_path.insert(0, Absent())
"""
USE = """
import threading
from jupyter_app_meta import app_meta, session
from jupyter_app_meta.testing import fake_request
meta = app_meta()
assert (meta.request, meta.user, meta.cookies, meta.mode) == (None, None, None, "script"), meta
assert session.get("client_id") is None
with fake_request(user="alice"):
    assert app_meta().require_user()["username"] == "alice"
assert app_meta().request is None
assert threading.active_count() == 1
print(sorted(sys.modules))
"""


def run(code: str, *options: str, path: str | None = None) -> str:
    """Run code in a clean process where warnings are errors, and return what it printed."""
    env = {**os.environ, "PYTHONPATH": path or ":".join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-W", "error", *options, "-c", code]
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel that is built from this source tree."""
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(PROJECT)]
    subprocess.run(command, check=True, capture_output=True)
    return zipfile.ZipFile(next(target.glob("*.whl")))


def test_importing_needs_no_server() -> None:
    """The package imports and app_meta() is harmless where jupyter_server and all of Jupyter are absent."""
    run(BLOCK + USE)


def test_importing_needs_only_starlette(tmp_path: Path) -> None:
    """Starlette and what it needs are enough, in a Python that has no site-packages at all."""
    for name in LIGHT:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            source = origin.parent if origin.name == "__init__.py" else origin
            (tmp_path / source.name).symlink_to(source)
    (tmp_path / PACKAGE.name).symlink_to(PACKAGE)
    run("import sys\n" + USE, "-S", path=str(tmp_path))


def test_a_plain_script_loads_nothing_heavy() -> None:
    """In a plain script app_meta() answers without importing Jupyter, even where it is installed."""
    modules = run("import sys\n" + USE)
    assert not [name for name in SERVER_ONLY if f"'{name}'" in modules]


def test_the_server_half_leaves_app_meta_alone() -> None:
    """Loading the server half changes nothing for app_meta() in the server's own process."""
    run("import sys\nimport jupyter_app_meta.server.app\n" + USE.replace("assert threading.active_count() == 1", ""))


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("x.py", "import jupyter_server"),
        ("kernel/x.py", "import tornado.web"),
        ("kernel/x.py", "from traitlets import Unicode"),
        ("kernel/x.py", "from IPython.core import magic"),
        ("cli/x.py", "from jupyter_client import kernelspec"),
    ],
)
def test_an_import_that_a_kernel_may_lack_is_linted(file: str, line: str) -> None:
    """The linter refuses to import at once what is not installed beside each kernel."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise", "-"]
    name = str(PROJECT / "extension/jupyter_app_meta" / file)
    result = subprocess.run(
        [*command, "--stdin-filename", name], input=line, capture_output=True, text=True, check=False
    )
    assert "TID253" in result.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("kernel/x.py", "from ..server import app"),
        ("kernel/x.py", "def f():\n    from jupyter_app_meta.server.app import AppMetaExtension"),
        ("kernel/x.py", "def f():\n    import jupyter_server"),
        ("server/x.py", "from ..kernel.context import app_meta"),
        ("server/x.py", "from ..testing import fake_request"),
        ("kernel/x.py", "from ..testing import fake_request"),
        ("server/x.py", "from .. import __version__"),
        ("server/x.py", "from ..dashboards import builder"),
        ("policy/x.py", "from ..wire import sign"),
        ("state/x.py", "import tornado"),
        ("dashboards/runs/x.py", "from ..web import application"),
        ("x.py", "import json"),
    ],
)
def test_the_import_contracts_are_linted(tmp_path: Path, file: str, line: str) -> None:
    """An import across a boundary breaks a contract, in any form; so does a module that is in no layer."""
    package = shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    (package / file).write_text(line + "\n")
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr
    assert "BROKEN" in result.stdout or "not listed" in result.stdout


def test_the_wheel_has_its_files(wheel: zipfile.ZipFile) -> None:
    """The wheel has the package with its types and kernelspec, and nothing of the project around it."""
    names = wheel.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"jupyter_app_meta"}  # .data, .dist-info
    for name in ("py.typed", "kernelspec/kernel.json", "kernelspec/logo-svg.svg", "cli/check.py", "server/app.py"):
        assert f"jupyter_app_meta/{name}" in names
    assert not [name for name in names if "test_" in name or name.endswith(".pyc")]


def test_the_wheel_enables_the_server_half(wheel: zipfile.ZipFile) -> None:
    """Installing the wheel puts a config file into the environment that enables the extension."""
    folder = f"jupyter_app_meta-{jupyter_app_meta.__version__}.data/data"
    config = json.loads(wheel.read(f"{folder}/etc/jupyter/jupyter_server_config.d/jupyter_app_meta.json"))
    assert config == {"ServerApp": {"jpserver_extensions": {"jupyter_app_meta": True}}}


def test_the_wheel_brings_the_kernel(wheel: zipfile.ZipFile) -> None:
    """Installing the wheel puts a kernelspec with logos into the environment that loads the extension."""
    folder = f"jupyter_app_meta-{jupyter_app_meta.__version__}.data/data/share/jupyter/kernels/python3-app-meta"
    spec = json.loads(wheel.read(f"{folder}/kernel.json"))
    assert spec["display_name"] == "Python 3 (request-aware)"
    assert spec["argv"][0] == "python"
    assert spec["argv"][-1] == "--ext=jupyter_app_meta"
    assert wheel.read(f"{folder}/logo-64x64.png").startswith(b"\x89PNG")
    assert {"logo-32x32.png", "logo-svg.svg"} < {Path(name).name for name in wheel.namelist() if folder in name}


def test_the_wheel_has_one_version_and_light_dependencies(wheel: zipfile.ZipFile) -> None:
    """The version is that of the package; without extras nothing but ipykernel and Starlette is needed."""
    folder = f"jupyter_app_meta-{jupyter_app_meta.__version__}.dist-info"
    metadata = wheel.read(f"{folder}/METADATA").decode().splitlines()
    needed = [line for line in metadata if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert f"Version: {jupyter_app_meta.__version__}" in metadata
    assert [line.split()[1].partition(">")[0] for line in needed] == ["ipykernel", "starlette"]
    assert "License-Expression: BSD-3-Clause" in metadata
    assert "jupyter-app-meta = jupyter_app_meta.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()


def test_make_says_what_there_is_to_make() -> None:
    """`make` alone lists each target that a newcomer needs."""
    make = shutil.which("make")
    assert make is not None
    printed = subprocess.run([make, "-C", str(PROJECT)], check=True, capture_output=True, text=True).stdout
    assert [
        f"make {name}" for name in ("demo", "test", "lint", "bench", "clean") if f"make {name} " not in printed
    ] == []


def test_the_oldest_releases_are_those_of_the_lower_bounds() -> None:
    """Each release that deployers need has a bound that can be tested; of two bounds the greater one counts."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    found = oldest.bounds(project)
    wanted = [
        *project["dependencies"],
        *(line for extra in oldest.EXTRAS for line in project["optional-dependencies"][extra]),
    ]
    names = {re.split(r"[\[>]", line)[0] for line in wanted} - {"jupyter-app-meta"}
    assert found.keys() == names
    assert found["ipykernel"] == "7.4" and found["starlette"] == "0.40"
    assert oldest.bounds({"dependencies": ["a>=3.9", "a[b]>=3.10"], "optional-dependencies": {}}, ()) == {"a": "3.10"}
