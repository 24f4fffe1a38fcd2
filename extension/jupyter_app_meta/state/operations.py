"""The questions of a kernel and the answers of a server, as values ⇄ the content of messages.

    request = {"v": 1, "id", "grant", "scope", "op": "read",  "keys": [key, …] or null}
              {…, "op": "apply", "expects": {key: version, 0 for absent}, "puts": {key: text}, "drops": [key, …], "ttl",
               "whole": whether other keys must be absent}
              {…, "op": "add", "key", "amount"}
              {…, "op": "send", "name", "data": text}
              {…, "op": "clear" | "forget" | "watch" | "unwatch" | "listen" | "unlisten" | "pages" | "viewers"}
              and those of ``paging.operations``
    reply   = {"id", "ok": …} | {"id", "error": name, "text", "key", "may_have_happened"}

1. What is not understood is refused: an unknown operation, a field too many, a field of another type. The answer to a
   request that was half understood would be about something else than what was asked.
2. ``scope`` names an audience. Whose state it is follows from the grant alone.
3. Values travel as the text that ``values.encode`` makes. A server verifies such a text, and stores it as it is.
4. The id of a request is the same when it is sent again, so that a server does it once.
5. An error has a name from ``ERRORS`` and a text for the author. The text never has a value or a grant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..errors import Conflict, NoVisitor, StateError, StateUnavailable, TooLarge, Unstorable
from . import forms
from .paging import operations as paging
from .paging.operations import AskBrowser, PageOperation, TellPage

VERSION = 1
AUDIENCES = ("session", "visitor", "preferences", "shared")

# TypeError and OverflowError are what `add` raises for a value that is not a number, and for a sum out of range.
_OF_STATE = (StateError, StateUnavailable, NoVisitor, Conflict, Unstorable, TooLarge, TypeError, OverflowError)
ERRORS: Mapping[str, type[Exception]] = {kind.__name__: kind for kind in (*_OF_STATE, *paging.ERRORS)}


@dataclass(frozen=True, slots=True)
class Read:
    """What is there now, at one moment. Answer: {key: [text, version]}."""

    keys: tuple[str, ...] | None = None  #: None for all


@dataclass(frozen=True, slots=True)
class Apply:
    """Write all of it, or nothing if a key does not have the version expected. Answer: {key: version} of the puts."""

    expects: Mapping[str, int] = field(default_factory=dict)  #: 0 for a key that must be absent
    puts: Mapping[str, str] = field(default_factory=dict)
    drops: tuple[str, ...] = ()
    ttl: float | None = None  #: seconds until the puts vanish
    whole: bool = False  #: whether any key that is not in ``expects`` must be absent


@dataclass(frozen=True, slots=True)
class Add:
    """Add to a number; an absent key counts as 0. Answer: [text, version]."""

    key: str
    amount: int | float = 1


@dataclass(frozen=True, slots=True)
class Clear:
    """Delete all keys at once. Answer: how many there were."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Erase what is stored for the visitor in this space, of all tabs. Answer: how many entries there were."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Send an event for each change that other code makes. Answer: the name by which the events call the scope."""


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Send no more events. Answer: null."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to the pages of the audience that listen now. Answer: null."""

    name: str
    data: str  #: the text of a value


@dataclass(frozen=True, slots=True)
class Listen:
    """Send an event for each message to this page, its visitor or everybody. Answer: the name that the events have."""


@dataclass(frozen=True, slots=True)
class Unlisten:
    """Send no more events of messages. Answer: null."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The visitor's open pages in this space. Answer: [[page, since, kernel id], …]."""


@dataclass(frozen=True, slots=True)
class Viewers:
    """The people who have a page of this space open. Answer: [[display name, since, how many pages], …]."""


Operation: TypeAlias = (
    Read | Apply | Add | Clear | Forget | Watch | Unwatch | Send | Listen | Unlisten | Pages | Viewers | PageOperation
)
Entries: TypeAlias = dict[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Request:
    """One question. Its id is not the id of the message, which is a new one each time that it is sent."""

    id: str
    grant: str = field(repr=False)
    audience: str
    operation: Operation


@dataclass(frozen=True, slots=True)
class Done:
    """The operation was done. ``result`` is JSON."""

    id: str
    result: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The operation was not done, or it is not known whether it was."""

    id: str
    error: str  #: a name of ``ERRORS``
    text: str
    key: str | None = None  #: the key of a Conflict
    may_have_happened: bool = False  #: of a StateUnavailable

    @classmethod
    def of(cls, request_id: str, error: Exception) -> Failed:
        """Return the answer for an error; the text of an error that is not in ``ERRORS`` stays with the server."""
        name = type(error).__name__
        if ERRORS.get(name) is not type(error):
            return cls(request_id, "StateError", "The server could not do it; its log says why.")
        happened = isinstance(error, StateUnavailable) and error.may_have_happened
        return cls(request_id, name, str(error), error.key if isinstance(error, Conflict) else None, happened)

    def exception(self) -> Exception:
        """Return the error that the author sees."""
        if self.error == "Conflict":
            return Conflict(self.key)
        if self.error == "StateUnavailable":
            return StateUnavailable(self.text, self.may_have_happened)
        return ERRORS[self.error](self.text)


Answer: TypeAlias = Done | Failed


def write_request(request: Request) -> dict[str, Any]:
    """Return the content of the message."""
    head = {"v": VERSION, "id": request.id, "grant": request.grant, "scope": request.audience}
    return {**head, **_written(request.operation)}


def read_request(content: object) -> Request:
    """Return the request of a message; raise forms.Misunderstood for any other content."""
    if isinstance(content, dict) and content.get("v") != VERSION:
        raise forms.Misunderstood("v is another version: install the same release of jupyter-app-meta for both halves")
    operation = content.get("op") if isinstance(content, dict) else None
    reader = _READERS.get(operation) if isinstance(operation, str) else None
    if reader is None:
        raise forms.Misunderstood("op must be one of " + ", ".join(_READERS))
    names, read = reader
    fields = forms.fields(content, {"v", "id", "grant", "scope", "op", *names})
    forms.need(fields["scope"] in AUDIENCES, "scope")
    grant = forms.text(fields["grant"], "grant", forms.GRANT_LIMIT)
    return Request(forms.ident(fields["id"]), grant, fields["scope"], read(fields))


def request_id(content: object) -> str | None:
    """Return the id of a request that is not understood otherwise, so that it can be answered; None without one."""
    found = content.get("id") if isinstance(content, dict) else None
    return found if forms.is_id(found) else None


def needs_tab(content: object) -> bool:
    """Return whether a request is about a tab, so that its page's script must have said which one it is."""
    return isinstance(content, dict) and (content.get("scope") == "session" or content.get("op") == "browser")


def is_of_page(content: object) -> bool:
    """Return whether a request is about the kernel's page, so that it needs no store."""
    return isinstance(content, dict) and content.get("op") in ("browser", "page")


def changes_state(content: object) -> bool:
    """Return whether a request may change something. What only reads may be done again when it is sent again."""
    return not isinstance(content, dict) or content.get("op") not in ("read", "pages", "viewers", "browser")


def write_answer(answer: Answer) -> dict[str, Any]:
    """Return the content of the message."""
    if isinstance(answer, Done):
        return {"id": answer.id, "ok": answer.result}
    named = {"error": answer.error, "text": answer.text, "key": answer.key}
    return {"id": answer.id, **named, "may_have_happened": answer.may_have_happened}


def read_answer(content: object) -> Answer:
    """Return the answer of a message; raise forms.Misunderstood for any other content."""
    if isinstance(content, dict) and "ok" in content:
        fields = forms.fields(content, {"id", "ok"})
        return Done(forms.ident(fields["id"]), fields["ok"])
    fields = forms.fields(content, {"id", "error", "text", "key", "may_have_happened"})
    forms.need(isinstance(fields["error"], str) and fields["error"] in ERRORS, "error")
    key = None if fields["key"] is None else forms.key(fields["key"], "key")
    forms.need(type(fields["may_have_happened"]) is bool, "may_have_happened")
    text = forms.text(fields["text"], "text", forms.TEXT_LIMIT)
    return Failed(forms.ident(fields["id"]), fields["error"], text, key, fields["may_have_happened"])


def read_entries(result: object) -> Entries:
    """Return the answer to Read."""
    forms.need(isinstance(result, dict) and len(result) <= forms.KEYS_LIMIT, "ok")
    assert isinstance(result, dict)
    return {forms.key(key, "ok"): read_entry(entry) for key, entry in result.items()}


def read_entry(result: object) -> tuple[str, int]:
    """Return the answer to Add: a text and its version."""
    forms.need(isinstance(result, list | tuple) and len(result) == 2, "ok")
    assert isinstance(result, list | tuple)
    return forms.text(result[0], "ok", forms.TEXT_LIMIT), forms.version(result[1], "ok")


def _written(operation: Operation) -> dict[str, Any]:
    match operation:
        case Read(keys):
            return {"op": "read", "keys": None if keys is None else [*keys]}
        case Apply(expects, puts, drops, ttl, whole):
            written = {"expects": {**expects}, "puts": {**puts}, "drops": [*drops]}
            return {"op": "apply", **written, "ttl": ttl, "whole": whole}
        case Add(key, amount):
            return {"op": "add", "key": key, "amount": amount}
        case Send(name, data):
            return {"op": "send", "name": name, "data": data}
        case AskBrowser() | TellPage():
            return paging.written(operation)
    return {"op": type(operation).__name__.lower()}


def _read_apply(fields: dict[str, Any]) -> Apply:
    expects, puts = forms.mapping(fields["expects"], "expects"), forms.mapping(fields["puts"], "puts")
    drops = forms.keys(fields["drops"], "drops")
    forms.need(len(puts) + len(drops) > 0, "puts")
    forms.need(puts.keys().isdisjoint(drops), "drops")
    texts = {key: forms.text(text, "puts", forms.TEXT_LIMIT) for key, text in puts.items()}
    forms.need(sum(map(len, texts.values())) <= forms.TEXT_LIMIT, "puts")
    versions = {key: forms.version(version, "expects") for key, version in expects.items()}
    forms.need(type(fields["whole"]) is bool, "whole")
    return Apply(versions, texts, drops, forms.ttl(fields["ttl"], "ttl"), fields["whole"])


def _read_add(fields: dict[str, Any]) -> Add:
    return Add(forms.key(fields["key"], "key"), forms.amount(fields["amount"], "amount"))


def _read_send(fields: dict[str, Any]) -> Send:
    return Send(forms.message_name(fields["name"]), forms.message_data(fields["data"]))


_Reader: TypeAlias = tuple[tuple[str, ...], Callable[[dict[str, Any]], Operation]]
_READERS: Mapping[str, _Reader] = {
    "read": (("keys",), lambda fields: Read(forms.some_keys(fields["keys"], "keys"))),
    "apply": (("expects", "puts", "drops", "ttl", "whole"), _read_apply),
    "add": (("key", "amount"), _read_add),
    "clear": ((), lambda fields: Clear()),
    "forget": ((), lambda fields: Forget()),
    "watch": ((), lambda fields: Watch()),
    "unwatch": ((), lambda fields: Unwatch()),
    "send": (("name", "data"), _read_send),
    "listen": ((), lambda fields: Listen()),
    "unlisten": ((), lambda fields: Unlisten()),
    "pages": ((), lambda fields: Pages()),
    "viewers": ((), lambda fields: Viewers()),
    **paging.READERS,
}
