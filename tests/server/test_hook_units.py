"""The option ``request_hook``: what it may name, and that a failing or endless function harms no other request."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jupyter_app_meta import wire
from jupyter_app_meta.datastructures import URL
from jupyter_app_meta.errors import PolicyError
from jupyter_app_meta.model import HTTPRequest, SessionInfo, User
from jupyter_app_meta.policy import Page, Policy, RawRequest
from jupyter_app_meta.server import hooks
from jupyter_app_meta.server.app import AppMetaExtension
from jupyter_app_meta.server.context import StampingContext
from jupyter_app_meta.server.hooks import KernelMeta
from jupyter_app_meta.server.messages.stamps import Stamps
from jupyter_app_meta.server.pages.origins import Origins

LOG = logging.getLogger("deployer")
REQUEST = HTTPRequest("GET", URL("http://h/"), URL("http://h/"))
SECRET = "CANARY of a visitor"
KEY = wire.derive_key(b"the-kernel's-session-key")
KERNEL = "kernel-1"

MODULE = """
SEVEN = 7
def function(request): return {}
class Directory:
    @classmethod
    def look_up(cls, request): return {}
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of a deployer's own: a good one, and some that cannot be imported."""
    sources = {
        "deployers_own": MODULE,
        "deployers_broken": f"raise RuntimeError({SECRET!r})",
        "deployers_typo": "def f(:",
        "deployers_needy": "import no_such_module_at_all",
        "deployers_script": "raise SystemExit",
    }
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))


def answering(answer: Any) -> Callable[..., Any]:
    """Return a function that answers this."""

    def answers(request: HTTPRequest) -> Any:
        return answer

    return answers


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises this."""

    def raises(request: HTTPRequest) -> Any:
        raise error

    return raises


def raising_later(error: BaseException) -> Callable[..., Any]:
    """Return a coroutine function that raises this."""

    async def raises(request: HTTPRequest) -> Any:
        await asyncio.sleep(0)
        raise error

    return raises


async def endless(request: HTTPRequest) -> Any:
    """Wait for ever."""
    await asyncio.Event().wait()


# --- what the option may be ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", ["", None])
def test_empty_option_is_no_function(empty: object) -> None:
    """Without a function there is none to call."""
    assert hooks.load("request_hook", empty) is None


def test_given_function_is_taken_as_it_is() -> None:
    """A function, a coroutine function and a callable object are themselves."""
    for given in (endless, answering({}), functools.partial(endless), HTTPRequest):
        assert hooks.load("request_hook", given) is given


@pytest.mark.parametrize("name", ["deployers_own:function", "deployers_own:Directory.look_up"])
def test_named_function_is_imported(modules: None, name: str) -> None:
    """``module:function`` names one, also where it is inside something else."""
    function = hooks.load("request_hook", name)
    assert function is not None and function(REQUEST) == {}


WRONG = {
    "deployers_own": "write 'our_module:our_function'",
    "deployers_own.function": "write 'our_module:our_function'",
    "deployers_own:": "write 'our_module:our_function'",
    ":function": "write 'our_module:our_function'",
    "deployers_own:functoin": "AttributeError",
    "deployers_own:function:more": "invalid format",
    "deployers_own:SEVEN": "our_module:our_function",
    "deployers_absent:function": "ModuleNotFoundError",
    "deployers_needy:function": "no_such_module_at_all",
    "deployers_broken:function": "RuntimeError",
    "deployers_typo:function": "SyntaxError",
    "..:function": "cannot be imported",
}


@pytest.mark.parametrize("given", WRONG)
def test_name_of_no_function_is_refused(modules: None, given: str) -> None:
    """A name that leads nowhere is refused with the option's name, what was given, and what is wrong with it."""
    with pytest.raises(PolicyError) as refused:
        hooks.load("request_hook", given)
    assert str(refused.value).startswith(f"AppMetaExtension.request_hook: {given!r} ")
    assert WRONG[given] in str(refused.value)


def test_module_that_ends_its_program_is_refused(modules: None) -> None:
    """A script without a guard ends Python as it is imported: that is told like any other error, and not obeyed."""
    with pytest.raises(PolicyError, match=r"request_hook: 'deployers_script:main' cannot be imported \(SystemExit"):
        hooks.load("request_hook", "deployers_script:main")


@pytest.mark.parametrize("given", [7, [endless], {"function": endless}, b"deployers_own:function", object()])
def test_value_that_is_no_function_is_refused(given: object) -> None:
    """Any other value is refused as well, and the message names the remedy."""
    with pytest.raises(PolicyError, match=r"^AppMetaExtension\.request_hook: .*'our_module:our_function'"):
        hooks.load("request_hook", given)


class Directory:
    """A deployer's own directory of people: it holds what cannot be copied, as a connection's lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asked = 0

    async def __call__(self, request: HTTPRequest) -> dict[str, Any]:
        """Say how often it was asked."""
        return self.look_up(request)

    def look_up(self, request: HTTPRequest) -> dict[str, Any]:
        """Say how often it was asked."""
        with self.lock:
            self.asked += 1
            return {"asked": self.asked}


FORMS: dict[str, Callable[[Directory], Callable[..., Any]]] = {
    "object": lambda directory: directory,
    "method": lambda directory: directory.look_up,
    "partial": lambda directory: functools.partial(Directory.look_up, directory),
}


@pytest.mark.parametrize("form", FORMS)
async def test_callable_in_the_config_is_not_copied(form: str) -> None:
    """Trap: traitlets copies what a config holds. A callable with a lock or a cache inside is used as it is."""
    directory = Directory()
    config = Config({"AppMetaExtension": {"request_hook": FORMS[form](directory)}})
    hook = AppMetaExtension(config=config).meta()
    for asked in (1, 2):
        assert await hooks.meta_of(hook, REQUEST, LOG) == {"asked": asked} == {"asked": directory.asked}


# --- how a call may end ----------------------------------------------------------------------------------------------


class Own(BaseException):
    """An error that is no Exception, as some libraries' timeouts are."""


ENDS = [RuntimeError(SECRET), SystemExit(SECRET), asyncio.CancelledError(SECRET), TimeoutError(SECRET), Own(SECRET)]
ENDS += [BaseExceptionGroup(SECRET, [asyncio.CancelledError(SECRET)])]


@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", [raising, raising_later], ids=["plain", "async"])
async def test_error_of_any_kind_costs_the_fields_alone(
    kind: Callable[[BaseException], Any], error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """For any error of a function there are no fields, and one warning without the error's text."""
    assert await hooks.meta_of(kind(error), REQUEST, LOG) == {}
    (message,) = caplog.messages
    assert message.endswith(f"raises raised {type(error).__name__}.") and SECRET not in caplog.text


async def test_interrupt_of_the_server_passes() -> None:
    """Ctrl-C in the middle of a function still ends the server."""
    with pytest.raises(KeyboardInterrupt):
        await hooks.meta_of(raising(KeyboardInterrupt()), REQUEST, LOG)


async def test_endless_function_is_given_up(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A function that never answers costs its visitor the time limit and the fields, and is told of once."""
    assert hooks.TIME_LIMIT == 5
    monkeypatch.setattr(hooks, "TIME_LIMIT", 0.05)
    begun = time.monotonic()
    assert await hooks.meta_of(endless, REQUEST, LOG) == {}
    assert 0.05 <= time.monotonic() - begun < 60
    assert caplog.messages == ["endless raised TimeoutError."]


async def test_endless_function_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one call waits others are answered."""
    waiting = asyncio.create_task(hooks.meta_of(endless, REQUEST, LOG))
    await asyncio.sleep(0)
    assert await hooks.meta_of(answering({"a": 1}), REQUEST, LOG) == {"a": 1}
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def stubborn(request: HTTPRequest) -> Any:
    """Make another error of a cancellation."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise RuntimeError(SECRET) from None


@pytest.mark.parametrize("function", [endless, stubborn])
async def test_cancelled_request_is_cancelled(function: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """Trap: a function's own CancelledError is its failure; the cancellation of its request is not, and ends it."""
    call = asyncio.create_task(hooks.call(function, LOG, REQUEST, timeout=60))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert caplog.messages == []


async def test_call_that_is_thrown_away_ends_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    """A call whose loop has ended is closed, and that is not reported as its failure."""
    call = hooks.meta_of(endless, REQUEST, LOG)
    assert isinstance(call, Coroutine)
    call.send(None)
    call.close()
    assert caplog.messages == []


async def test_time_limit_is_none_of_the_requests_own() -> None:
    """A request with a limit of its own that is shorter ends by that limit."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await hooks.meta_of(endless, REQUEST, LOG)


async def test_failure_cancels_nothing_of_the_request() -> None:
    """After a function was given up, or cancelled itself, its request goes on as if nothing had been."""
    for function in (raising(asyncio.CancelledError()), raising_later(asyncio.CancelledError())):
        await hooks.meta_of(function, REQUEST, LOG)
    await hooks.call(endless, LOG, REQUEST, timeout=0.01)
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0
    async with asyncio.timeout(60):
        await asyncio.sleep(0.01)


# --- what a call may answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [hooks.META_LIMIT - 1, hooks.META_LIMIT, hooks.META_LIMIT + 1])
async def test_limit_is_exact(size: int) -> None:
    """So many bytes of JSON are taken, and not one more."""
    answer = {"a": "x" * (size - len('{"a": ""}'))}
    assert len(json.dumps(answer)) == size
    assert await hooks.meta_of(answering(answer), REQUEST, LOG) == (answer if size <= hooks.META_LIMIT else {})


@pytest.mark.parametrize(
    "answer",
    [{1: "x"}, {None: "x"}, {True: "x"}, {1.5: "x"}, {"a": {1: "x"}}, {"a": [{2: "x"}]}, {1: "x", "1": "y"}],
    ids=str,
)
async def test_keys_are_texts(answer: dict[Any, Any], caplog: pytest.LogCaptureFixture) -> None:
    """A key that is not a string is not JSON: as a string it could replace another key."""
    assert await hooks.meta_of(answering(answer), REQUEST, LOG) == {}
    assert caplog.messages == [
        "answering.<locals>.answers did not return a dict of JSON values: request.meta is empty."
    ]


def nested(depth: int, kind: str) -> dict[str, Any]:
    """Return a dict in which so many lists or dicts are inside each other."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {"": value}
    return {"a": value}


def context(meta: KernelMeta | None = None, policy: Policy = Policy()) -> StampingContext:  # noqa: B008  # it is frozen
    """Return what is needed to stamp."""
    return StampingContext(policy, Origins(lambda kernel_id: True), LOG, b"secret", meta=meta)


def request_of(user: User) -> RawRequest:
    """Return a request of this user."""
    return RawRequest("GET", "http://h/api", "http://h/", user=user)


ALICE = User(username="alice", kind="user", assurance="provider", is_authenticated=True)


async def test_function_knows_the_whole_user() -> None:
    """``user_fields`` narrows what kernels see; the deployer's own function still sees the groups."""
    asked: list[User | None] = []

    async def meta(_: str, request: HTTPRequest) -> dict[str, bool]:
        asked.append(request.user)
        return {"known": True}

    at, user = (
        context(meta, Policy.of(user_fields=["username"])),
        User({**ALICE, "groups": ["sales"], "badge": 7}),
    )
    raw = await at.with_meta(request_of(user), KERNEL, "provider:user:alice")
    assert asked == [user] and raw.meta == {"known": True}
    told = at.request(raw, KERNEL, "provider:user:alice").user
    assert told and told.username == "alice" and told.groups is None and "badge" not in told


async def seen_with(hook: Callable[..., Any], user: User = ALICE) -> HTTPRequest | None:
    """Return the request that a kernel sees on a connection whose hook is this."""

    async def meta(_: str, request: HTTPRequest) -> Any:
        return await hooks.meta_of(hook, request, LOG)

    at = context(meta)
    raw = await at.with_meta(request_of(user), KERNEL, "provider:user:alice")
    stamps = Stamps(at, KEY, raw, "provider:user:alice", SessionInfo(kernel_id=KERNEL))
    header = {"msg_id": "id", "msg_type": "execute_request"}
    metadata = stamps.message({"header": header, "metadata": {}})["metadata"]
    stamp = metadata.get(wire.FIELD)
    return wire.decode(wire.verify(KEY, "id", "execute_request", stamp)).request if stamp else None


@pytest.mark.parametrize("kind", ["list", "dict"])
async def test_deep_answer_costs_no_visitor_their_name(kind: str) -> None:
    """Trap: values that can be written as JSON and not be copied. Too deep an answer is left out, and nothing else."""
    deepest = (hooks.META_LIMIT - len('{"a": 1}')) // (2 if kind == "list" else 6)
    for depth in [*range(deepest // 40, deepest + 1, deepest // 40), *range(440, 500, 4), deepest, deepest + 1]:
        request = await seen_with(answering(nested(depth, kind)))
        assert request is not None and request.user == ALICE, depth
        assert list(request.meta) in ([], ["a"])


@pytest.mark.parametrize("text", ["\ud800", "\x00", "日本", '"}}', "\u2028", "</script>"])
async def test_odd_texts_arrive(text: str) -> None:
    """Any text is a JSON value, and arrives as it is."""
    request = await seen_with(answering({"a": text, text: [text]}))
    assert request is not None and dict(request.meta) == {"a": text, text: (text,)}


async def test_hook_changes_nothing_of_the_user() -> None:
    """What a function does to the request that it is shown stays with it, also inside a field of the provider's own."""
    user = User(ALICE, teams=["sales"], rights={"rows": [1]})

    def changes(request: HTTPRequest) -> dict[str, Any]:
        assert request.user is not None
        dict.__setitem__(request.user, "username", "root")
        request.user["teams"].append("admins")
        request.user["rights"]["rows"].append(2)
        object.__setattr__(request, "user", None)
        return {}

    request = await seen_with(changes, user)
    assert request is not None and request.user == user
    assert (request.user.teams, request.user.rights) == (["sales"], {"rows": [1]})


async def test_extension_without_a_hook_asks_nobody() -> None:
    """Without the option a context has no facts to add, and no call is made."""
    extension = AppMetaExtension()
    assert extension.meta() is None
    assert extension.stamping_context(lambda kernel_id: True, b"secret").meta is None


async def test_facts_of_the_caller_stand_in_for_the_hook() -> None:
    """If a dashboard has its own function, the option's function is not called."""
    config = Config({"AppMetaExtension": {"request_hook": raising(RuntimeError())}})
    extension = AppMetaExtension(config=config)

    async def own(kernel_id: str, request: HTTPRequest) -> dict[str, Any]:
        return {"kernel": kernel_id}

    at = extension.stamping_context(lambda kernel_id: True, b"secret", meta=own)
    raw = await at.with_meta(request_of(ALICE), KERNEL, "provider:user:alice")
    assert raw.meta == {"kernel": KERNEL}


# --- whose fields they are, and which functions count ----------------------------------------------------------------


def test_fields_of_a_page_are_its_visitors_alone() -> None:
    """Another person on a page's kernel does not get the fields of the page's visitor."""
    origins = Origins(lambda kernel_id: True)
    origins.render("kernel", "user:alice", Page("http://h/page"))
    origins.add_meta("kernel", {"team": "alice's"})
    origins.see("kernel", "user:bob", Page("http://h/other"))
    found = {name: origins.meta("kernel", f"user:{name}") for name in ("alice", "bob")}
    assert found == {"alice": {"team": "alice's"}, "bob": {}}


class Empty(list[str]):
    """A function that is false, as whatever has no items is."""

    def __call__(self, *arguments: object) -> bool:
        """Refuse everybody."""
        return False


def test_function_that_is_false_counts() -> None:
    """Trap: a rule that is mistaken for none admits every visitor."""
    rule = Empty()
    assert hooks.load("authorize", rule) is rule
    assert hooks.load("authorize", "") is hooks.load("authorize", None) is None
