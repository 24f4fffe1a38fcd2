"""Each message of a connection gets its stamp, loses the client's own, and is otherwise the same."""

from __future__ import annotations

import inspect
import json
import logging
import math
import struct
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jupyter_client.session import json_unpacker, orjson_unpacker
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)

from jupyter_app_meta import wire
from jupyter_app_meta.errors import BadStamp
from jupyter_app_meta.model import AppMeta, SessionInfo, User
from jupyter_app_meta.policy import Page, Policy, RawRequest
from jupyter_app_meta.server.context import StampingContext
from jupyter_app_meta.server.messages import objects
from jupyter_app_meta.server.messages.frames import V1, stamp_frame
from jupyter_app_meta.server.messages.stamps import RETRIED, Stamps, Unreadable
from jupyter_app_meta.server.pages.origins import Origins

KEY = wire.derive_key(b"the-kernel's-session-key")
HEADER = {"msg_id": "id", "msg_type": "execute_request", "username": "root", "app_meta": {"forged": True}}
KERNEL = "kernel-1"
TYPES = frozenset({"execute_request"})
IDENTITY = "hub:user:alice"

anything = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates too
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | anything,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(anything | st.just(wire.FIELD), inner, max_size=4),
    max_leaves=10,
)
metadatas = st.dictionaries(anything | st.just(wire.FIELD), json_values, max_size=5)
headers = st.fixed_dictionaries({}, optional={"msg_id": json_values, "msg_type": json_values, "session": anything})
# "app_meta" as a client may write it in JSON: any character of it escaped, any case of the escapes.
spellings = st.tuples(
    *[st.sampled_from([char, f"\\u{ord(char):04x}", f"\\u{ord(char):04X}"]) for char in wire.FIELD]
).map("".join)

FORGERIES = (
    '{"app_meta": {"v": "1.0"}}',
    '{"app_meta": 1, "a": 2}',
    '{"app_meta": 1, "a": 2, "app_meta": 3}',
    '{"\\u0061pp_meta": 1}',
    '{"app\\u005Fmeta": 1, "app_meta": 2}',
    '{"app_meta": "", "app_meta": []}',
    '{"app_meta": false}',
    '{ "app_meta"\n:\t0 }',
)


def context(**more: Any) -> StampingContext:
    """Return what is needed to stamp."""
    return StampingContext(Policy(), Origins(lambda kernel_id: True), logging.getLogger(__name__), b"secret", **more)


def stamps(
    at: StampingContext | None = None,
    key: bytes | None = KEY,
    accept: str = "*/*",
    *,
    owner: bool = True,
    required: bool = False,
) -> Stamps:
    """Return the stamps of alice's connection."""
    user = User(username="alice", kind="user", assurance="hub", is_authenticated=True, is_owner=owner)
    cookies = (("theme", "dark"),)
    raw = RawRequest("GET", "http://h/api", "http://h/", (("Accept", accept),), cookies, user=user)
    return Stamps(
        at or context(), key, raw, IDENTITY, SessionInfo("tab", None, KERNEL, None), allowed=TYPES if required else None
    )


def believed(metadata: Any, msg_id: str = "id", msg_type: str = "execute_request") -> AppMeta:
    """Return what a kernel makes of a message's metadata."""
    return wire.decode(wire.verify(KEY, msg_id, msg_type, metadata[wire.FIELD]))


def packed(metadata: str | bytes, header: Any = HEADER) -> list[Any]:
    """Return the packed parts of a message with a buffer."""
    encoded = metadata.encode() if isinstance(metadata, str) else metadata
    return [json.dumps(header).encode(), b'{"parent": 1}', encoded, b'{"code": ""}', memoryview(b"buffer")]


def unpacked(metadata: Any, header: Any = HEADER) -> dict[str, Any]:
    """Return a message as the older frame formats have it."""
    return {"header": header, "parent_header": {}, "metadata": metadata, "content": {"code": ""}, "buffers": [b"b"]}


# --- both ways -------------------------------------------------------------------------------------------------------


def test_each_message_has_its_own_stamp() -> None:
    """A stamp belongs to one message; another's id makes it worthless."""
    both = stamps()
    first = json.loads(both.forward(packed("{}"))[1][2])
    second = both.message(unpacked({}, {**HEADER, "msg_id": "other"}))["metadata"]
    assert believed(first).user == believed(second, "other").user
    with pytest.raises(BadStamp):
        believed(first, "other")


class Counted:
    """Grants that are numbered."""

    def __init__(self) -> None:
        self.made, self.turn = 0, 0
        self.missing = 0  # how many of the next grants cannot be made

    def token(self, *_: object) -> str | None:
        """Return the next grant."""
        self.made += 1
        self.missing -= 1
        return None if self.missing >= 0 else f"grant-{self.made}"


def test_grant_is_made_anew_before_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a day later by the clock on the wall, which goes on while a computer sleeps, or after it was set back."""
    connection, now = stamps(context(grants=Counted())), [1_800_000_000.0]
    monkeypatch.setattr("jupyter_app_meta.server.messages.stamps.time", SimpleNamespace(time=lambda: now[0]))

    def grant() -> str | None:
        return wire.grant(payload(connection.message(unpacked({}))["metadata"]))

    assert grant() == grant() == "grant-1"
    for later, expected in ((11 * 3600, "grant-1"), (2 * 3600, "grant-2"), (25 * 3600, "grant-3"), (-7200, "grant-4")):
        now[0] += later
        assert grant() == expected


def test_grant_is_made_anew_after_a_revocation_and_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next message after a revocation, and after seconds if the kernel could not have one before."""
    grants, now = Counted(), [1_800_000_000.0]
    connection = stamps(context(grants=grants))
    monkeypatch.setattr("jupyter_app_meta.server.messages.stamps.time", SimpleNamespace(time=lambda: now[0]))

    def grant() -> str | None:
        return wire.grant(payload(connection.message(unpacked({}))["metadata"]))

    assert grant() == "grant-1"
    grants.turn, grants.missing = 1, 1
    assert grant() is grant() is None
    now[0] += RETRIED
    assert grant() == grant() == "grant-3"


def test_metadata_stays_beside_the_stamp() -> None:
    """What the client says of its own cell still arrives."""
    metadata = {"cellId": "a", "deletedCells": [], "é": "日"}
    for stamped in (
        json.loads(stamps().forward(packed(json.dumps(metadata)))[1][2]),
        stamps().message(unpacked(metadata)),
    ):
        rest = stamped.get("metadata", stamped)
        assert {name: value for name, value in rest.items() if name != wire.FIELD} == metadata


@pytest.mark.parametrize("forged", FORGERIES)
def test_clients_own_stamp_is_replaced(forged: str) -> None:
    """A client cannot say who it is: plain, escaped, twice or empty, its own key makes room for ours."""
    assert believed(json.loads(stamps().forward(packed(forged))[1][2])).user is not None
    assert believed(stamps().message(unpacked(json.loads(forged)))["metadata"]).user is not None


@pytest.mark.parametrize("forged", FORGERIES)
@pytest.mark.parametrize("key", [None, b""])
def test_clients_own_stamp_is_gone_without_a_key(forged: str, key: bytes | None) -> None:
    """Where nothing can be signed, nothing is left that looks signed."""
    assert wire.FIELD not in json.loads(stamps(key=key).forward(packed(forged))[1][2])
    assert wire.FIELD not in stamps(key=key).message(unpacked(json.loads(forged)))["metadata"]


@pytest.mark.parametrize(
    "forged", ['{"app_meta": null}', '{"app_meta": 1, "app_meta": null}', '{"\\u0061pp_meta": null}']
)
def test_empty_stamp_of_a_client_is_gone_without_a_key(forged: str) -> None:
    """A client's key whose value is null is one as well."""
    assert wire.FIELD not in json.loads(stamps(key=None).forward(packed(forged))[1][2])


@given(names=st.lists(spellings, min_size=1, max_size=3), value=json_values.filter(lambda value: value is not None))
def test_every_spelling_of_the_key_is_gone(names: list[str], value: Any) -> None:
    """However the client escapes the key, and however often it writes it, ours alone is read."""
    text = "{" + ", ".join([f'"{name}": {json.dumps(value)}' for name in names] + ['"a": 1}'])
    signed = stamps().forward(packed(text))[1][2]
    assert signed.count(b'"app_meta": {"v": ') == 1
    assert believed(json.loads(signed)).user is not None
    assert stamps(key=None).forward(packed(text))[1][2] == b'{"a": 1}'


def test_nested_key_is_left_alone() -> None:
    """A key of that name inside something else is the client's own data."""
    metadata = {"a": {wire.FIELD: 1}, "b": [{wire.FIELD: 2}]}
    found = json.loads(stamps().forward(packed(json.dumps(metadata)))[1][2])
    assert (found["a"], found["b"]) == (metadata["a"], metadata["b"])


# --- what passes untouched -------------------------------------------------------------------------------------------


def test_other_parts_are_the_very_same_objects() -> None:
    """Header, parent, content and buffers are neither copied nor read back."""
    parts = packed("{}")
    found = stamps().forward(parts)[1]
    assert all(found[place] is parts[place] for place in (0, 1, 3, 4))
    message = unpacked({"a": 1})
    stamped = stamps().message(message)
    assert all(stamped[name] is message[name] for name in message if name != "metadata")
    assert message["metadata"] == {"a": 1}


UNREADABLE = (
    *("[]", "null", "7", '"app_meta"', '["app_meta"]', "", "{", "nonsense", "\ufeff{}", "NaN"),
    *('{"a": NaN}', '{"a": [-Infinity]}', '{"a": 1e999}', r'{"a": "\ud800"}', '{"a": ' + "9" * 10_000 + "}"),
    *('{"app_meta": 1}{}', "{'app_meta': 1}", '{"app_meta": 1,}', '{"app_meta": 1} // x', '{"a": ' + "[" * 2000),
)


@pytest.mark.parametrize("metadata", UNREADABLE, ids=lambda text: text[:16])
def test_metadata_that_cannot_be_read_is_replaced(metadata: str) -> None:
    """What is not understood is not passed on: another parser might find a stamp in it."""
    parts = packed(metadata)
    found = stamps().forward(parts)[1]
    assert set(json.loads(found[2])) == {wire.FIELD} and believed(json.loads(found[2])).user is not None
    assert all(found[place] is parts[place] for place in (0, 1, 3, 4))
    assert stamps(key=None).forward(parts)[1][2] == b"{}"
    with pytest.raises(Unreadable):
        stamps(required=True).forward(parts)[1]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be", "utf-8-sig"])
def test_metadata_in_another_encoding_is_replaced(encoding: str) -> None:
    """UTF-8 alone is read: some parsers guess the encoding of JSON."""
    parts = packed('{"é": 1, "app_meta": 1}'.encode(encoding))
    assert set(json.loads(stamps().forward(parts)[1][2])) == {wire.FIELD}


@pytest.mark.parametrize("metadata", [[], None, 7, "app_meta", [wire.FIELD], True, {"a": math.nan}, {"a": "\udcc3"}])
def test_unpacked_metadata_that_cannot_be_packed_is_replaced(metadata: Any) -> None:
    """The same in the older frame formats; half of a surrogate pair would become a byte of its own there."""
    message = unpacked(metadata)
    assert set(stamps().message(message)["metadata"]) == {wire.FIELD}
    assert stamps(key=None).message(message)["metadata"] == {}
    with pytest.raises(Unreadable):
        stamps(required=True).message(message)
    without = {name: value for name, value in message.items() if name != "metadata"}
    assert stamps().message(without) is without


@pytest.mark.parametrize("count", range(4))
def test_too_few_parts_are_refused(count: int) -> None:
    """A message that lacks a part is not passed on, even if a kernel could read it."""
    with pytest.raises(Unreadable):
        stamps().forward(packed('{"app_meta": 1}')[:count])[1]


NO_IDS: tuple[Any, ...] = (
    {},
    [],
    None,
    "text",
    {"msg_id": 1, "msg_type": "x"},
    {"msg_id": "x"},
    {"msg_id": "x", "msg_type": None},
)


@pytest.mark.parametrize("header", NO_IDS)
def test_message_without_an_id_goes_unstamped(header: Any) -> None:
    """A stamp needs an id and a type to be bound to; without them a forged stamp is still removed."""
    assert json.loads(stamps().forward(packed('{"app_meta": 1, "a": 2}', header))[1][2]) == {"a": 2}
    assert stamps().message(unpacked({"app_meta": 1, "a": 2}, header))["metadata"] == {"a": 2}


@pytest.mark.parametrize("header", NO_IDS)
def test_message_without_an_id_is_refused_where_stamps_are_required(header: Any) -> None:
    """On a dashboard, a message without a stamp would seem to come from a script."""
    for key in (KEY, None):
        with pytest.raises(Unreadable):
            stamps(key=key, required=True).forward(packed("{}", header))[1]
        with pytest.raises(Unreadable):
            stamps(key=key, required=True).message(unpacked({}, header))


def test_message_to_a_kernel_without_a_key_is_refused_where_stamps_are_required() -> None:
    """Where nothing can be signed, a dashboard passes nothing on."""
    with pytest.raises(Unreadable):
        stamps(key=None, required=True).forward(packed("{}"))[1]
    with pytest.raises(Unreadable):
        stamps(accept="CANARY \u65e5", required=True).message(unpacked({}))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_parts_may_be_any_bytes(kind: Any) -> None:
    """Frames arrive as bytes or as views into a bigger one."""
    parts = [kind(bytes(part)) for part in packed('{"app_meta": 1}')]
    assert believed(json.loads(stamps().forward(parts)[1][2])).user is not None


# --- nothing raises --------------------------------------------------------------------------------------------------


@given(metadata=metadatas, header=headers | json_values, signs=st.booleans())
def test_any_message_passes(metadata: dict[str, Any], header: Any, signs: bool) -> None:
    """Every message of a client goes on, with our stamp or with none."""
    ids = (header.get("msg_id"), header.get("msg_type")) if isinstance(header, dict) else (None, None)
    bound = signs and all(isinstance(part, str) for part in ids)
    stamped = stamps(key=KEY if signs else None).message(unpacked(metadata, header))["metadata"]
    assert (wire.FIELD in stamped) is bound
    assert not bound or believed(stamped, *ids).user is not None  # type: ignore[arg-type]  # texts, where bound


@given(metadata=metadatas | json_values, header=headers | json_values, signs=st.booleans(), more=st.lists(st.binary()))
@example(metadata={}, header={"msg_id": "\ud800", "msg_type": "\udfff"}, signs=True, more=[])
def test_any_packed_message_passes(metadata: Any, header: Any, signs: bool, more: list[bytes]) -> None:
    """The same for packed parts, which a kernel reads as it would without us but for our stamp."""
    parts = [*packed(json.dumps(metadata), header), *more]
    found = stamps(key=KEY if signs else None).forward(parts)[1]
    assert len(found) == len(parts)
    read = json.loads(found[2])
    others = (
        {name: value for name, value in metadata.items() if name != wire.FIELD} if isinstance(metadata, dict) else {}
    )
    if isinstance(metadata, dict) and objects.write(others) is not None:
        rest, kept = (
            {name: value for name, value in those.items() if name != wire.FIELD} for those in (metadata, read)
        )
        assert json.dumps(kept) == json.dumps(rest)
        assert (read.get(wire.FIELD) or {"v": wire.VERSION})["v"] == wire.VERSION
    else:
        assert read.keys() <= {wire.FIELD}


def view(data: bytes) -> memoryview:
    """Return a view of bytes."""
    return memoryview(data)


STAMP = stamps().message(unpacked({}))["metadata"][wire.FIELD]
FORGED = json.dumps(STAMP)


def deep(depth: int, stamp: str = FORGED) -> bytes:
    """Return metadata with a valid stamp, and so many lists in each other."""
    return f'{{"app_meta": {stamp}, "a": {"[" * depth}{"]" * depth}}}'.encode()


def all_that_is_read(data: bytes) -> list[Any]:
    """Return what the parsers that kernels use make of metadata: orjson, json, and jupyter_client's own unpackers."""
    found = []
    for read in (json.loads, orjson.loads, json_unpacker, orjson_unpacker):
        with suppress(ValueError, RecursionError):
            found.append(read(data))
    return found


def assert_only_ours(found: list[Any], msg_id: str = "id", msg_type: str = "execute_request") -> None:
    """Each parser reads an object whose stamp, if any, is ours and of this message."""
    assert found
    for read in found:
        assert isinstance(read, dict)
        if wire.FIELD in read:
            assert believed(read, msg_id, msg_type).user is not None


raw_metadatas = (
    st.binary()
    | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
    | metadatas.map(lambda value: json.dumps(value).encode())
    | st.tuples(metadatas, st.sampled_from(["utf-16", "utf-32", "utf-8-sig"])).map(
        lambda pair: json.dumps(pair[0]).encode(pair[1])
    )
    | st.integers(0, 1200).map(deep)
    | st.tuples(st.binary(max_size=8), st.binary(max_size=8)).map(lambda pair: pair[0] + deep(1) + pair[1])
    | st.tuples(spellings, st.binary(max_size=8)).map(
        lambda pair: b'{"%b": 1, "a": "%b"}' % (pair[0].encode(), pair[1])
    )
)


@given(metadata=raw_metadatas, signs=st.booleans())
@example(metadata=b'{"app_meta": {}, "a": ' + b"9" * 10_000 + b"}", signs=False)
@example(metadata=b'{"app_meta": {}, "a": NaN}', signs=False)
@example(metadata=b'{"app_meta": {}, "a": "\xff"}', signs=False)
@example(metadata=b'{"app_meta": {}, "a": "\xed\xa0\x80"}', signs=False)
@example(metadata=b'{"app_meta": {}, "a": "\\ud800"}', signs=False)
@example(metadata=b'{"app\\ud800_meta": {}, "app_meta": {}}', signs=False)
@example(metadata=b'\xef\xbb\xbf{"app_meta": {}}', signs=False)
@example(metadata=b'{"app_meta": {}}\x00', signs=False)
def test_every_parser_reads_our_stamp_or_none(metadata: bytes, signs: bool) -> None:
    """For any bytes of metadata, no parser that a kernel may use reads a stamp other than ours."""
    other = {**HEADER, "msg_id": "another"}  # a stamp that was captured is of another message
    found = stamps(key=KEY if signs else None).forward(packed(metadata, other))[1][2]
    assert_only_ours(all_that_is_read(found), "another")
    assert signs or all(wire.FIELD not in read for read in all_that_is_read(found))


@pytest.mark.parametrize("depth", [100, 900, *range(930, 1030), 1100, 100_000])
@pytest.mark.parametrize("key", [KEY, None])
def test_captured_stamp_in_deep_metadata_is_gone(depth: int, key: bytes | None) -> None:
    """Metadata that can only just be read, or no longer, brings no captured stamp to a kernel."""
    other = {**HEADER, "msg_id": "another"}
    found = stamps(key=key).forward(packed(deep(depth), other))[1][2]
    assert_only_ours(all_that_is_read(found), "another")


@pytest.mark.parametrize("depth", [64, 100, 900, *range(960, 984), 1100, 100_000])
@pytest.mark.parametrize("left", [900, 400, 150])
def test_deep_metadata_is_replaced(depth: int, left: int) -> None:
    """However much of the stack is in use, metadata that another parser may give up is not passed on."""

    def at(levels: int) -> Any:
        return at(levels - 1) if levels else stamps(key=None).forward(packed(deep(depth)))[1][2]

    assert at(max(0, sys.getrecursionlimit() - len(inspect.stack(0)) - left)) == b"{}"


@given(metadata=metadatas)
def test_quick_look_at_metadata_agrees_with_writing_it(metadata: dict[str, Any]) -> None:
    """What is taken to be writable without being written is."""
    assert objects.can_be_written(metadata) is (objects.write(metadata) is not None)


def test_metadata_as_clients_nest_it_stays() -> None:
    """What JupyterLab and its extensions write is not deep."""
    text = '{"deletedCells": [], "cell": {"tags": [{"a": [1, {"b": {}}]}]}}'
    assert json.loads(stamps(key=None).forward(packed(text))[1][2]) == json.loads(text)


@given(header=st.binary() | (headers | json_values).map(lambda value: json.dumps(value).encode()))
@example(header=b'{"msg_id": "a", "msg_type": "b", "msg_id": "c"}')
@example(header=b'{"msg_id": "a", "msg_type": "b", "a": ' + b"9" * 10_000 + b"}")
@example(header=b'{"msg_id": "a", "msg_type": "b\xff"}')
@example(header=b'{"msg_id": "a\\u0000", "msg_type": "b\\ud800"}')
@example(header=b'{"msg_id": "a", "msg_type": "b", "a": ' + b"[" * 1000 + b"]" * 1000 + b"}")
def test_stamp_is_of_the_message_that_each_parser_reads(header: bytes) -> None:
    """A header that two parsers read in two ways has at most one message that is believed, with the sender's stamp."""
    found = stamps().forward([header, *packed("{}")[1:]])[1]
    for read in all_that_is_read(header):
        stamp = json.loads(found[2]).get(wire.FIELD)
        ids = (read.get("msg_id"), read.get("msg_type")) if isinstance(read, dict) else (None, None)
        with suppress(BadStamp):
            assert wire.verify(KEY, *ids, stamp) == stamps().signer().payload  # type: ignore[arg-type,union-attr]  # any


@given(st.lists(st.binary() | st.builds(view, st.binary()), max_size=7))
@example([b"{}", b"{}", b"{", b"{}"])
@example([b"\xff", b"\xff", b'{"app_meta": "\xff"}', b"\xff"])
@example([b"[" * 100_000, b"", b'{"app_meta":' + b"[" * 100_000, b""])
@example([b"{}", b"{}", b'{"a":' + b"9" * 10_000 + b"}", b"{}"])
def test_any_bytes_pass_or_are_refused(parts: list[Any]) -> None:
    """Parts that are not JSON, not UTF-8, nested without end or missing raise nothing but Unreadable."""
    with nullcontext() if len(parts) >= 4 else pytest.raises(Unreadable):
        assert len(stamps().forward(parts)[1]) == len(parts)


# --- frames of other connections -------------------------------------------------------------------------------------


def frames_of(metadata: bytes) -> Iterator[tuple[bytes | str, str | None]]:
    """Yield the frame of a message with this metadata in each format, and the format's subprotocol."""
    parts = packed(metadata)
    yield serialize_msg_to_ws_v1([bytes(part) for part in parts], "shell"), V1
    text = json.dumps({**unpacked("@"), "channel": "shell", "buffers": []}).encode().replace(b'"@"', metadata)
    yield b"".join((struct.pack("!iii", 2, 12, 12 + len(text)), text, b"buffer")), None
    with suppress(UnicodeDecodeError):
        yield text.decode(), None


def metadata_in(frame: bytes | str, subprotocol: str | None) -> list[Any]:
    """Return what those behind a gateway read as the metadata of a frame."""
    if subprotocol == V1:
        return all_that_is_read(deserialize_msg_from_ws_v1(frame)[1][2])
    text = frame if isinstance(frame, str) else json.dumps(deserialize_binary_message(frame) | {"buffers": []})
    return [read["metadata"] for read in all_that_is_read(text.encode())]


@given(metadata=raw_metadatas)
@example(metadata=deep(975))
@example(metadata=b'{"app_meta": {}, "a": ' + b"9" * 10_000 + b"}")
@example(metadata=b'{"app_meta": {}, "a": "\xff"}')
def test_frame_is_read_here_or_not_passed_on(metadata: bytes) -> None:
    """A frame for a gateway that cannot be read here is refused; in any other all read our stamp."""
    for frame, subprotocol in frames_of(metadata):
        with suppress(Unreadable):
            passed, _ = stamp_frame(frame, subprotocol, stamps())
            assert_only_ours(metadata_in(passed, subprotocol))


@pytest.mark.parametrize("frame", ["", "[]", "null", "{", b"", b"\x00", b"\xff" * 40, "[" * 5000, '{"a": NaN'])
@pytest.mark.parametrize("subprotocol", [V1, None])
def test_frame_that_is_no_message_is_refused(frame: str | bytes, subprotocol: str | None) -> None:
    """What is not understood does not reach a gateway."""
    with pytest.raises(Unreadable):
        stamp_frame(frame, subprotocol, stamps())


def test_error_costs_the_stamp_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """An error of ours is logged by its kind alone, once a connection; the message goes on without a stamp."""
    broken = stamps(accept="CANARY \u65e5")  # no header that came by HTTP has such a character
    for _ in range(3):
        assert json.loads(broken.forward(packed('{"app_meta": 1, "a": 2}'))[1][2]) == {"a": 2}
        assert broken.message(unpacked({"app_meta": 1, "a": 2}))["metadata"] == {"a": 2}
    assert caplog.messages == ["jupyter-app-meta: messages go unstamped (UnicodeEncodeError)."]


# --- the payload of the moment ---------------------------------------------------------------------------------------


def test_payload_is_made_once() -> None:
    """The request is filtered and packed once, not once a message."""
    connection = stamps()
    assert connection.signer() is connection.signer()
    assert stamps(key=None).signer() is None


def test_found_page_changes_the_stamps() -> None:
    """As soon as the page behind a connection is known, its messages say so; a tab that leaves may come back to it."""
    at = context()
    connection = stamps(at)
    at.origins.connect(KERNEL, IDENTITY)
    assert seen(connection).via == "socket"
    at.origins.see(KERNEL, IDENTITY, Page("http://h/lab/tree/a.ipynb?region=emea"))
    assert (seen(connection).via, seen(connection).query_params["region"]) == ("page", "emea")
    at.origins.see(KERNEL, "hub:user:bob", Page("http://h/lab/tree/b.ipynb"))
    assert seen(connection).url.path == "/lab/tree/a.ipynb"
    at.origins.disconnect(KERNEL, IDENTITY)
    assert seen(connection).via == "page"


def seen(connection: Stamps) -> Any:
    """Return the request that the connection's next message tells of."""
    return believed(json.loads(connection.forward(packed("{}"))[1][2])).request


def test_notebook_of_the_session_is_told() -> None:
    """The open notebook's session and path cross, also after it has been renamed."""
    at = context()
    connection = stamps(at)
    for path in ("a.ipynb", "b.ipynb"):
        at.origins.name(KERNEL, "session-1", path)
        session = believed(json.loads(connection.forward(packed("{}"))[1][2])).session
        assert session == SessionInfo("tab", "session-1", KERNEL, path)


def test_mode_of_a_dashboard_is_run() -> None:
    """On a kernel that the server started to render a page the mode is run."""
    at = context()
    connection = stamps(at)
    assert dict(seen(connection).cookies) == {"theme": "dark"}
    at.origins.render(KERNEL, IDENTITY, Page("http://h/voila/render/a.ipynb", mode="run"), opener=connection)
    found = believed(json.loads(connection.forward(packed("{}"))[1][2]))
    assert (found.mode, dict(found.cookies or {})) == ("run", {"theme": "dark"})


def test_limit_holds() -> None:
    """The deployer's limit bounds every stamp, also where a notebook has a name of ten thousand characters."""
    at = context(limit=wire.MIN_LIMIT)
    at.origins.name(KERNEL, "session-1", "n" * 10_240)
    at.origins.see(KERNEL, IDENTITY, Page(f"http://h/lab/tree/{'n' * 10_240}"))
    signer = stamps(at).signer()
    assert signer is not None
    assert len(signer.payload) <= wire.MIN_LIMIT


# --- names of browser tabs -------------------------------------------------------------------------------------------


@given(first=st.tuples(anything, anything, anything), second=st.tuples(anything, anything, anything))
@example(first=("a", "b", "c"), second=("a", 'b", "c', ""))
def test_tabs_of_two_people_never_share_a_name(first: tuple[str, str, str], second: tuple[str, str, str]) -> None:
    """The name of a tab is stable, and is another one for each kernel, claim and session_id."""
    at = context()
    assert (at.client_id(*first) == at.client_id(*second)) is (first == second)
    assert at.client_id(*first) != StampingContext(at.policy, at.origins, at.log, b"another server").client_id(*first)


# --- kernels that are run ahead --------------------------------------------------------------------------------------


def ahead(key: bytes | None = KEY, at: StampingContext | None = None) -> Stamps:
    """Return the stamps of a kernel whose visitor has not come."""
    return Stamps(at or context(), key, None, "", SessionInfo(kernel_id=KERNEL))


def payload(metadata: Any, msg_id: str = "id", msg_type: str = "execute_request") -> str:
    """Return what is signed in a message's metadata."""
    return wire.verify(KEY, msg_id, msg_type, metadata[wire.FIELD])


def test_message_ahead_of_its_visitor_is_pending() -> None:
    """Without a request a stamp says that it is pending and for which kernel, and nothing about a visitor."""
    for metadata in (ahead().message(unpacked({}))["metadata"], json.loads(ahead().forward(packed("{}"))[1][2])):
        assert wire.claim(payload(metadata)) == "pending"
        assert believed(metadata) == AppMeta(None, "edit", SessionInfo(kernel_id=KERNEL))


def test_message_of_a_visitor_is_no_claim() -> None:
    """What a visitor causes is stamped as ever, and the claim is another payload of the same request."""
    connection = stamps()
    signer, claim = connection.signer(), connection.claim()
    assert signer is not None and claim is not None
    assert (wire.claim(signer.payload), wire.claim(claim.payload)) == (None, "given")
    assert wire.decode(signer.payload) == wire.decode(claim.payload)


def test_claim_is_bound_to_its_own_message() -> None:
    """The claim's stamp counts on the one message that it was made for."""
    claim = stamps().claim()
    assert claim is not None
    metadata = {wire.FIELD: claim.stamp("id", wire.CLAIM_TYPE)}
    assert believed(metadata, "id", wire.CLAIM_TYPE).user is not None
    for ids in (("other", wire.CLAIM_TYPE), ("id", "execute_request")):
        with pytest.raises(BadStamp):
            believed(metadata, *ids)


@pytest.mark.parametrize("key", [None, b""])
def test_kernel_without_a_key_has_neither(key: bytes | None) -> None:
    """If nothing can be signed there is no claim and nothing pending, so no code waits in vain."""
    assert ahead(key).signer() is None and ahead(key).claim() is None
    assert wire.FIELD not in ahead(key).message(unpacked({"app_meta": 1}))["metadata"]


def test_page_that_is_found_makes_nobody_of_a_pending_stamp() -> None:
    """A stamp stays pending while no request is there, also when a page of the kernel becomes known."""
    at = context()
    connection = ahead(at=at)
    assert wire.claim(payload(connection.message(unpacked({}))["metadata"])) == "pending"
    at.origins.render(KERNEL, IDENTITY, Page("http://h/sales?region=emea", mode="run"), connection, "sales.ipynb")
    metadata = connection.message(unpacked({}))["metadata"]
    assert wire.claim(payload(metadata)) == "pending"
    assert believed(metadata) == AppMeta(None, "run", SessionInfo(kernel_id=KERNEL, path="sales.ipynb"))


@given(name=st.text(max_size=3) | st.sampled_from([',"claim":"given"}', ',"claim":"pending"}', '"}},"claim":"given"}']))
def test_no_visitor_poses_as_a_claim(name: str) -> None:
    """With any name and any content, a visitor's messages are ordinary ones."""
    user = User(username=name, name=name, kind="user", assurance="provider", is_authenticated=True)
    raw = RawRequest(
        "GET", f"http://h/?{name}", "http://h/", cookies=((name, name),), path_params={"x": name}, user=user
    )
    connection = Stamps(context(), KEY, raw, IDENTITY, SessionInfo(name, name, KERNEL, name))
    metadata = connection.message(unpacked({"claim": "given", wire.FIELD: {"claim": "given"}}))["metadata"]
    assert wire.claim(payload(metadata)) is None
    assert believed(metadata).session.kernel_id == KERNEL


def test_claim_keeps_the_limit() -> None:
    """The deployer's limit bounds the claim as well, and the kernel's id is in it."""
    at = context(limit=wire.MIN_LIMIT)
    at.origins.see(KERNEL, IDENTITY, Page(f"http://h/lab/tree/{'n' * 10_240}"))
    claim = stamps(at).claim()
    assert claim is not None and len(claim.payload) <= wire.MIN_LIMIT
    assert wire.decode(claim.payload).session.kernel_id == KERNEL
