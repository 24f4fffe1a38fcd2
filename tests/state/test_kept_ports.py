"""A kernel that is started anew with other ports: its code asks for state there, and no step is needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from jupyter_client.connect import port_names
from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager

from jupyter_app_meta import wire
from jupyter_app_meta.model import AppMeta, SessionInfo, User
from jupyter_app_meta.policy import RawRequest
from jupyter_app_meta.server.links.granting import Places
from jupyter_app_meta.server.links.kept import Kept, Terms
from jupyter_app_meta.server.protocols import key_of
from jupyter_app_meta.state.grants import derive_key
from jupyter_app_meta.state.paging.operations import NoPageService
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.values import Limits

KERNEL_ID, ARGUMENTS = "k-1", ["--ext=jupyter_app_meta"]
ALICE = User(is_authenticated=True, username="alice", kind="user", assurance="provider")
RAW = RawRequest("GET", "http://h/", "http://h/", user=ALICE)
COUNT = "from jupyter_app_meta import visitor; print('counted', visitor.state.add('n'))"


@pytest.fixture
async def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """The manager of a kernel whose ports are files: no other program takes one. The first five are taken meanwhile."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    with TemporaryDirectory(prefix="ports-", dir="/tmp") as folder:  # a socket's path must be short
        place = f"{folder}/k"
        taken = [Path(f"{place}-{number}") for number in range(1, 6)]
        for path in taken:
            path.touch()
        options: dict[str, Any] = {"kernel_name": "python3", "transport": "ipc", "ip": place, "cache_ports": False}
        manager: Any = AsyncIOLoopKernelManager(**options)
        await manager.start_kernel(extra_arguments=ARGUMENTS)
        for path in taken:
            path.unlink()
        yield manager
        await manager.shutdown_kernel(now=True)


@pytest.fixture
async def kept(tmp_path: Path, manager: Any) -> AsyncIterator[Kept]:
    """What a server of this kernel alone needs for state."""

    async def tab(_: str) -> None:
        return None

    store = open_store(f"sqlite:///{tmp_path}/state.db")
    terms = Terms(30.0, Limits(), frozenset())
    key = derive_key(b"a secret of this server's")
    log = logging.getLogger("ports")
    kept = Kept.of(store, key, terms, Places("d", "r"), lambda _: manager, log, tab, NoPageService())
    yield kept
    await kept.close()
    store.close()


async def printed(manager: Any, kept: Kept, code: str) -> str:
    """Return what a cell prints that Alice runs."""
    session = SessionInfo(kernel_id=KERNEL_ID, path="a.ipynb")
    grant = kept.grants.token(KERNEL_ID, RAW, "", session, "edit")
    payload = wire.encode(AppMeta(None, "edit", session), 16_384, None, grant)
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        message = client.session.msg("execute_request", {"code": code, "silent": False})
        signer = wire.Signer(key_of(manager, manager.session) or b"", payload)
        message["metadata"][wire.FIELD] = signer.stamp(message["msg_id"], "execute_request")
        client.shell_channel.send(message)
        text: str = ""
        async with asyncio.timeout(60):
            while True:
                said = await client.get_iopub_msg()
                if said["parent_header"].get("msg_id") != message["msg_id"]:
                    continue
                text += said["content"].get("text", "") + "".join(said["content"].get("traceback", []))
                if said["content"].get("execution_state") == "idle":
                    return text
    finally:
        client.stop_channels()


async def test_a_kernel_with_other_ports_asks_there(manager: Any, kept: Kept) -> None:
    """As after a start that failed at first: the link is opened at the new ports, under its old name."""
    assert await printed(manager, kept, COUNT) == "counted 1\n"
    port, name = manager.control_port, kept.links.name(KERNEL_ID)
    await manager.shutdown_kernel(now=True, restart=True)
    for each in port_names:
        setattr(manager, each, 0)  # what restart_kernel(newports=True) does with TCP ports
    manager.cleanup_connection_file()
    await manager.start_kernel(extra_arguments=ARGUMENTS)
    assert manager.control_port != port
    assert await printed(manager, kept, COUNT) == "counted 2\n"
    assert kept.links.name(KERNEL_ID) == name and len(kept.links) == 1
