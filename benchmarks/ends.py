"""A plain and a stamped Session whose messages go nowhere, and messages for them."""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from harness import Json
from jupyter_client.session import Session

from jupyter_app_meta import SessionInfo, User, wire
from jupyter_app_meta.policy import Policy, RawRequest
from jupyter_app_meta.server.connections import wrap_session
from jupyter_app_meta.server.context import StampingContext
from jupyter_app_meta.server.hooks import Granting
from jupyter_app_meta.server.messages.stamps import Stamps, Unreadable
from jupyter_app_meta.server.pages.origins import Origins

from .servers import COOKIES, HEADERS

KEY = b"the key of a kernel's Session"
CHANNELS = ("iopub", "shell", "control", "stdin")  # in the server's order


class Drop:
    """A stream that drops what it is given, but for a look at the last message."""

    last: tuple[Any, ...] = ()

    def send_multipart(self, parts: list[Any], flags: int = 0, copy: bool = True, track: bool = False) -> None:
        """Take a message."""
        self.last = tuple(parts)


@dataclass(frozen=True, slots=True)
class Ends:
    """A plain and a stamped Session, and the streams of a browser's channels."""

    plain: Any = field(default_factory=lambda: Session(key=KEY))
    stamped: Any = field(default_factory=lambda: Session(key=KEY))
    streams: dict[str, Drop] = field(default_factory=lambda: {name: Drop() for name in CHANNELS})

    @property
    def stream(self) -> Drop:
        """The stream of the shell channel."""
        return self.streams["shell"]


def make_ends(size: int, grants: Granting | None = None) -> Ends:
    """Return a plain and a stamped Session; the stamp's payload has at least ``size`` bytes, a grant included."""
    ends = Ends()
    # As the connection class does it to the Session of each browser.
    wrap_session(SimpleNamespace(session=ends.stamped, channels=ends.streams), _stamps(size, grants), _fail)
    return ends


def _fail(error: Unreadable) -> None:
    raise error


def _stamps(size: int, grants: Granting | None) -> Stamps:
    """Fill a request with headers until its payload is as large as wanted."""
    headers: list[tuple[str, str]] = []
    while True:
        stamps = _stamps_of(tuple(headers), grants)
        signer = stamps.signer()
        assert signer is not None
        if len(signer.payload) >= size:
            return stamps
        known = list(HEADERS.items())
        headers.append(
            known[len(headers)] if len(headers) < len(known) else (f"X-Pad-{len(headers)}", "0123456789" * 3)
        )


def _stamps_of(headers: tuple[tuple[str, str], ...], grants: Granting | None) -> Stamps:
    policy = Policy.of(headers_allow=["x-pad-*"])
    log = logging.getLogger("benchmarks")
    context = StampingContext(policy, Origins(lambda kernel_id: True), log, b"secret", wire.MAX_LIMIT, grants=grants)
    raw = RawRequest(
        "GET",
        "http://127.0.0.1:8888/api/kernels/channels?session_id=1",
        "http://127.0.0.1:8888/",
        headers=headers,
        cookies=tuple(COOKIES.items()) if headers else (),
        user=User(username="alice", name="Alice", display_name="Alice", initials="A", kind="user"),
    )
    return Stamps(context, wire.derive_key(KEY), raw, "alice", SessionInfo(client_id=uuid.uuid4().hex, kernel_id="1"))


def message(msg_type: str, content: Json, metadata: Json) -> Json:
    """Return a message as a browser writes it, unpacked."""
    header = {"msg_id": str(uuid.uuid4()), "msg_type": msg_type, "session": str(uuid.uuid4()), "username": ""}
    header |= {"date": "2026-01-01T00:00:00.000Z", "version": "5.3"}
    return {"header": header, "parent_header": {}, "metadata": metadata, "content": content, "buffers": []}


def packed(msg: Json) -> list[bytes]:
    """Return the parts of a message."""
    return [json.dumps(msg[name]).encode() for name in ("header", "parent_header", "metadata", "content")]
