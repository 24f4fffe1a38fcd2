"""The stamp: a signed record in ``metadata["app_meta"]`` of each message. Pure, no I/O.

    stamp   = {"v": "1.0", "payload": "<JSON text>", "mac": "<hex>"}
    payload = {"mode", "session", "request": {...}}     self-contained, bounded, filtered by the policy
    mac     = HMAC-SHA256(key, v · payload · msg_id · msg_type), each part preceded by its length

1. It travels in message metadata, which kernels echo to nobody; never in a header, code or environment.
2. The key comes from the kernel's own Session key. No key, or an empty one: nothing is believed.
3. It is bound to one message by its id and type; a copy on another message is refused.
4. It needs nothing but the key: restarts and reconnects of either side lose nothing.
5. An unknown field is ignored; an unknown major version is refused by name.
6. A payload is at most ``limit`` bytes: whole items are dropped, the user last, and listed.
7. Whatever the bytes are, ``verify`` and ``decode`` return a value or raise BadStamp.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.datastructures import Address

from .datastructures import URL, Cookies, Headers, QueryParams
from .errors import BadStamp, UnknownVersion
from .model import AppMeta, HTTPRequest, Names, SessionInfo, User

FIELD = "app_meta"
VERSION = "1.0"
KEY_VARIABLE = "KERNEL_APP_META_KEY"
DEFAULT_LIMIT = 16 * 1024
MAX_LIMIT = 64 * 1024
MIN_LIMIT = 1024

_NAMES_SHARE = 8  # at most one part in eight of the limit goes to the names of withheld items
_NAME_LENGTH = 100
_version_format = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4})*")


def derive_key(secret: bytes | None) -> bytes | None:
    """Return the key for stamps made from a kernel's Session key; None where there is none."""
    return hmac.digest(secret, b"jupyter-app-meta stamp 1", "sha256") if secret else None


class Signer:
    """Stamps the messages of one connection: the payload is hashed once, not once a message."""

    __slots__ = ("_head", "_state", "payload")

    def __init__(self, key: bytes, payload: str) -> None:
        self.payload = payload
        self._state = _keyed(key, VERSION, payload)
        head = json.dumps({FIELD: {"v": VERSION, "payload": payload, "mac": ""}})
        self._head = head[1:-3].encode()

    def sign(self, msg_id: str, msg_type: str) -> str:
        """Return the MAC of a message, in hex."""
        state = self._state.copy()
        state.update(_part(msg_id) + _part(msg_type))
        return state.hexdigest()

    def stamp(self, msg_id: str, msg_type: str) -> dict[str, str]:
        """Return the stamp of a message."""
        return {"v": VERSION, "payload": self.payload, "mac": self.sign(msg_id, msg_type)}

    def splice(self, metadata: Mapping[str, Any], msg_id: str, msg_type: str) -> bytes:
        """Return the metadata as JSON with the stamp in it; the mapping must not have one."""
        rest = json.dumps(metadata)[:-1].encode() + b", " if metadata else b"{"
        return b"".join((rest, self._head, self.sign(msg_id, msg_type).encode(), b'"}}'))


def verify(key: bytes | None, msg_id: str, msg_type: str, stamp: object) -> str:
    """Return the payload of a stamp; raise BadStamp unless this key signed it for this message."""
    if not key:
        raise BadStamp("The kernel has no key, so no stamp can be believed.")
    if not isinstance(stamp, dict):
        raise BadStamp("The stamp is not an object.")
    version, payload, mac = (_text(stamp, name) for name in ("v", "payload", "mac"))
    if not _version_format.fullmatch(version) or not mac.isascii():
        raise BadStamp("The stamp is damaged.")
    if version.partition(".")[0] != VERSION.partition(".")[0]:
        raise UnknownVersion(
            f"The server's jupyter-app-meta writes stamps of version {version}, this kernel's reads "
            f"{VERSION}: install the same release in both environments."
        )
    if len(payload) > 2 * MAX_LIMIT or not _signed(key, version, payload, msg_id, msg_type, mac):
        raise BadStamp("The stamp is not signed with this kernel's key for this message.")
    return payload


def _signed(key: bytes, version: str, payload: str, msg_id: str, msg_type: str, mac: str) -> bool:
    if not isinstance(msg_id, str) or not isinstance(msg_type, str):
        return False
    state = _keyed(key, version, payload)
    state.update(_part(msg_id) + _part(msg_type))
    return hmac.compare_digest(state.hexdigest(), mac)


def _text(stamp: dict[str, Any], name: str) -> str:
    value = stamp.get(name)
    if not isinstance(value, str):
        raise BadStamp(f"The stamp has no {name!r}.")
    return value


def _keyed(key: bytes, version: str, payload: str) -> hmac.HMAC:
    state = hmac.new(key, digestmod=hashlib.sha256)
    state.update(_part(version) + _part(payload))
    return state


def _part(text: str) -> bytes:
    """Return the text preceded by its length, so that no two lists of parts have the same bytes."""
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(8, "big") + data


def encode(meta: AppMeta, limit: int = DEFAULT_LIMIT) -> str:
    """Return the payload, at most ``limit`` characters of ASCII JSON.

    What does not fit is dropped whole (cookies, headers, query, meta, page, at last the user) and
    listed in ``truncated``.
    """
    plain: dict[str, Any] = {"mode": meta.mode, "session": dict(meta.session)}
    request = meta.request
    if request is None:
        return _dumps({**plain, "request": None})
    budget = limit - _size(plain) - 256
    names, spent = _bounded_names(request.redacted, limit // _NAMES_SHARE)
    fitted, dropped = _fit(request, budget - spent - limit // _NAMES_SHARE)
    truncated, _ = _bounded_names([*request.truncated, *dropped], limit // _NAMES_SHARE)
    return _dumps({**plain, "request": {**fitted, "redacted": names, "truncated": truncated}})


def _fit(request: HTTPRequest, budget: int) -> tuple[dict[str, Any], list[str]]:
    """Return as many items as fit, the most important first, and the names of the others."""
    kept: dict[str, Any] = {"headers": [], "query": [], "cookies": [], "path_params": {}, "meta": {}}
    dropped: list[str] = []
    for kind, name, value in _by_importance(request):
        cost = _size(value) + len(name) + 8
        if cost > budget:
            dropped.append(f"{kind}.{name}" if name else kind)
            continue
        budget -= cost
        if not name:
            kept[kind] = value
        elif isinstance(kept[kind], dict):
            kept[kind][name] = value[1]
        else:
            kept[kind].append(value)
    return kept, dropped


def _by_importance(request: HTTPRequest) -> Iterator[tuple[str, str, Any]]:
    yield "user", "", dict(request.user) if request.user is not None else None
    yield "method", "", request.method
    yield "via", "", request.via
    yield "client", "", list(request.client) if request.client else None
    yield "base_url", "", str(request.base_url)
    yield "url", "", str(request.url.replace(query=""))
    yield from (("path_params", name, [name, value]) for name, value in request.path_params.items())
    yield from (("meta", name, [name, value]) for name, value in request.meta.items())
    yield from (("query", name, [name, value]) for name, value in request.query_params.multi_items())
    yield from (("headers", name, [name, value]) for name, value in request.headers.items())
    yield from (("cookies", name, [name, value]) for name, value in request.cookies.items())


def _bounded_names(names: Any, budget: int) -> tuple[list[str], int]:
    """Return the names, each clipped, as many as fit, with a last entry that counts the others."""
    kept: list[str] = []
    spent = 24
    for position, name in enumerate(names):
        clipped = name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…"
        spent += _size(clipped) + 2
        if spent > budget:
            return [*kept, f"(and {len(names) - position} more)"], spent
        kept.append(clipped)
    return kept, spent


def _size(value: Any) -> int:
    return len(_dumps(value))


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=dict)


def decode(payload: str) -> AppMeta:
    """Return what a verified payload says; raise BadStamp where it is not of the expected form."""
    try:
        plain = json.loads(payload)
        request = plain["request"]
        session = {name: plain["session"].get(name) for name in SessionInfo.__dataclass_fields__}
        mode = plain["mode"] if plain["mode"] in ("edit", "run") else "script"
        return AppMeta(request and _request(request), mode, SessionInfo(**session))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadStamp("The stamp's payload is not of the expected form.") from error


def _request(plain: dict[str, Any]) -> HTTPRequest:
    params = QueryParams([(name, value) for name, value in plain["query"]])
    url = URL(plain.get("url") or "")
    user, client = plain.get("user"), plain.get("client")
    return HTTPRequest(
        method=plain.get("method") or "",
        url=url.replace(query=str(params)) if params else url,  # type: ignore[arg-type]  # replace keeps the class
        base_url=URL(plain.get("base_url") or ""),
        headers=Headers((name, value) for name, value in plain["headers"]),
        query_params=params,
        path_params=dict(plain["path_params"]),
        cookies=Cookies((name, value) for name, value in plain["cookies"]),
        user=None if user is None else User(user),
        client=None if client is None else Address(*client),
        meta=dict(plain["meta"]),
        via="page" if plain.get("via") == "page" else "socket",
        redacted=Names(plain["redacted"]),
        truncated=Names(plain["truncated"]),
    )
