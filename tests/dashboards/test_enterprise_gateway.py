"""Kernels behind a real Enterprise Gateway, which runs in an environment of its own: it needs jupyter_client 6."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from harness import AWARE, Server, Socket, free_port, kernelspec, launched, serving
from stage import KERNEL, SLIDER, WHO, eventually, kernels, move, staging, visit, write

from conftest import PEOPLE

pytestmark = pytest.mark.unforked("kernels run behind a gateway")

ENTERPRISE = Path(sys.prefix).with_name(f"{Path(sys.prefix).name}-enterprise") / "bin" / "python"
TOKEN = "the-gateway-token"  # a canary: it must not be seen anywhere
APP = """
GATEWAY = {{"GatewayClient": {{"url": {url!r}, "auth_token": {token!r}, "allowed_envs": "KERNEL_USERNAME"}}}}
app = (create_app(identity_provider=People, config=GATEWAY)
       .with_app(path="/who", root="who.ipynb")
       .with_app(path="/warm", root="slider.ipynb", warm=1))
"""
NAMED = {"KERNEL_USERNAME": "dashboards"}
"""Enterprise Gateway starts no kernel for root, and takes the name from this variable."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An Enterprise Gateway whose kernels run in our environment."""
    home, port = tmp_path_factory.mktemp("enterprise"), free_port()
    (home / "root").mkdir()
    kernelspec(home, KERNEL)
    kernelspec(home, AWARE, "--ext=jupyter_app_meta")
    options = [f"--EnterpriseGatewayApp.auth_token={TOKEN}", "--EnterpriseGatewayApp.port_retries=0"]
    argv = ["-m", "enterprise_gateway", f"--port={port}", "--ip=127.0.0.1", *options]
    address = f"http://127.0.0.1:{port}/"
    with launched(home, argv, address, env={"PYTHONPATH": ""}, python=str(ENTERPRISE)) as server:
        yield server


def test_dashboards_run_there(tmp_path: Path, gateway: Server) -> None:
    """Cold and warm pages know their visitors and their state, their callbacks too, and their kernels end with them."""
    count = "from jupyter_app_meta import visitor\nprint(f\"<visits: {visitor.state.add('visits')}>\")"
    write(tmp_path / "root" / "who.ipynb", WHO, count)
    write(tmp_path / "root" / "slider.ipynb", SLIDER)
    with staging(tmp_path, APP.format(url=gateway.url.rstrip("/"), token=TOKEN), env=NAMED) as server:
        for visits in (1, 2):
            opened = visit(server, "alice", "/who", region="emea")
            assert "<alice|{'region': 'emea'}|{}|run>" in opened.html and f"<visits: {visits}>" in opened.html
            opened.close()
        for person in ("alice", "bob"):
            opened = visit(server, person, "/warm", of=person)
            assert move(opened.connect(), opened, 7).startswith(f"{person}|{{'of': '{person}'}}|")
        assert TOKEN not in server.log
    eventually(lambda: not kernels(gateway))


def test_lab_kernels_know_their_visitor(tmp_path: Path, gateway: Server) -> None:
    """A server for editors in front of the gateway knows a kernel's visitors and their state, after a restart too."""
    front = (
        f"c.GatewayClient.url = {gateway.url.rstrip('/')!r}\nc.GatewayClient.auth_token = {TOKEN!r}\n"
        "c.GatewayClient.auth_scheme = 'token'\n"
    )
    with serving(tmp_path, config=PEOPLE + front, token="", env=NAMED) as server:
        visitors = {name: server.visitor(cookies={"person": name}) for name in ("alice", "bob")}
        kernel = visitors["alice"].start_kernel(AWARE)
        for again in (False, True):
            if again:
                visitors["alice"].call("POST", f"/api/kernels/{kernel}/restart").raise_for_status()
            for name, visitor in visitors.items():
                socket = visitor.connect(kernel, format="text")
                eventually(partial(_answers, socket))
                assert socket.who(metadata={"app_meta": {"forged": True}})["user"]["username"] == name
                count = "from jupyter_app_meta import visitor; print(visitor.state.kept, visitor.state.add('n'))"
                assert socket.run(count).text == f"server {1 + again}\n"
        visitors["alice"].call("DELETE", f"/api/kernels/{kernel}")
    eventually(lambda: not kernels(gateway))


def _answers(socket: Socket) -> bool:
    """Whether output arrives: a gateway's socket is open before its subscriptions are."""
    return socket.run("print('ready')").text == "ready\n"
