from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, assert_type

import pytest
from starlette import datastructures as starlette

import jupyter_app_meta
from jupyter_app_meta import AppMeta, Headers, NotAuthenticated, QueryParams, app_meta
from jupyter_app_meta.testing import fake_request

ALICE = fake_request(user="alice")
BOB = fake_request(user="bob")


def who() -> str | None:
    """Return the user whom the running code sees."""
    user = app_meta().user
    return user["username"] if user else None


# What is faked


def test_username_makes_an_authenticated_user() -> None:
    """A username is enough for an authenticated user; the mode says that it is a test."""
    with fake_request(user="alice") as meta:
        assert app_meta() is meta
        assert (meta.mode, meta.session.client_id) == ("test", "test")
        user = meta.require_user()
    assert (user.username, user.display_name, user.kind, user.assurance) == ("alice", "alice", "user", "provider")


def test_mapping_sets_user_fields() -> None:
    """A mapping sets any field, those of an identity provider too."""
    given = {"username": "alice", "name": "Alice Liddell", "groups": ["editors"], "department": "sales"}
    with fake_request(user=given) as meta:
        user = meta.require_user()
    assert (user.display_name, user.groups, user.department) == ("Alice Liddell", ("editors",), "sales")


@pytest.mark.parametrize("field", [{"is_authenticated": False}, {"assurance": "none"}, {"kind": "anonymous"}])
def test_user_without_authentication(field: dict[str, Any]) -> None:
    """Each way of saying that the user is not vouched for makes a user who is not authenticated."""
    with fake_request(user={"username": "x", **field}) as meta:
        assert meta.user is not None
        assert (meta.user.is_authenticated, meta.user.kind, meta.user.assurance) == (False, "anonymous", "none")
        with pytest.raises(NotAuthenticated):
            meta.require_user()


@pytest.mark.parametrize("field", [{"is_authenticated": True}, {"assurance": "provider"}])
def test_anonymous_user_may_be_told_otherwise(field: dict[str, Any]) -> None:
    """Whatever the mapping says outright is what the user is."""
    with fake_request(user={"username": "x", "kind": "anonymous", **field}) as meta:
        assert meta.require_user().kind == "anonymous"


def test_no_user_is_none() -> None:
    """Without a user there is a request, and its user is None."""
    with fake_request(query={"region": "emea"}) as meta:
        assert meta.request is not None
        assert meta.user is None


def test_values_are_turned_into_text() -> None:
    """A request carries text: numbers become it, and a list repeats its item."""
    with fake_request(query={"page": 2, "id": [1, 2]}, headers={"X-Depth": 3}, cookies={"size": 4}) as meta:
        request = meta.request
    assert request is not None
    assert (request.query_params["page"], request.query_params.getlist("id")) == ("2", ["1", "2"])
    assert (request.headers["x-depth"], request.cookies["size"]) == ("3", "4")
    assert request.url.query == "page=2&id=1&id=2"


PAIRS = [("a", "1"), ("b", "2"), ("a", "3")]


@pytest.mark.parametrize(
    "query",
    [PAIRS, tuple(PAIRS), iter(PAIRS), starlette.QueryParams(PAIRS), QueryParams(PAIRS), "a=1&b=2&a=3", "?a=1&b=2&a=3"],
)
def test_query_of_every_kind(query: Any) -> None:
    """A query may be pairs, Starlette's type or a string: repeated values are kept, in their order."""
    with fake_request(query=query) as meta:
        assert meta.request is not None
        assert meta.request.query_params.multi_items() == PAIRS
        assert meta.request.url.query == "a=1&b=2&a=3"


RAW = [(name.encode(), value.encode()) for name, value in PAIRS]


@pytest.mark.parametrize("headers", [PAIRS, tuple(PAIRS), starlette.Headers(raw=RAW), Headers(PAIRS)])
def test_headers_of_every_kind(headers: Any) -> None:
    """Headers may be pairs or Starlette's type: repeated values are kept, in their order."""
    with fake_request(headers=headers) as meta:
        assert meta.request is not None
        assert meta.request.headers.items() == PAIRS


def test_request_can_be_faked_after_another() -> None:
    """What one request carries can be given to the next."""
    with fake_request(user="a", headers={"x": ["1", "2"]}, query="q=1&q=2", meta={"t": [1]}, cookies={"c": "d"}) as one:
        request = one.request
    assert request is not None
    parts = {name: request[name] for name in ("user", "headers", "cookies", "meta")}
    assert fake_request(**parts, query=request.query_params).meta == one


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"user": 3}, "user must be a username, a mapping of user fields or None, not of type int"),
        ({"user": ["alice"]}, "not of type list"),
        (
            {"user": {"groups": "abc"}},
            r"user\['groups'\] must be a list of names such as \['editors'\], not of type str",
        ),
        ({"user": {"groups": 3}}, "not of type int"),
        ({"headers": "accept"}, "headers must be a mapping or a list of pairs, not of type str"),
        ({"headers": ["accept"]}, "not of type list"),
        ({"query": 3}, "query must be a mapping or a list of pairs, not of type int"),
        ({"meta": {"a": object()}}, "meta must be a mapping of JSON values, as the server has it: .*object"),
        ({"meta": {"a": [float("nan")]}}, "not JSON compliant"),
        ({"meta": 3}, "meta must be a mapping of JSON values"),
    ],
)
def test_value_of_another_kind_is_refused(arguments: dict[str, Any], said: str) -> None:
    """What a server could not have sent is refused at once, with what is expected."""
    with pytest.raises(TypeError, match=said):
        fake_request(**arguments)


def test_groups_may_be_unknown() -> None:
    """A test can ask what code does where the server withholds the groups."""
    with fake_request(user={"username": "alice", "groups": None}) as meta:
        assert meta.require_user().groups is None


@pytest.mark.parametrize(
    ("arguments", "url", "base_url", "region"),
    [
        ({}, "http://testserver/", "http://testserver/", None),
        ({"url": "/dash?region=emea"}, "http://testserver/dash?region=emea", "http://testserver/", "emea"),
        ({"url": "https://hub/x?region=emea"}, "https://hub/x?region=emea", "https://hub/", "emea"),
        (
            {"url": "/dash?region=a", "query": {"region": "b"}},
            "http://testserver/dash?region=b",
            "http://testserver/",
            "b",
        ),
        ({"url": "/dash?region=a", "query": {}}, "http://testserver/dash", "http://testserver/", None),
    ],
)
def test_url_and_query_agree(arguments: dict[str, Any], url: str, base_url: str, region: str | None) -> None:
    """A relative address is completed; the URL's query and the parameters are always the same."""
    with fake_request(**arguments) as meta:
        request = meta.request
    assert request is not None
    assert (str(request.url), str(request.base_url), request.query_params.get("region")) == (url, base_url, region)


def test_session_meta_and_path() -> None:
    """The rest of a request can be faked as well."""
    with fake_request(session={"path": "x.ipynb"}, meta={"tenant": "acme"}, path_params={"id": "7"}) as meta:
        assert meta.session.path == "x.ipynb"
        assert meta.request is not None
        assert (meta.request.meta["tenant"], meta.request.path_params["id"]) == ("acme", "7")


def test_repr_shows_no_value() -> None:
    """A fake in a traceback or a parametrized test shows names only."""
    shown = repr(
        fake_request(user="alice", headers={"x-key": "SECRET"}, cookies={"theme": "SECRET"}, query={"q": "SECRET"})
    )
    assert "alice" in shown
    assert "SECRET" not in shown


# As a block


def test_block_ends_with_its_error() -> None:
    """The fake holds for the block, even if an error ends it; outside there is no user."""
    with suppress(ZeroDivisionError), ALICE:
        assert who() == "alice"
        _ = 1 / 0
    assert app_meta() == AppMeta()


def test_blocks_nest_and_repeat() -> None:
    """One fake can be entered again, also inside itself and around another."""
    for _ in range(2):
        with ALICE, BOB:
            assert who() == "bob"
            with ALICE as inner, ALICE:
                assert app_meta() is inner
            assert who() == "bob"
        assert who() is None


# As a decorator


def test_function_keeps_its_type_and_signature() -> None:
    """A decorated function is called as before, returns what it did, and frameworks see its signature."""

    @fake_request(user="alice")
    def greet(greeting: str, mark: str = "!") -> str:
        """Greet."""
        return f"{greeting} {who()}{mark}"

    assert assert_type(greet("Hello", mark="?"), str) == "Hello alice?"
    assert (greet.__name__, greet.__doc__) == ("greet", "Greet.")
    assert list(inspect.signature(greet).parameters) == ["greeting", "mark"]
    assert who() is None


def test_recursive_function() -> None:
    """A decorated function may call itself."""

    @ALICE
    def count(number: int) -> list[str | None]:
        return [who()] if number == 0 else [who(), *count(number - 1)]

    assert count(3) == ["alice"] * 4


class TestMethods:
    """A decorated method of a test class."""

    @fake_request(user="alice")
    def test_method(self) -> None:
        """A method sees the fake as a function does."""
        assert who() == "alice"


@fake_request(user="alice")
async def test_coroutine_function() -> None:
    """An ``async def`` test sees the fake throughout, and in what it awaits, starts and sends to a thread."""
    assert who() == "alice"
    await asyncio.sleep(0)
    assert await asyncio.create_task(_later()) == "alice"
    assert await asyncio.to_thread(who) == "alice"


async def _later() -> str | None:
    await asyncio.sleep(0.001)
    return who()


async def test_one_fake_in_many_tasks() -> None:
    """Tasks that use the same two fakes at the same time see each its own."""
    tasks = [fake(_later)() for fake in (ALICE, BOB) * 20]
    assert await asyncio.gather(*tasks) == ["alice", "bob"] * 20
    assert who() is None


async def test_blocks_of_interleaved_tasks() -> None:
    """A block that is open in one task does not close that of another."""

    async def visit(fake: Any, wait: float) -> list[str | None]:
        with fake:
            await asyncio.sleep(wait)
            return [who(), await _later()]

    visits = [visit(ALICE, 0.02), visit(BOB, 0.01), visit(ALICE, 0)]
    assert await asyncio.gather(*visits) == [["alice"] * 2, ["bob"] * 2, ["alice"] * 2]


def test_generator_sees_the_fake_and_its_driver_does_not() -> None:
    """The fake holds in the generator's body only: interleaved generators and their driver keep apart."""

    def steps() -> Iterator[str | None]:
        yield who()
        yield who()

    mixed = [(a, who(), b) for a, b in zip(ALICE(steps)(), BOB(steps)(), strict=True)]
    assert mixed == [("alice", None, "bob")] * 2
    assert inspect.isgeneratorfunction(ALICE(steps))


def test_generator_can_be_driven_in_every_way() -> None:
    """Sending, throwing, closing and returning reach the generator."""
    closed: list[str | None] = []

    @ALICE
    def steps() -> Generator[Any, Any, Any]:
        try:
            got = yield "first"
            with suppress(KeyError):
                yield got
            yield "caught"
            return "done"
        finally:
            closed.append(who())

    running = steps()
    assert (next(running), running.send("sent"), running.throw(KeyError())) == ("first", "sent", "caught")
    with pytest.raises(StopIteration, match="done"):
        next(running)
    abandoned = steps()
    next(abandoned)
    abandoned.close()
    assert closed == ["alice", "alice"]
    assert who() is None


async def test_async_generator_sees_the_fake_and_its_driver_does_not() -> None:
    """An asynchronous generator sees the fake while it awaits too; its driver never does."""

    @ALICE
    async def steps() -> AsyncIterator[str | None]:
        yield who()
        yield await _later()

    assert inspect.isasyncgenfunction(steps)
    assert [(seen, who()) async for seen in steps()] == [("alice", None)] * 2


async def test_async_generator_can_be_driven_in_every_way() -> None:
    """Sending, throwing and closing reach the asynchronous generator."""
    closed: list[str | None] = []

    @ALICE
    async def steps() -> Any:
        try:
            got = yield "first"
            with suppress(KeyError):
                yield got
            yield "caught"
        finally:
            closed.append(await _later())

    running: Any = steps()
    assert [await anext(running), await running.asend("sent"), await running.athrow(KeyError())] == [
        "first",
        "sent",
        "caught",
    ]
    await running.aclose()
    assert closed == ["alice"]
    failing: Any = steps()
    await anext(failing)
    with pytest.raises(LookupError, match="mine"):
        await failing.athrow(LookupError("mine"))
    assert closed == ["alice", "alice"]


@pytest.mark.parametrize("thing", [type("Thing", (), {}), 3])
def test_only_functions_are_decorated(thing: Any) -> None:
    """A class would silently lose its tests, so it is refused with the remedy."""
    with pytest.raises(TypeError, match="put it on each method"):
        ALICE(thing)


# In pytest and in a script


@pytest.fixture
def visitor() -> Iterator[AppMeta]:
    """A fixture that covers the whole test."""
    with fake_request(user="carol") as meta:
        yield meta


@pytest.fixture
@fake_request(user="dave")
def greeting() -> Iterator[str]:
    """A decorated fixture: its own code sees the request."""
    yield f"Hello {who()}"
    assert who() == "dave"


def test_fixture_covers_the_test(visitor: AppMeta) -> None:
    """A fixture that yields in a block lets the test see its request."""
    assert app_meta() is visitor


async def test_fixture_covers_an_asynchronous_test(visitor: AppMeta) -> None:
    """... and an asynchronous test as well."""
    await asyncio.sleep(0)
    assert app_meta() is visitor


def test_decorated_fixture_sees_the_request_itself(greeting: str) -> None:
    """A decorated fixture sees the request before and after its yield, the test does not."""
    assert greeting == "Hello dave"
    assert who() is None


@fake_request(user="alice")
def test_decorated_test_takes_fixtures(tmp_path: Path) -> None:
    """A decorated test asks for fixtures as any other."""
    assert tmp_path.exists()
    assert who() == "alice"


def test_plain_script() -> None:
    """A script needs neither a kernel nor a server: none of their packages is imported."""
    script = (
        "import sys\n"
        "from jupyter_app_meta import app_meta\n"
        "from jupyter_app_meta.testing import fake_request\n"
        "with fake_request(user='alice', query={'region': 'emea'}):\n"
        "    print(app_meta().user.username, app_meta().request.query_params['region'])\n"
        "print(app_meta().request, app_meta().mode)\n"
        "print({'IPython', 'ipykernel', 'jupyter_server', 'tornado', 'pytest'} & set(sys.modules))\n"
    )
    package = str(Path(jupyter_app_meta.__file__).parents[1])
    command = [sys.executable, "-W", "error", "-c", f"import sys; sys.path.insert(0, {package!r})\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "alice emea\nNone script\nset()\n"


# Started without a block


def test_a_started_fake_holds_until_it_is_stopped() -> None:
    """A fake holds without a block, its state too; a block inside comes first; both ends may be called twice."""
    alice, bob = fake_request(user="alice"), fake_request(user="bob")
    assert alice.start() is alice.start()
    try:
        assert (who(), app_meta().mode) == ("alice", "test")
        with bob:
            assert who() == "bob"
        bob.start()
        assert who() == "bob"
        bob.stop()
        assert who() == "alice"
    finally:
        alice.stop()
        alice.stop()
    assert app_meta().request is None


def test_a_started_fake_does_not_reach_other_threads() -> None:
    """Outside a kernel, a thread sees no user by itself, as under a block."""
    fake, seen = fake_request(user="alice").start(), []
    try:
        thread = threading.Thread(target=lambda: seen.append(who()))
        thread.start()
        thread.join()
    finally:
        fake.stop()
    assert seen == [None]


def test_what_the_server_says_can_be_faked() -> None:
    """The client's address, and what the server knows or has left out."""
    with fake_request(client="10.0.0.7", via="socket", redacted=["headers.cookie"], truncated=["query.q"]) as meta:
        request = meta.request
    assert request is not None and request.client is not None
    assert (request.client.host, request.via, "cookie" in request.redacted) == ("10.0.0.7", "socket", True)
    assert request.truncated == ("query.q",)
    with fake_request(client=("10.0.0.7", 5000)) as meta:
        assert meta.request is not None and meta.request.client == ("10.0.0.7", 5000)
    with pytest.raises(TypeError, match="client must be"):
        fake_request(client=7)  # type: ignore[arg-type]  # this is the mistake
