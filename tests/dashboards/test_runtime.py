"""The folder of a server's sockets: short, removed with its server, also where that was killed; and its browser."""

from __future__ import annotations

import logging
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from harness import Server, free_port, kernelspec, launched
from stage import eventually, kernel_process, sockets, visit, write

from jupyter_app_meta.dashboards.setup import browser, runtime

LOG = logging.getLogger("deployer")


def folders(place: Path) -> list[Path]:
    """Return the folders of servers in a place."""
    return sorted(place.glob(f"{runtime.PREFIX}*"))


def test_folder_of_a_killed_server_is_removed(short: Path) -> None:
    """The next server removes what a killed one left, and leaves alone the folder of one that lives."""
    env = {"TMPDIR": str(short)}
    with runtime_env(short, "a", env) as killed:
        killed.process.kill()
        killed.process.wait()
        (left,) = folders(short)
        with runtime_env(short, "b", env):
            (living,) = folders(short)
            assert living != left
            with runtime_env(short, "c", env):
                assert living in folders(short) and len(folders(short)) == 2
    eventually(lambda: folders(short) == [])


def runtime_env(short: Path, name: str, env: dict[str, str]) -> AbstractContextManager[Server]:
    """Run a server with an environment of its own."""
    home, port = short / name, free_port()
    kernelspec(home, "dashboard-test")
    write(home / "root" / "page.ipynb", "1")
    argv = ["-m", "jupyter_app_meta.cli", "serve", ".", f"--port={port}", "--no-browser"]
    return launched(home, argv, f"http://127.0.0.1:{port}/", env=env)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name."""
    with tempfile.TemporaryDirectory(prefix="am", dir="/tmp", ignore_cleanup_errors=True) as place:  # short
        yield Path(place)


def test_long_tmpdir_is_not_used(tmp_path: Path) -> None:
    """If TMPDIR is too long for sockets, kernels are still reached by sockets."""
    long = tmp_path / ("x" * 60)
    long.mkdir()
    with runtime_env(tmp_path, "home", {"TMPDIR": str(long)}) as server:
        opened = visit(server, None, "page")
        process = kernel_process(server, opened.kernel_id)
        assert folders(long) == []
        opened.connect().close()  # a fork listens from then on
        assert sockets(process)
        opened.close()


def test_nowhere_short_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no folder is short enough the log says that kernels are reached by TCP."""
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr(runtime, "parent", lambda: str(long))
    with runtime.folder(LOG) as made:
        assert made.parent == long and stat.S_IMODE(made.stat().st_mode) == 0o700
    assert "kernels are reached by TCP" in caplog.text and folders(long) == []


def test_token_is_not_in_the_browsers_arguments(tmp_path: Path) -> None:
    """A browser is given a file that only this account can read, which is gone when the server is."""
    write(tmp_path / "root" / "page.ipynb", "1")
    said = tmp_path / "said"
    script = tmp_path / "browser.py"
    script.write_text(f"import sys\nopen({str(said)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n")
    port = free_port()
    kernelspec(tmp_path, "dashboard-test")
    argv = ["-m", "jupyter_app_meta.cli", "serve", ".", "--token", f"--port={port}"]
    env = {"BROWSER": f"{sys.executable} {script} %s"}
    with launched(tmp_path, argv, f"http://127.0.0.1:{port}/", env=env) as server:
        eventually(lambda: said.exists() and said.read_text().endswith("\n"))
        link = said.read_text().strip()
        assert "token" not in link and link.startswith("file:")
        page = Path(urlsplit(link).path)
        assert f"http://localhost:{port}/?token=" in page.read_text()
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
        server.stop()
        assert not page.exists()


def test_a_link_without_a_secret_is_opened_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token there is nothing to hide."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert browser.open_page("http://localhost:1/", secret=False) is None
    assert opened == ["http://localhost:1/"]
