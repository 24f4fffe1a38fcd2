"""Messages under a fake request, where authors test the functions that receive them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from jupyter_app_meta import TooLarge, Unstorable, app_meta, session, shared, visitor
from jupyter_app_meta.testing import fake_request


def test_messages_are_received_under_a_fake() -> None:
    """At once, by the functions of the same fake, with the visitor of each; an error reaches the code that sends."""
    heard: list[Any] = []
    with fake_request(user="alice"):

        @session.on("order")
        def note(data: Any) -> None:
            heard.append((app_meta().require_user().username, data))

        for one in (session, visitor, shared):
            one.send("order", ["soup"])
        session.send("other", 1)
    assert heard == [("alice", ["soup"])] * 3
    with fake_request(user="bob"):
        shared.send("order", "another dashboard")
    assert len(heard) == 3
    note.close()

    @fake_request(user="carol")
    def fails() -> None:
        session.on("order", lambda data: 1 / data)
        visitor.send("order", 0)

    with pytest.raises(ZeroDivisionError):
        fails()


def test_async_functions_receive_messages() -> None:
    """In the loop that runs, or in one of their own."""
    heard: list[Any] = []

    async def note(data: Any) -> None:
        heard.append(data)

    async def sends() -> None:
        receiver = await session.aio.on("order", note)
        await asyncio.gather(session.aio.send("order", 1), shared.aio.send("order", 2), visitor.aio.send("order", 3))
        receiver.close()
        session.send("order", 4)

    with fake_request():
        receiver = session.on("order", note)
        session.send("order", 0)
        receiver.close()
        asyncio.run(sends())
    assert sorted(heard) == [0, 1, 2, 3]


def test_what_cannot_be_sent_is_refused() -> None:
    """With the class that says why."""
    bad: tuple[tuple[Any, Any, type[Exception]], ...] = (
        *(("", 1, ValueError), (5, 1, Unstorable), ("x" * 101, 1, TooLarge), ("\ud800", 1, Unstorable)),
        *(("a", {1, 2}, Unstorable), ("a", "x" * 65_536, TooLarge)),
    )
    with fake_request():
        for name, data, error in bad:
            with pytest.raises(error):
                session.send(name, data)
        with pytest.raises(TypeError, match="needs a function"):
            session.on("a", cast(Any, "not a function"))
