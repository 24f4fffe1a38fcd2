"""The stamp: a signed record in ``metadata["app_meta"]`` of each message. Pure, no I/O.

    stamp   = {"v": "1.0", "payload": "<JSON text>", "mac": "<hex>"}
    payload = {"mode", "session", "request": {...}}     self-contained, bounded, filtered; also "login", "logout"
              {..., "claim": "pending"}                 for a cell that is run before its visitor is known
              {..., "claim": "given"}                   for the control message that gives a warm kernel its visitor
              {"grant": "<token>", ...}                 where state is kept; the kernel passes the token on unread
    mac     = HMAC-SHA256(key, v · payload · msg_id · msg_type), each part preceded by its length

1. A stamp travels in message metadata, which kernels do not echo to clients; never in a header, code or environment.
2. The key comes from the kernel's own Session key. Without a key, or with an empty one, no stamp is believed.
3. A stamp is bound to one message by the message's id and type; a copy on another message is refused.
4. A stamp needs nothing but the key, so restarts and reconnects of either side lose nothing.
5. An unknown field is ignored. An unknown major version is refused, and the error names it.
6. A payload is at most ``limit`` bytes. Whole items are dropped and listed, the user last. Items that the visitor
   writes (address, query, headers) are dropped before any item that says who the visitor is.
7. ``verify`` and ``decode`` return a value or raise BadStamp, for any bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import Address

from . import withheld
from .datastructures import URL, Cookies, Headers, QueryParams
from .errors import BadStamp, UnknownVersion
from .importance import Item, by_importance
from .model import AppMeta, HTTPRequest, Mode, Names, SessionInfo, User, logins

FIELD = "app_meta"
VERSION = "1.0"
KEY_VARIABLE = "KERNEL_APP_META_KEY"
CLAIM_TYPE = "app_meta_claim_request"
DEFAULT_LIMIT = 16 * 1024
MAX_LIMIT = 64 * 1024
MIN_LIMIT = 1024

Claim = Literal["pending", "given"]
Json = dict[str, Any]
Pairs = list[tuple[str, str]]
Name = tuple[str, str | None]  # ("headers", "accept"); ("method", None) for a field without names

_GRANT = '{"grant":"'
_NAMES_SHARE = 8  # an eighth of the limit for the names of withheld items, and an eighth for those of dropped items
_NAME_LENGTH = 100
_MODES: tuple[Mode, ...] = get_args(Mode)
_REPEATED = ("query", "headers", "cookies")
_version_format = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4})*")
_dumps = json.JSONEncoder(separators=(",", ":"), default=dict).encode


def derive_key(secret: bytes | None) -> bytes | None:
    """Return the key for stamps, derived from a kernel's Session key; None if the kernel has no Session key."""
    return hmac.digest(secret, b"jupyter-app-meta stamp 1", "sha256") if secret else None


class Signer:
    """Stamps the messages of one connection. The payload is hashed once, not for each message."""

    __slots__ = ("_head", "_payload", "_state")

    def __init__(self, key: bytes, payload: str) -> None:
        self._payload: str | None = payload
        self._head = b""
        self._state = _keyed(key, VERSION, payload)

    @property
    def payload(self) -> str:
        """The signed payload. A connection speaks one frame format, so one form is kept: the text or the bytes."""
        if self._payload is not None:
            return self._payload
        return str(json.loads(b'{%b"}}' % self._head)[FIELD]["payload"])

    def _pack(self) -> bytes:
        stamp = json.dumps({FIELD: {"v": VERSION, "payload": self.payload, "mac": ""}})
        self._payload = None
        return stamp[1:-3].encode()

    def sign(self, msg_id: str, msg_type: str) -> str:
        """Return the MAC of a message, in hex."""
        state = self._state.copy()
        state.update(_part(msg_id) + _part(msg_type))
        return state.hexdigest()

    def stamp(self, msg_id: str, msg_type: str) -> dict[str, str]:
        """Return the stamp of a message."""
        return {"v": VERSION, "payload": self.payload, "mac": self.sign(msg_id, msg_type)}

    def splice(self, metadata: bytes, msg_id: str, msg_type: str) -> bytes:
        """Return the metadata with the stamp in it. The metadata is the JSON text of an object without a stamp."""
        rest = b"{" if metadata == b"{}" else metadata[:-1] + b", "
        self._head = self._head or self._pack()
        return b"".join((rest, self._head, self.sign(msg_id, msg_type).encode(), b'"}}'))


def verify(key: bytes | None, msg_id: str, msg_type: str, stamp: object) -> str:
    """Return the payload of a stamp; raise BadStamp unless this key signed it for this message."""
    if not key:
        raise BadStamp("The kernel has no key, so no stamp can be believed.")
    if not isinstance(stamp, dict):
        raise BadStamp("The stamp is not an object.")
    version, payload, mac = (stamp.get(name) for name in ("v", "payload", "mac"))
    if not (isinstance(version, str) and isinstance(payload, str) and isinstance(mac, str)):
        raise BadStamp("The stamp lacks a part.")
    if not _version_format.fullmatch(version) or not mac.isascii():
        raise BadStamp("The stamp is damaged.")
    if version.partition(".")[0] != VERSION.partition(".")[0]:
        raise UnknownVersion(
            f"The server's jupyter-app-meta writes stamps of version {version}, but this kernel's reads "
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


def _keyed(key: bytes, version: str, payload: str) -> hmac.HMAC:
    state = hmac.new(key, digestmod=hashlib.sha256)
    state.update(_part(version) + _part(payload))
    return state


def _part(text: str) -> bytes:
    """Return the text preceded by its length, so that no two lists of parts have the same bytes."""
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(8, "big") + data


def encode(meta: AppMeta, limit: int = DEFAULT_LIMIT, claim: Claim | None = None, grant: str | None = None) -> str:
    """Return the payload: ASCII JSON of at most ``limit`` characters, where ``limit`` is at least MIN_LIMIT.

    An item that does not fit is dropped whole, together with all values of the same name, and listed in
    ``truncated``. The least important item is dropped first, the user last. A ``grant`` too long for that is dropped.
    """
    head = f'{_GRANT}{grant}",'
    if grant is not None and limit - len(head) >= MIN_LIMIT:
        return f"{head}{encode(meta, limit - len(head), claim)[1:]}"
    if claim is not None:
        return f"{encode(meta, limit - len(_claimed(claim)))[:-1]}{_claimed(claim)}}}"
    items = list(by_importance(meta))
    redacted, truncated = (_clipped(names) for names in _names(meta))
    payload = _packed(meta, items, redacted, truncated)
    if len(payload) <= limit:
        return payload
    # The length is that of a payload without items, plus at most `share` for the names of dropped items,
    # plus at most the cost of each item that is kept.
    share = limit // _NAMES_SHARE
    redacted = _as_many(redacted, share)
    kept, dropped = _choose(items, limit - share - len(_packed(meta, [], redacted, [])))
    return _packed(meta, kept, redacted, _as_many([*truncated, *dropped], share))


def claim(payload: str) -> Claim | None:
    """Return what a verified payload says about a warm kernel's claim; None for any other payload."""
    return next((kind for kind in get_args(Claim) if payload.endswith(f"{_claimed(kind)}}}")), None)


def grant(payload: str) -> str | None:
    """Return the grant of a verified payload; None if it has none."""
    return payload[len(_GRANT) : payload.index('"', len(_GRANT))] if payload.startswith(_GRANT) else None


def _claimed(kind: Claim) -> str:
    return f',"claim":"{kind}"'


def _names(meta: AppMeta) -> tuple[Names, Names]:
    return (meta.request.redacted, meta.request.truncated) if meta.request else (Names(), Names())


def _choose(items: Sequence[Item], room: int) -> tuple[list[Item], list[str]]:
    """Return the items that together fit into ``room`` characters, and the names of the others."""
    costs: dict[Name, int] = {}
    for kind, name, value in items:
        costs[kind, name] = costs.get((kind, name), 0) + len(_dumps([name or kind, value])) + 1
    kept: set[Name] = set()
    for item, cost in costs.items():
        if cost <= room and (item[0] != "user" or item[1] is None or ("user", None) in kept):
            room -= cost
            kept.add(item)
    dropped = [kind if name is None else f"{kind}.{name}" for kind, name in costs if (kind, name) not in kept]
    return [item for item in items if item[:2] in kept], _clipped(dropped)


def _packed(meta: AppMeta, items: Iterable[Item], redacted: Sequence[str], truncated: Sequence[str]) -> str:
    """Return the payload with these items; other fields are blank."""
    fields: Json = {"session": {}, "method": "", "via": "socket", "client": None, "base_url": "", "url": ""}
    fields |= {"user": None, "path_params": {}, "meta": {}, "query": [], "headers": [], "cookies": []}
    for kind, name, value in items:
        if name is None:
            fields[kind] = dict(value) if kind == "user" else value
        elif kind in _REPEATED:
            fields[kind].append((name, value))
        else:
            fields[kind][name] = value
    session = fields.pop("session")
    told: Json = {"redacted": redacted, "truncated": truncated}
    told |= {"why": why} if (why := withheld.packed(redacted)) else {}
    request = {**fields, **told} if meta.request else None
    doors = {name: True for name, url in (("login", meta.login_url), ("logout", meta.logout_url)) if url}
    return _dumps({"mode": _mode(meta.mode), "session": session, **doors, "request": request})


def _as_many(names: list[str], room: int) -> list[str]:
    """Return as many names as fit into ``room`` characters as a JSON list; a last entry counts the others."""
    room -= 40  # the brackets and the last entry
    for count, name in enumerate(names):
        room -= len(_dumps(name)) + 1
        if room < 0:
            return [*names[:count], f"(and {len(names) - count} more)"]
    return names


def _clipped(names: Iterable[str]) -> list[str]:
    return [name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…" for name in names]


def decode(payload: str) -> AppMeta:
    """Return what a verified payload says; raise BadStamp if it does not have the expected form."""
    try:
        plain = json.loads(payload)
        request, session = plain["request"], plain["session"]
        named = {name: _optional_text(session.get(name)) for name in SessionInfo.__dataclass_fields__}
        asked = None if request is None else _request(request)
        doors = logins(asked, has_login=plain.get("login") is True, has_logout=plain.get("logout") is True)
        return AppMeta(asked, _mode(plain["mode"]), SessionInfo(**named), **doors)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadStamp("The stamp's payload does not have the expected form.") from error


def _request(plain: Json) -> HTTPRequest:
    query = _pairs(plain["query"])
    user, client = plain["user"], plain["client"]
    return HTTPRequest(
        method=_text(plain["method"]),
        url=_url(plain["url"], query),
        base_url=_url(plain["base_url"]),
        headers=Headers(_pairs(plain["headers"])),
        query_params=QueryParams(query),
        path_params=_object(plain["path_params"]),
        cookies=Cookies(_pairs(plain["cookies"])),
        user=None if user is None else User({"groups": None, **_object(user)}),  # dropped groups: None, not empty
        client=None if client is None else _client(client),
        meta=_object(plain["meta"]),
        via="page" if plain["via"] == "page" else "socket",
        redacted=Names(withheld.unpacked(map(_text, plain["redacted"]), plain.get("why", {}))),
        truncated=Names(map(_text, plain["truncated"])),
    )


def _url(value: object, query: Pairs | None = None) -> URL:
    """Return a URL with its query; if the URL did not fit into the stamp, it has no query either."""
    text = _text(value)
    parts = urlsplit(text)  # a URL that cannot be parsed fails here, not in an author's cell
    return URL(parts._replace(query=urlencode(query)).geturl() if query and text else text)


def _mode(value: object) -> Mode:
    return next((mode for mode in _MODES if mode == value), "script")


def _client(value: Any) -> Address:
    host, port = value
    return Address(_text(host), int(port))


def _pairs(value: Any) -> Pairs:
    return [(_text(name), _text(item)) for name, item in value]


def _object(value: object) -> Json:
    if isinstance(value, dict):
        return value
    raise TypeError("not an object")


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError("not a string")
