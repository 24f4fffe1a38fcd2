"""A kernel of another language: without this package, ipykernel and IPython. It writes down what it hears."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.session import Session

INFO = {
    "status": "ok",
    "protocol_version": "5.3",
    "implementation": "foreign",
    "implementation_version": "1",
    "language_info": {"name": "R", "version": "4", "mimetype": "text/x-r", "file_extension": ".r"},
    "banner": "",
}
REPLIES: dict[str, dict[str, Any]] = {
    "kernel_info_request": INFO,
    "execute_request": {"status": "ok", "execution_count": 1},
}


def main(file: Path) -> None:
    """Be the kernel of this connection file, until it is told to end."""
    info = json.loads(file.read_text())
    session, context = Session(key=info["key"].encode()), zmq.Context()
    joint = "-" if info["transport"] == "ipc" else ":"
    sockets = {}
    for channel, kind in {"shell": zmq.ROUTER, "control": zmq.ROUTER, "iopub": zmq.PUB}.items():
        sockets[channel] = context.socket(kind)
        sockets[channel].bind(f"{info['transport']}://{info['ip']}{joint}{info[f'{channel}_port']}")
    poller = zmq.Poller()
    poller.register(sockets["shell"], zmq.POLLIN)
    poller.register(sockets["control"], zmq.POLLIN)
    with Path(f"{file}.heard").open("a", encoding="utf-8") as heard:
        while True:
            for socket, _ in poller.poll():
                channel = "control" if socket is sockets["control"] else "shell"
                identities, (_, *parts) = session.feed_identities(socket.recv_multipart())
                header, parent, metadata, content = (json.loads(part) for part in parts[:4] if isinstance(part, bytes))
                said = {"channel": channel, "header": header, "metadata": metadata, "content": content}
                print(json.dumps(said), file=heard, flush=True)
                _answer(session, sockets, channel, identities, {"header": header, "parent_header": parent})
                if header["msg_type"] == "shutdown_request":
                    return


def _answer(session: Session, sockets: Any, channel: str, identities: list[bytes], parent: Any) -> None:
    kind = parent["header"]["msg_type"]
    for state in ("busy", "idle"):
        session.send(sockets["iopub"], "status", {"execution_state": state}, parent=parent, ident=b"status")
        if state == "busy":
            content = REPLIES.get(kind, {"status": "ok"})
            session.send(sockets[channel], kind.replace("_request", "_reply"), content, parent=parent, ident=identities)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
