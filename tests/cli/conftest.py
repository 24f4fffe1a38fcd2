"""The command line as a deployer runs it: a process of its own, with its own Jupyter folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

# They take longer to import than all the rest; that ours works beside them is tested elsewhere.
OTHERS = (
    "jupyter_lsp",
    "jupyter_server_nbmodel",
    "jupyter_server_ydoc",
    "jupyterlab",
    "jupyterlab_jupytext",
    "notebook",
    "voila.server_extension",
)


PARENT = """
import json, os, sys, traceback
from jupyter_app_meta.cli import main
import jupyter_app_meta.cli.check, jupyter_app_meta.cli.checks.kernels, jupyter_app_meta.cli.serve

def become(asked):
    for number, name in enumerate(("stdout", "stderr"), 1):
        os.dup2(os.open(os.path.join(asked["said"], name), os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["folder"])
    sys.argv[1:] = asked["arguments"]
    try:
        return main()
    except SystemExit as end:
        return end.code
    except BaseException:
        traceback.print_exc()
        return 1

for line in sys.stdin:
    child = os.fork()
    if not child:
        status = become(json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(status or 0))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Forks a process of its own for each command line. It has imported the modules already, which takes the longest."""


class Nursery:
    """Where processes of the command line begin."""

    def __init__(self) -> None:
        command = [sys.executable, "-X", "utf8", "-c", PARENT]
        self._parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, arguments: tuple[str, ...], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run ``jupyter app-meta`` with these arguments and this environment, of which Python itself reads nothing."""
        with TemporaryDirectory() as said:
            asked = {"arguments": arguments, "env": dict(env), "folder": os.getcwd(), "said": said}
            assert self._parent.stdin and self._parent.stdout
            self._parent.stdin.write(f"{json.dumps(asked)}\n")
            self._parent.stdin.flush()
            status = int(self._parent.stdout.readline())
            texts = [Path(said, name).read_text("utf-8") for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(arguments, status, *texts)

    def close(self) -> None:
        """End the parent."""
        self._parent.communicate(timeout=60)


@dataclass
class Site:
    """A Jupyter site in a folder: its configuration comes before that of the environment under test."""

    root: Path
    nursery: Nursery

    @property
    def etc(self) -> Path:
        """The folder of its configuration."""
        return self.root / "etc"

    @property
    def kernels(self) -> Path:
        """The folder of its kernelspecs."""
        return self.root / "share" / "kernels"

    def enable(self, enabled: bool = True) -> None:
        """Enable or disable the server half, as the shared config file does."""
        folder = self.etc / "jupyter_server_config.d"
        folder.mkdir(parents=True, exist_ok=True)
        extensions = {**dict.fromkeys(OTHERS, False), "jupyter_app_meta": enabled}
        text = json.dumps({"ServerApp": {"jpserver_extensions": extensions}})
        (folder / "jupyter_app_meta.json").write_text(text)

    def add_kernel(self, name: str, *argv: str) -> None:
        """Add a kernelspec with this command."""
        folder = self.kernels / name
        folder.mkdir(parents=True, exist_ok=True)
        command = [*argv[:1], "-m", "ipykernel_launcher", "-f", "{connection_file}", *argv[1:]]
        (folder / "kernel.json").write_text(json.dumps({"argv": command, "display_name": name, "language": "python"}))

    def write(self, name: str, text: str) -> Path:
        """Write a configuration file and return its path."""
        path = self.etc / name
        path.write_text(text)
        return path

    def hide(self, module: str) -> None:
        """Make a module unimportable for the command line."""
        (self.root / "absent").mkdir(exist_ok=True)
        (self.root / "absent" / f"{module}.py").write_text(f"raise ImportError('{module} is hidden')\n")

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run ``jupyter app-meta`` with these arguments."""
        paths = {"JUPYTER_CONFIG_PATH": str(self.etc), "JUPYTER_PATH": str(self.root / "share"), "COLUMNS": "300"}
        changed, absent = {**os.environ, **paths, **env}, self.root / "absent"
        if not absent.exists() and not any(name.startswith("PYTHON") for name in env):
            return self.nursery.run(arguments, changed)
        changed["PYTHONPATH"] = os.pathsep.join([str(absent), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "jupyter_app_meta.cli", *arguments]
        return subprocess.run(command, env=changed, capture_output=True, text=True, check=False)

    def check(self, *arguments: str, **env: str) -> tuple[int, dict[str, tuple[str, str]]]:
        """Run ``check --json``; return its exit status, and status and finding of each subject."""
        result = self.run("check", "--json", *arguments, **env)
        assert result.stderr == ""
        report: dict[str, Any] = json.loads(result.stdout)
        return result.returncode, {row["subject"]: (row["status"], row["finding"]) for row in report["rows"]}


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where all tests' command lines begin."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def site(tmp_path: Path, nursery: Nursery) -> Site:
    """A site that is as it should be."""
    site = Site(tmp_path, nursery)
    site.enable()
    site.add_kernel("python3-app-meta", "python", "--ext=jupyter_app_meta")
    return site
