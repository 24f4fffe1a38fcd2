"""The stamps of one connection: which payload it has now, and a message with its stamp.

A kernel that is run ahead of its visitor has no request yet: its stamps are ``pending``.

The client's own ``app_meta`` is replaced wherever it was written. Metadata is written anew from what was
read here. Metadata that cannot be read as a JSON object becomes ``{}``, so that no parser behind us reads in it
what ours did not. An error of ours costs a message its stamp, never more, unless a stamp is required.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ... import wire
from ...model import AppMeta, HTTPRequest, SessionInfo, User
from ...policy import Policy, RawRequest
from ..pages.origins import Origins
from . import objects

Json = objects.Json
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
        return (policy or self.policy).request(raw, page)

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
    """A message cannot be read or stamped, and must be."""


def readable(parts: list[Any]) -> tuple[Json, list[Any]]:
    """Return a packed message's header, and its parts with the header that was read: a kernel must not read another.

    Raises Unreadable where it cannot be read here.
    """
    header = objects.read(parts[0], "replace") if len(parts) >= 4 else None  # a kernel takes no less
    packed = objects.write(header, strict=False) if header is not None else None
    if header is None or packed is None:
        raise Unreadable("a message whose header cannot be read")
    return header, [packed, *parts[1:]]


class Stamps:
    """The stamps of one connection. They are made anew when its page or notebook is found or lost.

    Without a request (``raw`` is None) they are pending. Where they are ``required``, a message that
    cannot be stamped is refused: without its stamp it would seem to come from a script.
    """

    def __init__(
        self,
        desk: Desk,
        key: bytes | None,
        raw: RawRequest | None,
        identity: str,
        session: SessionInfo,
        *,
        required: bool = False,
    ) -> None:
        self._desk, self._key, self._raw, self._identity, self._session = desk, key, raw, identity, session
        self.required = required
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
        """Return an unpacked message with our stamp for the client's own, if any; raises Unreadable where required."""
        if "metadata" not in msg and not self.required:
            return msg
        clean = _cleaned(msg.get("metadata"))
        metadata = clean if clean is not None and objects.can_be_written(clean) else self._unreadable()
        ids, signer = _ids(msg.get("header")), self._safe_signer()
        if ids and signer:
            metadata[wire.FIELD] = signer.stamp(*ids)
        elif self.required:
            raise Unreadable("a message that cannot be stamped")
        return {**msg, "metadata": metadata}

    def noted(self, msg: Json) -> Json:
        """Return a message of one of the server's own clients with our stamp, and tell the audit of it."""
        self.note(msg.get("header"))
        return self.message(msg)

    def parts(self, parts: list[Any]) -> list[Any]:
        """Return the packed parts [header, parent, metadata, content, *buffers] with our stamp.

        Raises Unreadable where one is missing, and where a stamp is required but cannot be given.
        """
        if len(parts) < 4:
            raise Unreadable("a message that lacks a part")
        clean = _cleaned(objects.read(parts[2]))
        metadata = objects.write(clean) if clean is not None else None
        if metadata is None:
            self._unreadable()
            metadata = b"{}"
        ids, signer = _ids(objects.read(parts[0], "replace")), self._safe_signer()
        if ids and signer:
            metadata = signer.splice(metadata, *ids)
        elif self.required:
            raise Unreadable("a message that cannot be stamped")
        return [*parts[:2], metadata, *parts[3:]]

    def passed(self, parts: list[Any]) -> tuple[Json | None, list[Any]]:
        """Return the header of a packed message where there is an audit, and its parts with our stamp.

        Raises Unreadable as ``parts``, and where the audit could not read the header.
        """
        header, parts = readable(parts) if self.is_audited else (None, parts)
        return header, self.parts(parts)

    @property
    def is_audited(self) -> bool:
        """Whether what passes must be readable."""
        return self._desk.audit is not None

    def note(self, header: object) -> None:
        """Tell the audit of a message that was passed on, also of one that went unstamped."""
        self._desk.note(self._raw.user if self._raw else None, self._session.kernel_id or "", header)

    def _unreadable(self) -> Json:
        """Return what stands in for metadata that cannot be read."""
        if self.required:
            raise Unreadable("a message whose metadata cannot be read")
        return {}

    def _safe_signer(self) -> wire.Signer | None:
        """Return the signer; None where there is no key, or where it could not be made."""
        try:
            return self.signer()
        except Exception as error:
            if not self._warned:
                self._warned = True
                self._desk.log.warning("jupyter-app-meta: messages go unstamped (%s).", type(error).__name__)
            return None


def _cleaned(metadata: object) -> Json | None:
    """Return metadata without a stamp; None where it is not an object."""
    if not isinstance(metadata, dict):
        return None
    return {key: value for key, value in metadata.items() if key != wire.FIELD}


def _ids(header: object) -> tuple[str, str] | None:
    if not isinstance(header, dict):
        return None
    msg_id, msg_type = header.get("msg_id"), header.get("msg_type")
    return (msg_id, msg_type) if isinstance(msg_id, str) and isinstance(msg_type, str) else None
