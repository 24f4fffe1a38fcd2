"""Starts JupyterLab on a copy of the notebooks and prints the link to open; Ctrl-C stops it."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
import urllib.error
import urllib.request

from .home import HOME, HOST, NOTEBOOKS, free_port, prepare


def silence_news() -> None:
    """Ask for neither news nor updates."""
    settings = HOME / "config/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')


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
    prepare()
    silence_news()
    from jupyterlab.labapp import LabApp  # it settles where its settings are when it is imported

    port, token = free_port(8888), secrets.token_hex(24)
    threading.Thread(target=invite, args=(port, token, "01_hello.ipynb"), daemon=True).start()
    # The token is passed within this process: on a command line or in the environment others could read it.
    options = [
        f"--ServerApp.ip={HOST}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.answer_yes=True",  # a second Ctrl-C is not asked for
        "--ServerApp.open_browser=False",
        f"--ServerApp.root_dir={NOTEBOOKS}",
        f"--IdentityProvider.token={token}",
        "--Application.log_level=WARN",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    LabApp.launch_instance(options)


if __name__ == "__main__":
    main()
