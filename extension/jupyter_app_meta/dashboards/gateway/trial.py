"""Asks a gateway what a deployer wants to know before visitors come: its kernels, and what one of them can import."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from jupyter_client.session import Session, new_id
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from tornado.websocket import WebSocketClientConnection

from ...server.gateway.client import Gateway, GatewayFailed
from .options import environment

TRIAL = 60
"""Within this many seconds the gateway's kernel must answer."""

VERSION = "__import__('importlib.metadata').metadata.version('jupyter-app-meta')"


def kernels(options: GatewayClient) -> dict[str, dict[str, Any]]:
    """Return the kernelspecs of a gateway by name; raises GatewayFailed."""
    return asyncio.run(_specs(options))


def version(options: GatewayClient, name: str) -> str:
    """Start a Python kernel and end it; return the version of this package there, or an empty string.

    Raises GatewayFailed.
    """
    return asyncio.run(_version(options, name))


async def _specs(options: GatewayClient) -> dict[str, dict[str, Any]]:
    gateway = Gateway(options, _log())
    try:
        return {name: found.get("spec", {}) for name, found in (await gateway.specs()).items()}
    finally:
        gateway.close()


async def _version(options: GatewayClient, name: str) -> str:
    gateway = Gateway(options, _log())
    kernel_id = await gateway.start(name, environment(options))
    try:
        async with asyncio.timeout(TRIAL):
            socket = await gateway.connect(kernel_id, new_id())
            return await _asked(socket)
    except TimeoutError:
        raise GatewayFailed(f"The kernel {name} of {gateway.url} did not answer within {TRIAL} seconds.") from None
    finally:
        await gateway.end(kernel_id)
        gateway.close()


async def _asked(socket: WebSocketClientConnection) -> str:
    """Return what the expression is in the kernel; an empty string if it fails."""
    session = Session()
    content = {"code": "", "silent": True, "store_history": False, "allow_stdin": False, "stop_on_error": False}
    message = session.msg("execute_request", {**content, "user_expressions": {"version": VERSION}})
    parts = [session.pack(message[part]) for part in ("header", "parent_header", "metadata", "content")]
    await socket.write_message(serialize_msg_to_ws_v1(parts, "shell"), binary=True)
    while isinstance(frame := await socket.read_message(), bytes):
        _, (header, _, _, said, *_) = deserialize_msg_from_ws_v1(frame)
        if json.loads(header)["msg_type"] == "execute_reply":
            found: dict[str, Any] = json.loads(said).get("user_expressions", {}).get("version", {})
            return str(found["data"]["text/plain"]).strip("'") if found.get("status") == "ok" else ""
    raise GatewayFailed("The gateway closed the connection to a new kernel: its log says why.")


def _log() -> logging.Logger:
    return logging.getLogger(__name__)
