"""Starts JupyterLab on a copy of the notebooks and prints the link to open; Ctrl-C stops it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

HOST = "127.0.0.1"
PROJECT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("DEMO_HOME") or Path(sys.prefix, "demo"))


def free_port(first: int = 8888, tries: int = 100) -> int:
    """Return the first port from 8888 on that nobody listens on."""
    for port in range(first, first + tries):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise SystemExit(f"No port between {first} and {first + tries} is free.")


def copy_notebooks(source: Path, target: Path) -> None:
    """Copy what is newer than the copy: the demo may be played with, and nobody's work is lost."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir() or ".ipynb_checkpoints" in path.parts:
            continue
        if not copy.exists() or copy.stat().st_mtime < path.stat().st_mtime:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)


def set_aside_personal_settings() -> None:
    """Let the demo look the same for everybody: no personal Jupyter or IPython settings."""
    for variable, folder in (("JUPYTER_CONFIG_DIR", "config"), ("JUPYTER_DATA_DIR", "data"), ("IPYTHONDIR", "ipython")):
        os.environ[variable] = str(HOME / folder)
    for variable in ("JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE", "JUPYTER_RUNTIME_DIR"):
        os.environ.pop(variable, None)
    settings = HOME / "config/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')  # nor is anybody asked about news


def invite(port: int, token: str, notebook: str) -> None:
    """Print the link as soon as the server answers."""
    base = f"http://{HOST}:{port}"
    while not answers(f"{base}/api"):
        time.sleep(0.1)
    print(
        "\n  JupyterLab runs. Open this link and run the first cell:\n\n"
        f"    {base}/lab/tree/{notebook}?region=emea&token={token}\n\n"
        "  Ctrl-C stops it.\n",
        flush=True,
    )


def answers(url: str) -> bool:
    """Whether the server answers yet."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def main() -> None:
    """Serve until Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    notebooks = HOME / "notebooks"
    copy_notebooks(PROJECT / "notebooks", notebooks)
    set_aside_personal_settings()
    from jupyterlab.labapp import LabApp  # it settles where its settings are when it is imported

    port, token = free_port(), secrets.token_hex(24)
    threading.Thread(target=invite, args=(port, token, "01_hello.ipynb"), daemon=True).start()
    # The token is passed within this process: on a command line or in the environment others could read it.
    options = [
        f"--ServerApp.ip={HOST}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.answer_yes=True",  # a second Ctrl-C is not asked for
        "--ServerApp.open_browser=False",
        f"--ServerApp.root_dir={notebooks}",
        f"--IdentityProvider.token={token}",
        "--Application.log_level=WARN",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    LabApp.launch_instance(options)


if __name__ == "__main__":
    main()
