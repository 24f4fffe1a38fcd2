"""A smoke journey through what is installed; `make test` runs it against the wheel in a clean environment."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websocket import WebSocket, create_connection

pytestmark = [
    pytest.mark.wheel,
    pytest.mark.skipif(
        "jupyter-app-meta" not in {item.name for item in importlib.metadata.distributions()},
        reason="jupyter-app-meta is not installed in this environment, only on its path",
    ),
]

TOKEN = "a-token-of-this-test"
BIN = Path(sys.executable).parent


@dataclass
class Server:
    """A running server; the port is the one that the system has given to it."""

    info: Path

    @property
    def port(self) -> int:
        """What the server has written into its runtime folder; raises OSError as long as it has not."""
        return int(json.loads(self.info.read_text())["port"])

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call its REST API and return the answer."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", data, method=method)
        request.add_header("Authorization", f"token {TOKEN}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def connect(self, kernel_id: str) -> WebSocket:
        """Open a kernel's WebSocket as a browser would."""
        url = f"ws://127.0.0.1:{self.port}/api/kernels/{kernel_id}/channels?session_id={uuid.uuid4()}"
        headers = [f"Authorization: token {TOKEN}", "Accept-Language: nl"]
        return create_connection(url, header=headers, timeout=60, cookie="theme=dark; sid=secret")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that is started as its deployer starts it, without any configuration."""
    options = ["--ServerApp.port=0", f"--IdentityProvider.token={TOKEN}", "--no-browser", "--allow-root"]
    process = subprocess.Popen(
        [str(BIN / "jupyter"), "server", *options], cwd=tmp_path_factory.mktemp("root"), stderr=subprocess.DEVNULL
    )
    server = Server(Path(os.environ["JUPYTER_RUNTIME_DIR"], f"jpserver-{process.pid}.json"))
    try:
        wait_until_up(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def wait_until_up(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Return as soon as the server answers."""
    for _ in range(1200):
        assert process.poll() is None, "the server has stopped"
        try:
            server.call("GET", "api/status")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server does not answer")


def execute(connection: WebSocket, code: str) -> str:
    """Run a cell and return what it printed; legacy JSON frames are the simplest."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "username": "",
        "session": "s",
        "version": "5.3",
    }
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
    connection.send(json.dumps(message))
    printed = ""
    while True:
        answer: dict[str, Any] = json.loads(connection.recv())
        if answer["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        printed += str(answer["content"].get("text", "")) + "".join(answer["content"].get("traceback", []))
        if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
            return printed


def jupyter(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a jupyter command of this environment."""
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    return subprocess.run([str(BIN / "jupyter"), *arguments], env=env, capture_output=True, text=True, check=False)


def test_the_extension_is_enabled_by_installing() -> None:
    """After `pip install` beside a jupyter_server its extension list has ours, enabled and valid."""
    listed = jupyter("server", "extension", "list")
    said = listed.stdout + listed.stderr
    assert "jupyter_app_meta" in said
    assert f"jupyter_app_meta {importlib.metadata.version('jupyter-app-meta')}" in said
    assert "jupyter_app_meta" not in [line.split()[0] for line in said.splitlines() if "disabled" in line]


def test_the_kernel_is_there_by_installing() -> None:
    """After `pip install` the request-aware kernel is listed, with its logos."""
    found = json.loads(jupyter("kernelspec", "list", "--json").stdout)["kernelspecs"]["python3-app-meta"]
    assert found["spec"]["display_name"] == "Python 3 (request-aware)"
    assert (Path(found["resource_dir"]) / "logo-svg.svg").exists()


def test_check_passes() -> None:
    """A fresh installation has neither faults nor risks."""
    result = jupyter("app-meta", "check")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "no faults, no risks." in result.stdout


def test_kernelspec_install_finds_its_logos(tmp_path: Path) -> None:
    """The kernel's files come with the package, so that they can be installed elsewhere."""
    result = jupyter("app-meta", "kernelspec", "install", "--prefix", str(tmp_path), "--name", "elsewhere")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "share/jupyter/kernels/elsewhere/logo-64x64.png").exists()


@pytest.mark.parametrize("kernel", ["python3-app-meta", "python3"])
def test_a_cell_knows_who_runs_it(server: Server, kernel: str) -> None:
    """A cell sees user and headers of its own request, in the request-aware kernel and in an ordinary one."""
    model = server.call("POST", "api/kernels", {"name": kernel})
    connection = server.connect(model["id"])
    try:
        code = "from jupyter_app_meta import app_meta\nm = app_meta()\nprint(m.mode, m.require_user()['assurance'], "
        said = execute(connection, f"{code} m.request.headers['accept-language'], 'sid' in m.cookies)")
        assert said == "edit shared-secret nl False\n"
    finally:
        connection.close()
        server.call("DELETE", f"api/kernels/{model['id']}")


def test_the_magic_is_loaded(server: Server) -> None:
    """In the request-aware kernel the magic is there without loading anything."""
    model = server.call("POST", "api/kernels", {"name": "python3-app-meta"})
    connection = server.connect(model["id"])
    try:
        assert execute(connection, "level = %app_meta user.assurance\nprint(level)") == "shared-secret\n"
    finally:
        connection.close()
        server.call("DELETE", f"api/kernels/{model['id']}")


def test_the_script_is_installed() -> None:
    """`jupyter app-meta` is found by `jupyter` as its subcommand."""
    assert shutil.which("jupyter-app-meta", path=str(BIN)) is not None
    assert jupyter("app-meta", "--version").stdout.strip() == importlib.metadata.version("jupyter-app-meta")


def test_pytest_has_the_plugin(tmp_path: Path) -> None:
    """The fixture `dashboard` is there by installing, and runs a notebook for a made-up visitor."""
    source = "from jupyter_app_meta import app_meta; print('Welcome', app_meta().require_user().username)"
    cells: Any = [{"cell_type": "code", "metadata": {}, "source": source, "outputs": []}]
    (tmp_path / "hello.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))
    (tmp_path / "test_hello.py").write_text(
        "def test_hello(dashboard):\n"
        "    page = dashboard('hello.ipynb', user='alice')\n"
        "    assert (page.text, page.error) == ('Welcome alice', None)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_hello.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in result.stdout, result.stdout + result.stderr
