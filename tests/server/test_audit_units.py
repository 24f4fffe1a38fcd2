"""One event for each message that makes a kernel run code: its form, and that it disturbs nothing."""

from __future__ import annotations

import json
import logging
from contextlib import nullcontext
from datetime import UTC, datetime
from io import StringIO
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import ValidationError  # type: ignore[import-untyped]  # it says nothing of its types
from jupyter_events import EventLogger, yaml
from jupyter_events.schema import EventSchema
from traitlets.config import Config

from jupyter_app_meta import wire
from jupyter_app_meta.model import SessionInfo, User
from jupyter_app_meta.policy import Page, Policy, RawRequest
from jupyter_app_meta.server import audit
from jupyter_app_meta.server.app import AppMetaExtension
from jupyter_app_meta.server.audit import ACTIONS, SCHEMA, SCHEMA_ID, EventAudit
from jupyter_app_meta.server.context import StampingContext
from jupyter_app_meta.server.messages.stamps import Stamps, Unreadable
from jupyter_app_meta.server.pages.origins import Origins
from jupyter_app_meta.wire import CLAIM_TYPE

Json = dict[str, Any]

LOG = logging.getLogger("server")
KEY = wire.derive_key(b"the-kernel's-session-key")
KERNEL = "kernel-1"
IDENTITY = "provider:user:alice"
ALICE = User(username="alice", kind="user", assurance="provider", is_authenticated=True, email="CANARY@example.org")
KINDS = ("user", "service", "anonymous")
ASSURANCES = ("hub", "provider", "shared-secret", "none")
OTHERS = (
    *("kernel_info_request", "complete_request", "inspect_request", "history_request", "is_complete_request"),
    *("comm_info_request", "input_reply", "debug_request", "interrupt_request", "shutdown_request"),
    *("create_subshell_request", "execute_reply", "status", "stream", "", "EXECUTE_REQUEST", " execute_request"),
    *("execute_request\x00", "comm_msg ", "no_such_type"),
)

anything = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates too
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | anything,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(anything, inner, max_size=4),
    max_leaves=10,
)
headers = st.fixed_dictionaries(
    {}, optional={"msg_id": json_values, "msg_type": json_values | st.sampled_from([*ACTIONS, *OTHERS])}
)


class Book:
    """What a server's event logger writes, a line each, and an audit that writes there."""

    def __init__(self) -> None:
        self.text = StringIO()
        self.events = EventLogger(handlers=[logging.StreamHandler(self.text)])
        self.audit = EventAudit(self.events, LOG)

    @property
    def lines(self) -> list[Json]:
        """The events so far; a line that is none is an error."""
        return [json.loads(line) for line in self.text.getvalue().splitlines()]

    def event(self) -> Json:
        """The only event so far."""
        (event,) = self.lines
        return event

    def context(self) -> StampingContext:
        """Return what is needed to stamp, with this audit."""
        return StampingContext(Policy(), Origins(lambda kernel_id: True), LOG, b"secret", audit=self.audit)

    def stamps(self, user: User | None = ALICE, at: StampingContext | None = None, key: bytes | None = KEY) -> Stamps:
        """Return the stamps of a user's connection."""
        cookies, headers = (("theme", "CANARY"),), (("Authorization", "Bearer CANARY"),)
        raw = RawRequest("GET", "http://h/api?token=CANARY", "http://h/", headers, cookies, user=user)
        return Stamps(at or self.context(), key, raw, IDENTITY, SessionInfo("tab", None, KERNEL, None))


@pytest.fixture
def book() -> Book:
    """A new book."""
    return Book()


def header(msg_type: Any = "execute_request", msg_id: Any = "id") -> Json:
    """Return a message's header."""
    return {"msg_id": msg_id, "msg_type": msg_type, "username": "root", "session": "CANARY"}


def unpacked(header: Any, metadata: Any = None) -> Json:
    """Return a message as the older frame formats have it."""
    content = {"code": "CANARY", "data": {"state": {"value": "CANARY"}}}
    return {"header": header, "parent_header": {}, "metadata": metadata or {}, "content": content, "buffers": []}


def packed(header: Any, metadata: str = "{}") -> list[Any]:
    """Return the packed parts of a message."""
    return [json.dumps(header).encode(), b"{}", metadata.encode(), b'{"code": "CANARY"}', memoryview(b"CANARY")]


def passed_on(stamps: Stamps, parts: list[Any]) -> list[Any]:
    """Do what a connection does with a packed message, and return what the kernel gets."""
    header, stamped = stamps.forward(parts)
    stamps.note(header)
    return stamped


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("msg_type", "action"), [*ACTIONS.items()])
def test_event_says_who_where_and_when(book: Book, msg_type: str, action: str) -> None:
    """An event has these fields and no others, and none of the message's content or of the visitor's secrets."""
    before = datetime.now(UTC)
    book.stamps().noted(unpacked(header(msg_type)))
    event = book.event()
    assert before <= datetime.fromisoformat(event.pop("time")) <= datetime.now(UTC)
    assert {name: value for name, value in event.items() if not name.startswith("__")} == {
        "action": action,
        "username": "alice",
        "kind": "user",
        "assurance": "provider",
        "kernel_id": KERNEL,
        "path": None,
        "msg_id": "id",
        "msg_type": msg_type,
    }
    assert (event["__schema__"], event["__schema_version__"]) == (SCHEMA_ID, "1")
    assert "CANARY" not in book.text.getvalue()


def test_cells_and_callbacks_are_all_there_is() -> None:
    """These make a kernel run code; a claim lets a cell go on."""
    assert ACTIONS == {
        "execute_request": "cell",
        "apply_request": "cell",
        "comm_open": "callback",
        "comm_msg": "callback",
        "comm_close": "callback",
        wire.CLAIM_TYPE: "claim",
    }


def test_both_forms_of_a_message_are_written(book: Book) -> None:
    """The packed and the unpacked form of a message each give one event."""
    stamps = book.stamps()
    stamps.noted(unpacked(header(msg_id="unpacked")))
    passed_on(stamps, packed(header(msg_id="packed")))
    assert [event["msg_id"] for event in book.lines] == ["unpacked", "packed"]


@pytest.mark.parametrize("msg_type", OTHERS)
def test_other_messages_are_not_written(book: Book, msg_type: str) -> None:
    """A message that does not make a kernel run code gives no event."""
    book.stamps().noted(unpacked(header(msg_type)))
    passed_on(book.stamps(), packed(header(msg_type)))
    assert book.lines == []


@pytest.mark.parametrize("metadata", ["[]", "null", "7", '"x"', "{", "", "nonsense", '{"app_meta": {}}'])
def test_message_that_cannot_be_stamped_is_written(book: Book, metadata: str) -> None:
    """A kernel may run what travels unstamped, so that it is written too."""
    passed_on(book.stamps(), packed(header(), metadata))
    assert book.event()["username"] == "alice"


@pytest.mark.parametrize("key", [None, b""])
def test_message_to_a_kernel_without_a_key_is_written(book: Book, key: bytes | None) -> None:
    """If nothing can be signed, the event still names the user."""
    book.stamps(key=key).noted(unpacked(header()))
    assert book.event()["username"] == "alice"


@pytest.mark.parametrize("count", range(4))
def test_message_that_lacks_a_part_is_not_written(book: Book, count: int) -> None:
    """No kernel runs an incomplete message."""
    with pytest.raises(Unreadable):
        passed_on(book.stamps(), packed(header())[:count])
    assert book.lines == []


def test_cells_ahead_of_their_visitor_are_nobodys(book: Book) -> None:
    """Cells that run ahead have no user; from the claim on they have the visitor."""
    at = book.context()
    Stamps(at, KEY, None, "", SessionInfo(kernel_id=KERNEL)).noted(unpacked(header()))
    book.stamps(at=at).noted(unpacked(header()))
    assert [event["username"] for event in book.lines] == [None, "alice"]


def test_identity_of_unknown_form_is_null(book: Book) -> None:
    """A user whom the server does not know is null, and the cell is written."""
    book.stamps(user=None).noted(unpacked(header()))
    assert {book.event()[name] for name in ("username", "kind", "assurance")} == {None}


@pytest.mark.parametrize(("kind", "assurance"), [*product(KINDS, ASSURANCES)])
def test_every_kind_of_visitor_fits_the_schema(book: Book, kind: str, assurance: str) -> None:
    """For every kind of user, the event says what the user is and how far to trust that."""
    book.stamps(User(username="x", kind=kind, assurance=assurance)).noted(unpacked(header()))
    assert (book.event()["kind"], book.event()["assurance"]) == (kind, assurance)


def test_narrowed_user_fields_are_for_kernels() -> None:
    """What kernels may see of a user is one thing, and what the deployer's own book says another."""
    book = Book()
    at = StampingContext(
        Policy.of(user_fields=["kind"]), Origins(lambda kernel_id: True), LOG, b"secret", audit=book.audit
    )
    book.stamps(at=at).noted(unpacked(header()))
    assert book.event()["username"] == "alice"


@pytest.mark.parametrize("name", ["a\nb", '"}', "日本", "\ud800", "", "n" * 100_000, "\u2028\x85\x0b"])
def test_odd_names_are_one_line(book: Book, name: str) -> None:
    """With any name of a user, a notebook or a message, an event is one line of JSON."""
    at = book.context()
    at.origins.name(KERNEL, "session", name)
    book.stamps(User(username=name, kind="user", assurance="provider"), at).noted(unpacked(header(msg_id=name)))
    assert book.text.getvalue().count("\n") == 1 and book.text.getvalue().isascii()
    event = book.event()
    assert (event["username"], event["msg_id"]) == (name, name[: audit.LONGEST_ID])
    assert event["path"] == (name[: audit.LONGEST_PATH] or None)


def test_path_is_that_of_the_moment(book: Book) -> None:
    """The path is that of the kernel's one session, also after a rename; with two it is null."""
    at = book.context()
    stamps = book.stamps(at=at)
    for session, path in (("a", "one.ipynb"), ("a", "renamed.ipynb"), ("b", "two.ipynb")):
        at.origins.name(KERNEL, session, path)
        stamps.noted(unpacked(header()))
    assert [event["path"] for event in book.lines] == ["one.ipynb", "renamed.ipynb", None]


def test_path_of_a_page_is_its_notebook(book: Book) -> None:
    """A page that the server renders has no session: its notebook is told."""
    at = book.context()
    at.origins.render(KERNEL, IDENTITY, Page("http://h/sales?region=emea", mode="run"), path="sales.ipynb")
    book.stamps(at=at).noted(unpacked(header()))
    assert book.event()["path"] == "sales.ipynb"


# --- ids that are no ids ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("msg_id", "written"),
    [
        ("x" * 128, "x" * 128),
        ("x" * 10_240, "x" * 128),
        ("a\nb\r\n", "a\nb\r\n"),
        (7, "7"),
        (None, "(no text)"),
        (True, "True"),
        (["a", {"b": 1}], "(no text)"),
        (float("nan"), "nan"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_id_of_any_form_is_a_short_text(book: Book, msg_id: Any, written: str) -> None:
    """The sender chooses an id: if it is not a string it is written as JSON, and a long one is cut."""
    book.stamps().noted(unpacked(header(msg_id=msg_id)))
    passed_on(book.stamps(), packed(header(msg_id=msg_id)))
    assert [event["msg_id"] for event in book.lines] == [written, written]


def test_message_without_an_id_is_written(book: Book) -> None:
    """A message that has no id may be run all the same."""
    book.stamps().noted(unpacked({"msg_type": "comm_msg"}))
    assert book.event()["msg_id"] == "(no text)"


@pytest.mark.parametrize("depth", [100, 900, *range(920, 1000), 1100, 100_000])
def test_deep_id_disturbs_nothing(depth: int) -> None:
    """An id that can only just be read has its event; what cannot be read is ignored, and no connection closed."""
    book = Book()
    text = '{"msg_type": "execute_request", "msg_id": ' + "[" * depth + "]" * depth + "}"
    parts = packed({})
    parts[0] = text.encode()
    try:
        assert len(passed_on(book.stamps(), parts)) == len(parts)
    except Unreadable:
        assert depth > 100 and not book.lines
    else:
        assert book.event()["action"] == "cell"
    try:
        read = json.loads(text)
    except RecursionError:
        return
    assert book.stamps().noted(unpacked(read))["header"] is read


@pytest.mark.parametrize(
    "part",
    [b"", b"{", b"[]", b"null", b"7", b"\xff", b"[" * 100_000, b'\xef\xbb\xbf{"a": 1}'],
    ids=lambda part: part[:9],
)
def test_header_that_cannot_be_read_is_refused(book: Book, part: bytes) -> None:
    """A packed message passes only with a header that was read: a kernel might make more of it."""
    with pytest.raises(Unreadable):
        passed_on(book.stamps(), [part, *packed({})[1:]])
    assert book.lines == []


@pytest.mark.parametrize(
    "part",
    [
        b'{"msg_type": "kernel_info_request", "msg_id": "x", "msg_type": "execute_request"}',
        b'{"msg_type": "kernel_info_request", "\\u006dsg_type": "execute_request", "msg_id": "x"}',
        b'{"msg_type": "execute_request", "msg_id": "x\xff"}',
    ],
    ids=["twice", "escaped", "no text"],
)
def test_kernel_reads_the_header_that_was_written(book: Book, part: bytes) -> None:
    """With a duplicate name, or bytes that are not text, the message passed on has one reading: that of the event."""
    passed = json.loads(bytes(passed_on(book.stamps(), [part, *packed({})[1:]])[0]).decode())
    assert (passed["msg_type"], passed["msg_id"]) == (book.event()["msg_type"], book.event()["msg_id"])
    assert passed["msg_type"] == "execute_request"


@given(header=headers | json_values)
@example(header={"msg_type": ["execute_request"], "msg_id": "x"})
@example(header={"msg_type": {"comm_msg": 1}})
@example(header={"msg_type": CLAIM_TYPE})
def test_any_header_passes(header: Any) -> None:
    """Whatever a client sends: one event in each form where the type is one that runs code, else none, and no error.

    A browser cannot send a type of this package's own; the server's own claim is an event all the same.
    """
    book = Book()
    msg_type = header.get("msg_type") if isinstance(header, dict) else None
    runs = isinstance(msg_type, str) and msg_type in ACTIONS
    is_ours = isinstance(msg_type, str) and msg_type.startswith("app_meta_")
    book.stamps().noted(unpacked(header))
    with nullcontext() if isinstance(header, dict) and not is_ours else pytest.raises(Unreadable):
        passed_on(book.stamps(), packed(header))
    assert [event["msg_type"] for event in book.lines] == ([msg_type] * (1 if is_ours else 2) if runs else [])


# --- the schema ------------------------------------------------------------------------------------------------------


GOOD = {
    "action": "cell",
    "username": "alice",
    "kind": "user",
    "assurance": "hub",
    "kernel_id": KERNEL,
    "path": None,
    "msg_id": "id",
    "msg_type": "execute_request",
    "time": "2026-01-01T00:00:00+00:00",
}


def test_schema_is_versioned_and_personal() -> None:
    """Its id and place name its version, and it says that it is about people."""
    schema = yaml.load(SCHEMA)
    assert (schema["$id"], schema["version"], schema["personal-data"]) == (SCHEMA_ID, "1", True)
    assert SCHEMA_ID.endswith(f"/v{schema['version']}") and SCHEMA.stem == f"v{schema['version']}"
    assert sorted(schema["required"]) == sorted(schema["properties"]) == sorted(GOOD)
    assert set(schema["properties"]["action"]["enum"]) == set(ACTIONS.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": "1 + 1"},
        {"content": {}},
        {"action": "kernel"},
        {"kind": "root"},
        {"assurance": "sure"},
        {"username": 7},
        {"msg_id": None},
        {"msg_id": "x" * 129},
        {"time": "yesterday"},
        {"path": ["a"]},
    ],
    ids=str,
)
def test_schema_takes_nothing_else(wrong: Json) -> None:
    """An event with code in it, or with anything of another form, is none."""
    schema = EventSchema(SCHEMA)
    schema.validate(GOOD)
    with pytest.raises(ValidationError):
        schema.validate({**GOOD, **wrong})


@pytest.mark.parametrize("missing", GOOD)
def test_schema_misses_whatever_is_left_out(missing: str) -> None:
    """Every field is there, null where nothing is known."""
    with pytest.raises(ValidationError):
        EventSchema(SCHEMA).validate({name: value for name, value in GOOD.items() if name != missing})


# --- handlers that fail ----------------------------------------------------------------------------------------------


class Full(logging.Handler):
    """A handler whose disk is full, for as long as it is said to be."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or raise."""
        if self.error:
            raise self.error
        self.written.append(self.format(record))


@pytest.mark.parametrize("error", [OSError(28, "CANARY"), ValueError("CANARY"), RuntimeError("CANARY")])
def test_handler_that_fails_is_warned_of_once(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Messages go on with their stamps, one warning names the error's kind, and later events are written again."""
    handler = Full(error)
    book = Book()
    book.events.register_handler(handler)
    stamps = book.stamps()
    for _ in range(3):
        assert wire.FIELD in stamps.noted(unpacked(header()))["metadata"]
        assert wire.FIELD in json.loads(stamps.forward(packed(header()))[1][2])
        assert wire.FIELD in book.stamps().noted(unpacked(header()))["metadata"]
    assert caplog.messages == [f"jupyter-app-meta: events are not written ({type(error).__name__})."]
    handler.error = None
    stamps.noted(unpacked(header()))
    assert len(handler.written) == 1


def test_modifier_that_fails_is_warned_of(book: Book, caplog: pytest.LogCaptureFixture) -> None:
    """The same where a deployer's own modifier raises, or makes something else of an event."""

    def with_code(schema_id: str, data: Json) -> Json:
        return {**data, "code": "CANARY"}

    book.events.add_modifier(schema_id=SCHEMA_ID, modifier=with_code)
    assert wire.FIELD in book.stamps().noted(unpacked(header()))["metadata"]
    assert caplog.messages == ["jupyter-app-meta: events are not written (ValidationError)."]
    assert book.lines == []


# --- the option ------------------------------------------------------------------------------------------------------


def alive(kernel_id: str) -> bool:
    """Every kernel is there."""
    return True


@pytest.fixture
def plain() -> EventLogger:
    """An event logger that knows no schema."""
    return EventLogger(handlers=[logging.NullHandler()])


def test_audit_is_off_by_default(plain: EventLogger) -> None:
    """Without the option there is no audit, and the schema is not registered."""
    assert AppMetaExtension().stamping_context(alive, b"secret", events=plain).audit is None
    assert SCHEMA_ID not in plain.schemas


def test_audit_is_not_among_the_servers_own_events(plain: EventLogger) -> None:
    """Every logged-in user may write and hear events of the server's schemas; ours are not among them."""
    extension = AppMetaExtension(config=Config({"AppMetaExtension": {"audit": True}}))
    assert isinstance(extension.stamping_context(alive, b"secret", events=plain).audit, EventAudit)
    assert SCHEMA_ID not in plain.schemas


OTHER = "https://example.org/other/v1"


def test_audit_stands_beside_the_servers_events() -> None:
    """The configured handlers get the server's events and ours, each whole."""
    text = StringIO()
    config = Config({"AppMetaExtension": {"audit": True}, "EventLogger": {"handlers": [logging.StreamHandler(text)]}})
    server = EventLogger(config=config)
    context = AppMetaExtension(config=config).stamping_context(alive, b"secret", events=server)
    schema = {"$id": OTHER, "version": "1", "title": "Other", "type": "object", "properties": {"a": {"type": "string"}}}
    server.register_event_schema(schema)  # later than ours, as an extension may
    assert context.audit is not None
    for _ in range(2):
        server.emit(schema_id=OTHER, data={"a": "b"})
        context.audit.note(ALICE, KERNEL, None, header())
    written = [json.loads(line) for line in text.getvalue().splitlines()]
    assert [line["__schema__"] for line in written] == [OTHER, SCHEMA_ID] * 2
    assert [line.get("a", line.get("username")) for line in written] == ["b", "alice"] * 2


def test_audit_without_a_server_takes_the_handlers_of_the_config() -> None:
    """Where no server has an event logger, the configured handlers get the events."""
    text = StringIO()
    handlers = {"handlers": [logging.StreamHandler(text)]}
    extension = AppMetaExtension(config=Config({"AppMetaExtension": {"audit": True}, "EventLogger": handlers}))
    context = extension.stamping_context(alive, b"secret")
    assert context.audit is not None
    context.audit.note(ALICE, KERNEL, None, header())
    assert json.loads(text.getvalue())["username"] == "alice"
