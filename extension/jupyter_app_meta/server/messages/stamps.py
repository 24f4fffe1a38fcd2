"""The stamps of one connection: its present payload, and its messages with their stamps.

1. A kernel that runs ahead of its visitor has no request yet, so its stamps are ``pending``.
2. The client's own ``app_meta`` is replaced, in every spelling. Metadata is read here, and what was read is written
   anew. Metadata that cannot be read as a JSON object becomes ``{}``, so that no later parser finds a stamp in it.
3. A header is read once. If the audit or a list of allowed types judges by it, it is written anew as well, so that
   the kernel cannot read a different header.
4. If our code raises an error, the message loses its stamp and is passed on, unless a stamp is required.
5. A browser's message of one of this package's own types is dropped.
"""

from __future__ import annotations

import time
from typing import Any

from ... import wire
from ...model import AppMeta, Mode, SessionInfo, logins
from ...policy import RawRequest
from ...state.messages import PREFIX
from ..context import StampingContext
from . import objects
from .objects import Json

RENEWED = 12 * 60 * 60
"""Seconds after which a payload is made anew, by the wall clock, so that the grant in it does not expire."""

RETRIED = 5
"""Seconds after which a payload is made anew if its kernel could not have a grant, such as one that just starts."""


class Unreadable(ValueError):
    """A message must be read or stamped, and cannot be."""


class Stamps:
    """The stamps of one connection. They are made anew when its page or notebook becomes known or unknown.

    Without a request (``raw`` is None) they are pending. If ``allowed`` names message types, a message of another
    type is refused. So is a message that cannot be stamped, because it would seem to come from a script.
    """

    def __init__(
        self,
        context: StampingContext,
        key: bytes | None,
        raw: RawRequest | None,
        identity: str,
        session: SessionInfo,
        *,
        allowed: frozenset[str] | None = None,
    ) -> None:
        self._context, self._key, self._raw = context, key, raw
        self._identity, self._session = identity, session
        self._allowed = allowed
        self._version, self._until = (-1, -1), 0.0
        self._signer: wire.Signer | None = None
        self._warned, self._granted = False, True

    def signer(self) -> wire.Signer | None:
        """Return the signer of the connection's present payload; None if the kernel's key is not known."""
        grants = self._context.grants
        version = (self._context.origins.version(self._session.kernel_id or ""), grants.turn if grants else 0)
        if version != self._version or not 0 < self._until - time.time() <= RENEWED:
            pending: wire.Claim | None = "pending" if self._raw is None else None
            self._signer = wire.Signer(self._key, self._payload(pending)) if self._key else None
            self._version = version
            self._until = time.time() + (RENEWED if self._granted else RETRIED)
        return self._signer

    def claim(self) -> wire.Signer | None:
        """Return the signer of the one message that tells a warm kernel of this request."""
        return wire.Signer(self._key, self._payload("given")) if self._key else None

    def forward(self, parts: list[Any]) -> tuple[Json | None, list[Any]]:
        """Return the header of a packed message, and its parts [header, parent, metadata, content, *buffers] stamped.

        The caller passes the header to ``note`` once the parts have been passed on. Raises Unreadable if a part is
        missing, if the header must be readable and is not, and if a stamp is required and cannot be made.
        """
        if len(parts) < 4:  # a kernel needs at least four
            raise Unreadable("a message that lacks a part")
        header = objects.read(parts[0], "replace")
        _refuse_ours(header)
        packed = self._judged(header) if self._must_judge else parts[0]
        clean = _cleaned(objects.read(parts[2]))
        metadata = objects.write(clean) if clean is not None else None
        if metadata is None:
            self._refuse_if_required("a message whose metadata cannot be read")
            metadata = b"{}"
        ids, signer = _ids(header), self._safe_signer()
        if ids and signer:
            metadata = signer.splice(metadata, *ids)
        else:
            self._refuse_if_required("a message that cannot be stamped")
        return header, [packed, parts[1], metadata, *parts[3:]]

    def message(self, msg: Json) -> Json:
        """Return an unpacked message with our stamp in place of the client's; raises Unreadable like ``forward``."""
        _refuse_ours(msg.get("header"))
        return self._stamped(msg)

    def _stamped(self, msg: Json) -> Json:
        header = msg.get("header")
        if "metadata" not in msg and self._allowed is None:
            return msg
        clean = _cleaned(msg.get("metadata"))
        if clean is None or not objects.can_be_written(clean):
            self._refuse_if_required("a message whose metadata cannot be read")
            clean = {}
        ids, signer = _ids(header), self._safe_signer()
        if ids and signer:
            self._check_type(ids[1])
            clean[wire.FIELD] = signer.stamp(*ids)
        else:
            self._refuse_if_required("a message that cannot be stamped")
        return {**msg, "metadata": clean}

    def noted(self, msg: Json) -> Json:
        """Return a message of one of the server's own clients with our stamp, and tell the audit about it."""
        self.note(msg.get("header"))
        return self._stamped(msg)

    def note(self, header: object) -> None:
        """Tell the audit of a message that was passed on, even if it has no stamp."""
        self._context.note(self._raw.user if self._raw else None, self._session.kernel_id or "", header)

    @property
    def _must_judge(self) -> bool:
        """Whether messages are judged by their headers."""
        return self._allowed is not None or self._context.audit is not None

    def _judged(self, header: Json | None) -> bytes:
        """Return a header, written anew; raises Unreadable if it cannot be read, or its type is not allowed."""
        packed = objects.write(header, strict=False) if header is not None else None
        if header is None or packed is None:
            raise Unreadable("a message whose header cannot be read")
        self._check_type(header.get("msg_type"))
        return packed

    def _check_type(self, msg_type: object) -> None:
        if self._allowed is not None and not (isinstance(msg_type, str) and msg_type in self._allowed):
            raise Unreadable("a message of a type that visitors may not send")

    def _refuse_if_required(self, problem: str) -> None:
        if self._allowed is not None:
            raise Unreadable(problem)

    def _payload(self, claim: wire.Claim | None) -> str:
        context, kernel_id = self._context, self._session.kernel_id or ""
        request = context.request(self._raw, kernel_id, self._identity) if self._raw else None
        session = SessionInfo(**{**dict(self._session), **context.origins.session(kernel_id)})
        mode = context.origins.mode(kernel_id)
        doors = logins(request, has_login=context.doors.has_login, has_logout=context.doors.has_logout)
        meta = AppMeta(request, mode, session, **doors)
        grant = self._grant(session, mode)
        self._granted = grant is not None or context.grants is None
        return wire.encode(meta, context.limit, claim, grant)

    def _grant(self, session: SessionInfo, mode: Mode) -> str | None:
        """Return the grant for stored state. Without it, the message is stamped all the same."""
        grants, kernel_id = self._context.grants, self._session.kernel_id
        if grants is None or not kernel_id:
            return None
        try:
            return grants.token(kernel_id, self._raw, self._identity, session, mode)
        except Exception as error:
            self._context.log.warning("jupyter-app-meta: a kernel gets no stored state (%s).", type(error).__name__)
            return None

    def _safe_signer(self) -> wire.Signer | None:
        """Return the signer; None if the kernel's key is not known, or the signer could not be made."""
        try:
            return self.signer()
        except Exception as error:
            if not self._warned:
                self._warned = True
                self._context.log.warning("jupyter-app-meta: messages go unstamped (%s).", type(error).__name__)
            return None


def _refuse_ours(header: object) -> None:
    """Raise Unreadable for a type of this package's own messages, which are signed and never come from browsers."""
    msg_type = header.get("msg_type") if isinstance(header, dict) else None
    if isinstance(msg_type, str) and msg_type.startswith(PREFIX):
        raise Unreadable("a message of a type that only the server sends")


def _cleaned(metadata: object) -> Json | None:
    """Return metadata without a stamp; None if it is not an object."""
    if not isinstance(metadata, dict):
        return None
    return {key: value for key, value in metadata.items() if key != wire.FIELD}


def _ids(header: object) -> tuple[str, str] | None:
    """Return a message's id and type; None if one of them is not a string."""
    if not isinstance(header, dict):
        return None
    msg_id, msg_type = header.get("msg_id"), header.get("msg_type")
    return (msg_id, msg_type) if isinstance(msg_id, str) and isinstance(msg_type, str) else None
