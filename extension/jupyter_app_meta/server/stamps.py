"""The stamps of one connection: which payload it has now, and a message with its stamp.

A kernel that is run ahead of its visitor has no request yet: its stamps are ``pending``.

The client's own ``app_meta`` is replaced wherever it was written. Metadata that is not a JSON
object passes as it is, so that malformed input ends exactly as it does without us. An error costs
a message its stamp, never more.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from .. import wire
from ..model import AppMeta, HTTPRequest, SessionInfo, User
from ..policy import Policy, RawRequest
from .origins import Origins

Json = dict[str, Any]
Facts = Callable[[str, HTTPRequest], Awaitable[Mapping[str, Any]]]


class Audit(Protocol):
    """What writes down who had a kernel do something."""

    def note(self, user: User | None, kernel_id: str, path: str | None, header: Json) -> None:
        """Write down a message of this header, where it makes the kernel run code. Never raises."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What is needed to stamp: the policy, the pages, and the limits of this server.

    ``facts`` gives the deployer's own fields for a kernel id and a request on its connection;
    ``audit`` is told of each message, stamped or not.
    """

    policy: Policy
    origins: Origins
    log: logging.Logger
    secret: bytes
    limit: int = wire.DEFAULT_LIMIT
    nodelay: bool = True
    facts: Facts | None = None
    audit: Audit | None = None

    def request(self, raw: RawRequest, kernel_id: str, identity: str, *, policy: Policy | None = None) -> HTTPRequest:
        """Return what may be known of a request that an identity makes to a kernel."""
        page = self.origins.page(kernel_id, identity)
        return (policy or self.policy).request(raw, page, dashboard=self.origins.mode(kernel_id) == "run")

    def note(self, user: User | None, kernel_id: str, header: object) -> None:
        """Tell the audit, if there is one, of a message of this header; ``user`` is None where nobody asked for it."""
        if self.audit and isinstance(header, dict):
            self.audit.note(user, kernel_id, self.origins.session(kernel_id)["path"], header)

    async def with_facts(self, raw: RawRequest, kernel_id: str, identity: str) -> RawRequest:
        """Return a request with the deployer's own fields."""
        if self.facts is None:
            return raw
        asked = self.request(raw, kernel_id, identity, policy=self.policy.of_deployer())
        return dataclasses.replace(raw, meta=await self.facts(kernel_id, asked))

    def client_id(self, kernel_id: str, claim: str, session_id: str) -> str:
        """Return a name for a browser tab that stays over its reconnects, and is nobody else's."""
        text = json.dumps([kernel_id, claim, session_id]).encode()
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()[:32]


class Unreadable(ValueError):
    """A message cannot be read, and must be, for the audit."""


def readable(parts: list[Any]) -> tuple[Json, list[Any]]:
    """Return a packed message's header, and its parts with the header that was read: a kernel must not read another.

    Raises Unreadable where it cannot be read here.
    """
    header = _object(parts[0]) if len(parts) >= 4 else None  # a kernel takes no less
    try:
        packed = json.dumps(header).encode() if header is not None else b""
    except RecursionError:
        packed = b""
    if header is None or not packed:
        raise Unreadable("a message whose header cannot be read")
    return header, [packed, *parts[1:]]


class Stamps:
    """The stamps of one connection. They are made anew when its page or notebook is found or lost.

    Without a request (``raw`` is None) they are pending.
    """

    def __init__(
        self, desk: Desk, key: bytes | None, raw: RawRequest | None, identity: str, session: SessionInfo
    ) -> None:
        self._desk, self._key, self._raw, self._identity, self._session = desk, key, raw, identity, session
        self._version = -1
        self._signer: wire.Signer | None = None
        self._warned = False

    def signer(self) -> wire.Signer | None:
        """Return the signer of the connection's present payload; None where there is no key."""
        version = self._desk.origins.version(self._session.kernel_id or "")
        if version != self._version:
            pending: wire.Claim | None = "pending" if self._raw is None else None
            self._signer = wire.Signer(self._key, self._payload(pending)) if self._key else None
            self._version = version
        return self._signer

    def claim(self) -> wire.Signer | None:
        """Return the signer of the one message that tells a warm kernel of this request."""
        return wire.Signer(self._key, self._payload("given")) if self._key else None

    def _payload(self, claim: wire.Claim | None) -> str:
        desk, kernel_id = self._desk, self._session.kernel_id or ""
        request = desk.request(self._raw, kernel_id, self._identity) if self._raw else None
        session = SessionInfo(**{**dict(self._session), **desk.origins.session(kernel_id)})
        return wire.encode(AppMeta(request, desk.origins.mode(kernel_id), session), desk.limit, claim)

    def message(self, msg: Json) -> Json:
        """Return an unpacked message with our stamp for the client's own, if any."""
        metadata = msg.get("metadata")
        if not isinstance(metadata, dict):
            return msg
        clean = {key: value for key, value in metadata.items() if key != wire.FIELD}
        with self._never_raising():
            ids = _ids(msg.get("header"))
            signer = self.signer() if ids else None
            if ids and signer:
                clean[wire.FIELD] = signer.stamp(*ids)
        return {**msg, "metadata": clean}

    def noted(self, msg: Json) -> Json:
        """Return a message of one of the server's own clients with our stamp, and tell the audit of it."""
        self.note(msg.get("header"))
        return self.message(msg)

    def parts(self, parts: list[Any]) -> list[Any]:
        """Return the packed parts [header, parent, metadata, content, *buffers] with our stamp."""
        metadata = _object(parts[2]) if len(parts) >= 4 else None
        if metadata is None:
            return parts
        forged = wire.FIELD in metadata
        metadata.pop(wire.FIELD, None)
        packed = None
        with self._never_raising():
            packed = self._pack(metadata, _ids(_object(parts[0])))
        if packed is None:
            packed = json.dumps(metadata).encode() if forged else parts[2]
        return [*parts[:2], packed, *parts[3:]]

    @property
    def is_audited(self) -> bool:
        """Whether what passes must be readable."""
        return self._desk.audit is not None

    def _pack(self, metadata: Json, ids: tuple[str, str] | None) -> bytes | None:
        signer = self.signer() if ids else None
        return signer.splice(metadata, *ids) if ids and signer else None

    def note(self, header: object) -> None:
        """Tell the audit of a message that was passed on, also of one that went unstamped."""
        self._desk.note(self._raw.user if self._raw else None, self._session.kernel_id or "", header)

    @contextmanager
    def _never_raising(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not self._warned:
                self._warned = True
                self._desk.log.warning("jupyter-app-meta: messages go unstamped (%s).", type(error).__name__)


def _ids(header: object) -> tuple[str, str] | None:
    if not isinstance(header, dict):
        return None
    msg_id, msg_type = header.get("msg_id"), header.get("msg_type")
    return (msg_id, msg_type) if isinstance(msg_id, str) and isinstance(msg_type, str) else None


def _object(part: Any) -> Json | None:
    """Return a part as the kernel would read it; None where it is no JSON object."""
    try:
        value = json.loads(bytes(part).decode("utf-8", "replace"))
    except (ValueError, TypeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
