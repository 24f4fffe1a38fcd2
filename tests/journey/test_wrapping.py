"""We wrap the configured classes after all other extensions have, only once, and for gateways too."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import AWARE, Server, Socket, eventually, python_path, serving

from conftest import PEOPLE

OTHER = """
from socket import IPPROTO_TCP, TCP_NODELAY

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from traitlets import Unicode

class Own(ZMQChannelsWebsocketConnection):
    greeting = Unicode("configured by default").tag(config=True)
    def handle_incoming_message(self, incoming_msg):
        socket = self.websocket_handler.ws_connection.stream.socket
        nodelay = socket.getsockopt(IPPROTO_TCP, TCP_NODELAY)
        self.log.warning("OWN CONNECTION %s, nodelay %s", self.greeting, bool(nodelay))
        super().handle_incoming_message(incoming_msg)

def _jupyter_server_extension_points():
    return [{"module": "zz_other"}]

def _load_jupyter_server_extension(app):
    app.web_app.settings["kernel_websocket_connection_class"] = Own
    again = app.extension_manager
    again.load_extension("jupyter_app_meta")
    def load_again():
        again.load_extension("jupyter_app_meta")
        app.log.warning("LOADED AGAIN")
    app.io_loop.call_later(0.1, load_again)  # once the server runs
"""


def with_module(home: Path, name: str, source: str) -> dict[str, str]:
    """Write a module for a server, and return the environment in which it finds it."""
    (home / f"{name}.py").write_text(source)
    return {"PYTHONPATH": python_path(home)}


@pytest.mark.parametrize("nodelay", [True, False])
def test_connection_class_of_another_extension_is_wrapped(tmp_path: Path, nodelay: bool) -> None:
    """Trap: another extension's connection class silently replaced. It is kept, with its config, and stamped once."""
    env = with_module(tmp_path, "zz_other", OTHER)
    config = (
        f"{PEOPLE}c.ServerApp.jpserver_extensions = {{'jupyter_app_meta': True, 'zz_other': True}}\n"
        f"c.Own.greeting = 'as configured'\nc.AppMetaExtension.tcp_nodelay = {nodelay}\n"
    )
    with serving(tmp_path, config=config, token="", env=env) as server:
        eventually(lambda: "LOADED AGAIN" in server.log)
        visitor = server.visitor(cookies={"person": "alice"})
        socket = visitor.connect(visitor.start_kernel())
        assert socket.who()["user"]["username"] == "alice"
        assert f"OWN CONNECTION as configured, nodelay {nodelay}" in server.log
        assert "goes unstamped" not in server.log


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose kernels run behind a kernel gateway, which keeps their Session keys to itself."""
    behind = "c.KernelGatewayApp.auth_token = 'the-gateway-token'\n"
    command = ("-m", "kernel_gateway")
    with serving(tmp_path_factory.mktemp("behind"), config=behind, command=command, token="", enabled=False) as gateway:
        front = (
            f"c.GatewayClient.url = {gateway.url.rstrip('/')!r}\n"
            "c.GatewayClient.auth_token = 'the-gateway-token'\nc.GatewayClient.auth_scheme = 'token'\n"
        )
        with serving(tmp_path_factory.mktemp("front"), config=PEOPLE + front, token="", debug=True) as server:
            yield server


def ready(socket: Socket) -> Socket:
    """Wait until output arrives: a gateway's socket is open before its subscriptions are."""
    while socket.run("print('ready')").text != "ready\n":
        time.sleep(0.1)
    return socket


def test_gateway_kernels_know_their_visitor(gateway: Server) -> None:
    """A kernel behind a gateway has a key of ours from its start, and knows its visitors, after a restart too."""
    alice, bob = (gateway.visitor(cookies={"person": name}) for name in ("alice", "bob"))
    kernel = alice.start_kernel(AWARE)
    sockets = {name: ready(who.connect(kernel, format="text")) for name, who in (("alice", alice), ("bob", bob))}
    for name, socket in sockets.items():
        assert socket.who(metadata={"app_meta": {"forged": True}})["user"]["username"] == name
    alice.call("POST", f"/api/kernels/{kernel}/restart").raise_for_status()
    for name, visitor in (("alice", alice), ("bob", bob)):
        assert ready(visitor.connect(kernel, format="text")).who()["user"]["username"] == name
    for word in re.findall(r"KERNEL_APP_META_KEY\S+ \S+", gateway.log):
        assert "***" in word
    assert not re.search(r"KERNEL_APP_META_KEY.{0,9}[0-9a-f]{64}", gateway.log)
