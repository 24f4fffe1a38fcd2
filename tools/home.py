"""Where the demonstrations live: a folder of their own, apart from anybody's notebooks and settings."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

HOST = "127.0.0.1"
PROJECT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("DEMO_HOME") or Path(sys.prefix, "demo"))
NOTEBOOKS = HOME / "notebooks"


def free_port(first: int, tries: int = 100) -> int:
    """Return the first free port from this one on."""
    for port in range(first, first + tries):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise SystemExit(f"No port between {first} and {first + tries} is free.")


def prepare() -> None:
    """Copy the notebooks, and set personal settings aside. To be called before anything of Jupyter is imported."""
    copy_notebooks(PROJECT / "notebooks", NOTEBOOKS)
    set_aside_personal_settings()


def copy_notebooks(source: Path, target: Path) -> None:
    """Copy what is newer than the copy, so that no change made while playing is lost."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir() or ".ipynb_checkpoints" in path.parts:
            continue
        if not copy.exists() or copy.stat().st_mtime < path.stat().st_mtime:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)


def set_aside_personal_settings() -> None:
    """Let a demonstration look the same for everybody: no personal settings of Jupyter, IPython and Matplotlib."""
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "IPYTHONDIR": "ipython"}
    for variable, folder in {**folders, "MPLCONFIGDIR": "matplotlib"}.items():
        os.environ[variable] = str(HOME / folder)
    for variable in ("JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE", "JUPYTER_RUNTIME_DIR"):
        os.environ.pop(variable, None)
