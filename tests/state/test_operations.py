"""The questions and answers on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta.errors import Conflict, NoVisitor, PolicyError, StateUnavailable, TooLarge, Unstorable
from jupyter_app_meta.state import forms, keys, operations
from jupyter_app_meta.state.forms import Misunderstood
from jupyter_app_meta.state.live.events import Changed, Sent, read_event, write_event
from jupyter_app_meta.state.operations import (
    Add,
    Apply,
    Clear,
    Done,
    Failed,
    Forget,
    Operation,
    Read,
    Request,
    Unwatch,
    Watch,
    read_answer,
    read_entries,
    read_entry,
    read_request,
    request_id,
    write_answer,
    write_request,
)

KEYS = st.lists(st.text(), unique=True, max_size=4).map(tuple)
VERSIONS = st.integers(0, 2**63 - 1)
APPLIES = st.builds(
    Apply,
    st.dictionaries(st.text(), VERSIONS, max_size=3),
    st.dictionaries(st.text().map("p".__add__), st.text(), min_size=1, max_size=3),
    st.lists(st.text().map("d".__add__), unique=True, max_size=3).map(tuple),
    st.none() | st.floats(0.001, 1e9),
    st.booleans(),
)
AMOUNTS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
OPERATIONS: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Read, st.none() | KEYS),
    APPLIES,
    st.builds(Add, st.text(), AMOUNTS),
    st.sampled_from([Clear(), Forget(), Watch(), Unwatch()]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
GRANT = "a-grant.with-its-mac"


def through_the_wire(content: dict[str, Any]) -> Any:
    """Return what the other side reads of a message's content."""
    return json.loads(json.dumps(content))


def asked(operation: Operation, **changed: Any) -> dict[str, Any]:
    """Return the content of a good request, with changes."""
    return {**through_the_wire(write_request(Request("id-1", GRANT, "visitor", operation))), **changed}


@given(OPERATIONS, st.sampled_from(operations.AUDIENCES))
def test_a_request_is_read_as_it_was_written(operation: Operation, audience: str) -> None:
    """Each operation comes through, for any keys and texts."""
    request = Request("id-1", GRANT, audience, operation)
    back = read_request(through_the_wire(write_request(request)))
    assert back == request
    assert repr(back.operation) == repr(operation)


def test_both_sides_know_the_same_audiences() -> None:
    """What a kernel may name is what there is a key for."""
    assert operations.AUDIENCES == keys.AUDIENCES


def test_a_grant_is_not_shown() -> None:
    """Neither the repr of a request nor an error has the grant in it."""
    assert GRANT not in repr(Request("id-1", GRANT, "visitor", Clear()))
    with pytest.raises(Misunderstood) as refused:
        read_request(asked(Clear(), more=1))
    assert GRANT not in str(refused.value)


LONG = "x" * (forms.KEY_LIMIT + 1)


@pytest.mark.parametrize(
    "content",
    [
        *(None, [], "read", 5, {}, {"op": "read"}, asked(Clear(), op="drop"), asked(Clear(), op=None)),
        *(asked(Clear(), op=["clear"]), asked(Clear(), v=2), asked(Clear(), v=None), asked(Clear(), v="1")),
        *(asked(Clear(), more=1), asked(Clear(), id=""), asked(Clear(), id="a b"), asked(Clear(), id="x" * 65)),
        *(asked(Clear(), id=5), asked(Clear(), grant=None), asked(Clear(), grant="x" * 4097)),
        *(asked(Clear(), scope="meta"), asked(Clear(), scope=["visitor"]), asked(Clear(), scope=None)),
        *(asked(Read(), keys="abc"), asked(Read(), keys=[1]), asked(Read(), keys=["a", "a"]), asked(Read(), keys={})),
        *(asked(Read(), keys=[LONG]), asked(Read(), keys=["k"] * (forms.KEYS_LIMIT + 1)), asked(Read(), key="a")),
        *(asked(Apply(), puts={}, drops=[]), asked(Apply(), puts={"a": 1}), asked(Apply(), puts={"a": None})),
        *(
            asked(Apply(), puts=[["a", "1"]]),
            asked(Apply(), puts={LONG: "1"}),
            asked(Apply(), puts={"a": "1"}, drops=["a"]),
        ),
        *(asked(Apply(), puts={"a": "1"}, expects={"a": version}) for version in (-1, True, 1.0, "1", None, 2**63)),
        *(asked(Apply(), puts={"a": "1"}, ttl=ttl) for ttl in (0, -1, True, "5", 1e300, float("nan"), float("inf"))),
        *(asked(Apply(), puts={"a": "1"}, whole=whole) for whole in (0, 1, None, "true")),
        *(asked(Apply(), drops="ab"), asked(Apply(), drops=[None]), asked(Apply(), drops=["a", "a"])),
        *(asked(Add("a"), amount=amount) for amount in (True, "1", None, 2**63, -(2**63) - 1, 10**400)),
        *(asked(Add("a"), amount=amount) for amount in (float("nan"), float("inf"))),
        *(asked(Add("a"), key=key) for key in (None, 5, LONG)),
    ],
)
def test_what_is_not_understood_is_refused(content: object) -> None:
    """Each raises Misunderstood, whose text is short and names no value."""
    with pytest.raises(Misunderstood) as refused:
        read_request(content)
    assert len(str(refused.value)) < 150


def test_a_message_has_a_bound() -> None:
    """Many values that are small enough one by one are too much together."""
    half = "x" * (forms.TEXT_LIMIT // 2 + 1)
    assert read_request(asked(Apply(), puts={"a": half})).audience == "visitor"
    with pytest.raises(Misunderstood, match="puts"):
        read_request(asked(Apply(), puts={"a": half, "b": half}))


@given(JSON, st.sampled_from(["v", "id", "grant", "scope", "op", "expects", "puts", "drops", "ttl", "whole"]))
def test_any_content_is_read_or_refused(content: object, name: str) -> None:
    """There is no content that raises anything else; what is read is written as it was."""
    for message in (content, asked(Apply(puts={"a": "1"}), **{name: content})):
        try:
            request = read_request(message)
        except Misunderstood:
            continue
        assert write_request(request) == message


@given(JSON)
def test_any_answer_and_event_is_read_or_refused(content: object) -> None:
    """A kernel reads what a server, or something in its place, sends."""
    good = through_the_wire(write_answer(Failed("id-1", "Conflict", "text", "key")))
    for name in good:
        for read in (read_answer, read_event):
            for message in (content, {**good, name: content}):
                try:
                    read(message)
                except Misunderstood:
                    continue


def test_a_request_that_is_not_understood_can_be_answered() -> None:
    """Its id is found if it has one."""
    assert request_id({"id": "id-1", "op": "from the future"}) == "id-1"
    others: tuple[object, ...] = (None, [], {}, {"id": 5}, {"id": "x" * 65}, {"id": "a\n"})
    for content in others:
        assert request_id(content) is None


@pytest.mark.parametrize(
    "error",
    [
        *(Conflict("votes"), Conflict(), NoVisitor("no visitor"), Unstorable("a tuple"), TooLarge("too large")),
        *(StateUnavailable("away"), StateUnavailable("no answer", True), TypeError("no number"), OverflowError("far")),
    ],
)
def test_an_error_arrives_as_it_was_raised(error: Exception) -> None:
    """The kernel raises the same class, with the same text and facts."""
    answer = read_answer(through_the_wire(write_answer(Failed.of("id-1", error))))
    assert isinstance(answer, Failed)
    back = answer.exception()
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("error", [OSError("/secret/path"), PolicyError("state_url", "redis://:password@host")])
def test_an_error_of_the_server_stays_there(error: Exception) -> None:
    """What is not meant for authors is in the server's log only."""
    answer = Failed.of("id-1", error)
    assert (answer.error, answer.text) == ("StateError", "The server could not do it; its log says why.")


@pytest.mark.parametrize(
    "changed",
    [
        *({"error": "SystemExit"}, {"error": "exec"}, {"error": None}, {"text": 5}, {"key": 5}, {"id": None}),
        *({"may_have_happened": "yes"}, {"may_have_happened": 1}, {"more": 1}, {"ok": 1}),
    ],
)
def test_a_bad_answer_is_refused(changed: dict[str, Any]) -> None:
    """An answer raises an error of ours or none."""
    with pytest.raises(Misunderstood):
        read_answer({**write_answer(Failed("id-1", "Conflict", "text")), **changed})


def test_results_have_their_form() -> None:
    """The results of reading and adding are texts with versions."""
    assert read_answer(through_the_wire(write_answer(Done("id-1", {"a": ("1", 5)})))) == Done("id-1", {"a": ["1", 5]})
    assert read_entries({"a": ["1", 5]}) == {"a": ("1", 5)}
    assert read_entry(["1", 5]) == ("1", 5)
    bad: tuple[object, ...] = (None, [], {"a": None}, {"a": ["1"]}, {"a": [1, 1]}, {"a": ["1", -1]}, {"a": "12"})
    for result in bad:
        with pytest.raises(Misunderstood):
            read_entries(result)


@given(st.text(), st.none() | KEYS, st.none() | st.text())
def test_an_event_is_read_as_it_was_written(scope: str, changed: tuple[str, ...] | None, by: str | None) -> None:
    """A change of some keys, or of any."""
    event = Changed(scope, changed, by)
    assert read_event(through_the_wire(write_event(event))) == event


@given(st.text(), st.text("abc é😀", min_size=1, max_size=100), st.text(st.characters(max_codepoint=127)))
def test_a_message_is_read_as_it_was_written(scope: str, name: str, data: str) -> None:
    """Its data is a text that is not looked at here."""
    event = Sent(scope, name, data)
    assert read_event(through_the_wire(write_event(event))) == event
