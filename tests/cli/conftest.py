"""The command line as a deployer runs it: a process of its own, with its own Jupyter folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# They take longer to import than all the rest; that ours works beside them is tested elsewhere.
OTHERS = (
    "jupyter_lsp",
    "jupyter_server_nbmodel",
    "jupyter_server_ydoc",
    "jupyterlab",
    "notebook",
    "voila.server_extension",
)


@dataclass
class Site:
    """A Jupyter site in a folder: its configuration comes before that of the environment under test."""

    root: Path

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
        paths["PYTHONPATH"] = os.pathsep.join([str(self.root / "absent"), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "jupyter_app_meta.cli", *arguments]
        return subprocess.run(command, env={**os.environ, **paths, **env}, capture_output=True, text=True, check=False)

    def check(self, *arguments: str, **env: str) -> tuple[int, dict[str, tuple[str, str]]]:
        """Run ``check --json``; return its exit status, and status and finding of each subject."""
        result = self.run("check", "--json", *arguments, **env)
        assert result.stderr == ""
        report: dict[str, Any] = json.loads(result.stdout)
        return result.returncode, {row["subject"]: (row["status"], row["finding"]) for row in report["rows"]}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site that is as it should be."""
    site = Site(tmp_path)
    site.enable()
    site.add_kernel("python3-app-meta", "python", "--ext=jupyter_app_meta")
    return site
