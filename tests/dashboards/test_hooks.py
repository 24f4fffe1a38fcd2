"""A deployer's own functions: what they may return, and that no failure of theirs opens a page or fills a log."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from people import person

from jupyter_app_meta.dashboards import hooks
from jupyter_app_meta.datastructures import URL
from jupyter_app_meta.model import HTTPRequest, User

LOG = logging.getLogger("deployer")
ALICE = person("alice").request or HTTPRequest("GET", URL(""), URL(""))
SECRET = "CANARY of a visitor"

anything: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.booleans())
)


def answering(answer: Any) -> Callable[..., Any]:
    """Return a function that answers this."""

    def answers(*arguments: object) -> Any:
        return answer

    return answers


def later(answer: Any) -> Callable[..., Any]:
    """Return a coroutine function that answers this."""

    async def answers_later(*arguments: object) -> Any:
        return answer

    return answers_later


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises this."""

    def raises(*arguments: object) -> Any:
        raise error

    return raises


def raising_later(error: BaseException) -> Callable[..., Any]:
    """Return a coroutine function that raises this."""

    async def raises_later(*arguments: object) -> Any:
        raise error

    return raises_later


BOTH = pytest.mark.parametrize("kind", [answering, later], ids=["plain", "async"])
BOTH_RAISE = pytest.mark.parametrize("kind", [raising, raising_later], ids=["plain", "async"])


class Refusal(Exception):
    """An error of a deployer's own, whose text has a visitor's data."""

    def __str__(self) -> str:
        return SECRET


ERRORS = (Refusal(SECRET), PermissionError(SECRET), KeyError(SECRET), RecursionError(SECRET), StopAsyncIteration())

# --- authorize -------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("answer", [True, "/login", "https://sso.example/?next=/"])
async def test_true_and_urls_are_taken(
    kind: Callable[[Any], Any], answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """True lets the visitor in, and a URL sends them there."""
    assert await hooks.verdict(kind(answer), ALICE, LOG) == answer
    assert caplog.messages == []


@BOTH
async def test_false_refuses_in_silence(kind: Callable[[Any], Any], caplog: pytest.LogCaptureFixture) -> None:
    """False is an ordinary answer."""
    assert await hooks.verdict(kind(False), ALICE, LOG) is False
    assert caplog.messages == []


async def test_no_function_lets_everybody_in() -> None:
    """A page without ``authorize`` is open to every visitor whom the server admits."""
    assert await hooks.verdict(None, ALICE, LOG) is True


class Truth:
    """A value that is true and is not a bool, such as a numpy bool."""

    def __bool__(self) -> bool:
        return True


@BOTH
@pytest.mark.parametrize("answer", ["", None, 1, 1.0, b"/login", [True], {"user": SECRET}, Truth(), object, ALICE])
async def test_other_answers_refuse(kind: Callable[[Any], Any], answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Any other answer, truthy or not, refuses, and the log names its type."""
    function = kind(answer)
    assert await hooks.verdict(function, ALICE, LOG) is False
    (message,) = caplog.messages
    assert f"returned a {type(answer).__name__}, not a bool or URL: the visitor is refused." in message
    assert function.__qualname__ in message and SECRET not in message


@given(anything)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_verdict_is_a_bool_or_a_url(answer: Any) -> None:
    """For any answer, the verdict is True, False, or a text that is not empty."""
    verdict = await hooks.verdict(answering(answer), ALICE, LOG)
    assert verdict is (answer is True) or (verdict == answer and isinstance(answer, str) and answer)


@BOTH_RAISE
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_error_refuses_and_its_text_is_not_logged(
    kind: Any, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A function that raises admits no visitor: the log names function and type, never the text or the visitor."""
    caplog.set_level(logging.INFO)
    function = kind(error)
    assert await hooks.verdict(function, ALICE, LOG) is False
    (message,) = caplog.messages
    assert message.startswith(f"{function.__qualname__} raised ")
    assert SECRET not in caplog.text and "alice" not in caplog.text and "Traceback" not in caplog.text


async def test_function_is_given_user_and_request() -> None:
    """``authorize`` gets the user and the request; if the request has no user, it gets an anonymous one."""
    seen: list[Any] = []

    def authorize(user: User, request: HTTPRequest) -> bool:
        seen.append((user.username, user.is_authenticated, request))
        return True

    nobody = HTTPRequest("GET", URL("http://h/"), URL("http://h/"))
    assert await hooks.verdict(authorize, ALICE, LOG) is await hooks.verdict(authorize, nobody, LOG) is True
    assert seen == [("alice", True, ALICE), (None, False, nobody)]


@pytest.mark.parametrize("wrong", [lambda user: True, lambda: True, "not a function", 7])
async def test_function_of_another_form_refuses(wrong: Any) -> None:
    """A function that takes other arguments, or an object that is not a function, admits no visitor."""
    assert await hooks.verdict(wrong, ALICE, LOG) is False


async def test_callable_without_a_name_is_named_by_its_type(caplog: pytest.LogCaptureFixture) -> None:
    """A partial or an object is called as a function is, and named in the log by its type."""

    class Gate:
        async def __call__(self, user: User, request: HTTPRequest) -> bool:
            raise Refusal

    assert await hooks.verdict(functools.partial(answering(True), ALICE), ALICE, LOG) is True
    assert await hooks.verdict(Gate(), ALICE, LOG) is False
    assert caplog.messages == ["Gate raised Refusal."]


async def test_traceback_is_for_the_debug_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    """The debug log shows where the error was raised."""
    caplog.set_level(logging.DEBUG)
    await hooks.verdict(raising(Refusal()), ALICE, LOG)
    assert [record.levelname for record in caplog.records if record.exc_info] == ["DEBUG"]


# --- meta ------------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("answer", [{}, {"plan": "pro", "limits": {"rows": [1, 2.5, None, True]}}, {"é": "日"}])
async def test_fields_are_taken(kind: Callable[[Any], Any], answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A dict of JSON values is what the notebook sees, as a copy."""
    found = await hooks.meta_of(kind(answer), ALICE, LOG)
    assert found == answer and found is not answer
    assert caplog.messages == []


async def test_no_function_adds_nothing() -> None:
    """A page without ``meta`` has no fields of the deployer's own."""
    assert await hooks.meta_of(None, ALICE, LOG) == {}


async def test_later_changes_do_not_reach_the_notebook() -> None:
    """The answer is copied, so that a function that keeps and changes it changes no request."""
    shared: dict[str, Any] = {"list": [1]}
    found = await hooks.meta_of(answering(shared), ALICE, LOG)
    shared["list"].append(2)
    assert found == {"list": [1]}


NOT_JSON: Mapping[str, Any] = {
    "None": None,
    "a number": 7,
    "a text": SECRET,
    "a list": [1, 2],
    "NaN": {"a": float("nan")},
    "infinity": {"a": [float("-inf")]},
    "a set": {"a": {1}},
    "bytes": {"a": b"x"},
    "an object": {"a": object()},
    "the user itself in a list": {"a": [ALICE]},
    "a tuple as a name": {(1, 2): 3},
    "a date": {"a": date(2026, 1, 1)},
}


@BOTH
@pytest.mark.parametrize("case", NOT_JSON)
async def test_what_is_no_json_object_adds_nothing(
    kind: Callable[[Any], Any], case: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Anything but a dict of JSON values leaves ``request.meta`` empty, and the log says why without its content."""
    function = kind(NOT_JSON[case])
    assert await hooks.meta_of(function, ALICE, LOG) == {}
    assert caplog.messages == [f"{function.__qualname__} did not return a dict of JSON values: request.meta is empty."]
    assert SECRET not in caplog.text


async def test_endless_values_add_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A dict that holds itself, or is nested without end, is not JSON."""
    endless: dict[str, Any] = {}
    endless["self"] = endless
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"d": deep}
    for answer in (endless, deep):
        assert await hooks.meta_of(answering(answer), ALICE, LOG) == {}
    assert len(caplog.messages) == 2
    while deep:  # taken apart by hand: to free it at once would need as deep a stack
        deep = deep.pop("d")


@pytest.mark.parametrize(
    ("size", "kept"), [(hooks.META_LIMIT - 9, True), (hooks.META_LIMIT - 8, False), (10**6, False)]
)
async def test_too_much_adds_nothing(size: int, kept: bool, caplog: pytest.LogCaptureFixture) -> None:
    """More than the limit, as JSON, is left out whole."""
    answer = {"a": "x" * size}
    assert (len(json.dumps(answer)) <= hooks.META_LIMIT) is kept
    assert await hooks.meta_of(answering(answer), ALICE, LOG) == (answer if kept else {})
    assert [message.partition(" returned ")[2] for message in caplog.messages] == (
        [] if kept else [f"more than {hooks.META_LIMIT} bytes: request.meta is empty."]
    )


@BOTH_RAISE
@pytest.mark.parametrize("error", ERRORS[:3], ids=lambda error: type(error).__name__)
async def test_error_adds_nothing_and_its_text_is_not_logged(
    kind: Any, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A ``meta`` that raises costs its own fields, and the page is shown."""
    assert await hooks.meta_of(kind(error), ALICE, LOG) == {}
    assert caplog.messages == [f"{kind(error).__qualname__} raised {type(error).__name__}."]


class Lazy(Mapping[str, Any]):
    """A mapping that looks its values up when they are read, and fails."""

    def __getitem__(self, name: str) -> Any:
        raise Refusal

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


async def test_mapping_that_fails_as_it_is_read_adds_nothing() -> None:
    """A mapping whose values cannot be read counts as none, and its error does not break the page."""
    assert await hooks.meta_of(answering(Lazy()), ALICE, LOG) == {}


@pytest.mark.parametrize("answer", [[("a", 1)], [], "", ()])
async def test_pairs_are_no_dict(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Only a mapping is a dict: anything else is told to the deployer."""
    assert await hooks.meta_of(answering(answer), ALICE, LOG) == {}
    assert len(caplog.messages) == 1


# --- on_error --------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("answer", ["<h1>Sorry</h1>", "", None])
async def test_own_page_is_taken(kind: Callable[[Any], Any], answer: str | None) -> None:
    """The deployer's HTML is shown, or ours where there is none."""
    assert await hooks.page(kind(answer), 404, None, LOG) == answer


@pytest.mark.parametrize("answer", [7, b"<h1>", {"html": "x"}, True])
async def test_what_is_no_text_is_no_page(answer: Any) -> None:
    """Anything but a text means our own page."""
    assert await hooks.page(answering(answer), 404, None, LOG) is None


@BOTH_RAISE
async def test_error_in_the_error_page_means_ours(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An ``on_error`` that raises is logged as the others are, and our own page is shown."""
    assert await hooks.page(kind(Refusal()), 500, ALICE, LOG) is None
    assert caplog.messages == [f"{kind(Refusal()).__qualname__} raised Refusal."]
    assert SECRET not in caplog.text


async def test_page_is_given_status_and_request() -> None:
    """``on_error`` gets the status, and the request of a visitor who is known."""
    seen: list[Any] = []
    await hooks.page(lambda *given: seen.append(given), 403, ALICE, LOG)
    await hooks.page(lambda *given: seen.append(given), 404, None, LOG)
    assert seen == [(403, ALICE), (404, None)]
    assert await hooks.page(None, 404, None, LOG) is None
