"""A kernel's questions to its server, over its own control channel.

1. A question is sent again, with the same id in a new message, until the answer comes or the time is up. The server
   does it once.
2. Only a message that the server has stamped is an answer. Others are dropped, with a line in the kernel's log.
3. Our messages are taken before ipykernel sees them. ipykernel would publish busy and idle for each, and the server
   would take an idle kernel for a busy one.
4. Code on the control thread may not ask: it would wait for itself.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from ... import wire
from ...errors import AppMetaError, StateError, StateUnavailable
from ...state import messages
from ...state.forms import KEY_LIMIT, KEYS_LIMIT, TEXT_LIMIT, Misunderstood
from ...state.live.events import Event, read_event
from ...state.operations import (
    Add,
    Answer,
    Apply,
    Done,
    Listen,
    Operation,
    Pages,
    Read,
    Request,
    Unlisten,
    Unwatch,
    Viewers,
    Watch,
    read_answer,
    write_request,
)
from ...state.paging.operations import AskBrowser
from ...state.values import too_large
from .. import context

FIRST = 0.2
"""Seconds until a question is sent again. Each further time it is twice as long."""

_HARMLESS = (Read, Watch, Unwatch, Listen, Unlisten, Pages, Viewers, AskBrowser)

_waiting: dict[str, SimpleQueue[Answer]] = {}
_heard: list[Callable[[Event], object]] = []


def ask(kernel: Any, grant: str, audience: str, operation: Operation) -> Any:
    """Return the server's answer; raises the error that the server names, or StateUnavailable without an answer."""
    if threading.current_thread() is getattr(kernel, "control_thread", None):
        raise StateError("State cannot be used on the kernel's control thread, where the answer would arrive.")
    check_size(operation)
    name, patience = messages.link_of(grant)
    if connect := getattr(kernel, "connect", None):  # a forked kernel has no control channel yet
        connect(patience)
    request = Request(uuid.uuid4().hex, grant, audience, operation)
    answers = _waiting[request.id] = SimpleQueue()
    try:
        listen(kernel)
        answer = _answer(kernel, request, name.encode(), answers, patience)
    finally:
        del _waiting[request.id]
    if isinstance(answer, Done):
        return answer.result
    raise answer.exception()


def check_size(operation: Operation) -> None:
    """Raise TooLarge for a write that no server reads, whatever its deployer allows."""
    if not isinstance(operation, Apply | Add):
        return
    puts = operation.puts if isinstance(operation, Apply) else {operation.key: ""}
    longest, size = max(puts, key=len, default=""), sum(map(len, puts.values()))
    if len(longest) > KEY_LIMIT:
        problem = f"The key {longest[:20]!r}… has {len(longest)} characters"
        raise too_large("key", problem, f"at most {KEY_LIMIT}", "")
    count = max(len(puts), len(operation.expects)) if isinstance(operation, Apply) else 1
    if count > KEYS_LIMIT:
        raise too_large("keys", f"This write reads or writes {count} keys", f"at most {KEYS_LIMIT}", "")
    if size > TEXT_LIMIT:
        remedy = "Keep the data elsewhere and store its name."
        raise too_large("value", f"This write takes {size} bytes", f"at most {TEXT_LIMIT}", remedy)


def _answer(kernel: Any, request: Request, link: bytes, answers: SimpleQueue[Answer], patience: float) -> Answer:
    content, pause, end = write_request(request), FIRST, time.monotonic() + patience
    while True:
        _send(kernel, link, content)
        try:
            return answers.get(timeout=max(0.0, min(pause, end - time.monotonic())))
        except Empty:
            if time.monotonic() >= end:
                raise _late(patience, request.operation) from None
            pause *= 2


def _late(patience: float, operation: Operation) -> StateUnavailable:
    happened = not isinstance(operation, _HARMLESS)
    rest = " It may have happened." if happened else ""
    return StateUnavailable(f"The server did not answer within {patience:g} seconds.{rest}", happened)


def _send(kernel: Any, link: bytes, content: dict[str, Any]) -> None:
    stream, session = kernel.control_stream, kernel.session
    message = session.msg(messages.REQUEST, content)
    # The socket belongs to the control thread.
    stream.io_loop.add_callback(session.send, messages.AtOnce(stream), message, ident=link)


def on_event(heard: Callable[[Event], object]) -> None:
    """Call this function on the control thread for each event of the server. Idempotent."""
    if heard not in _heard:
        _heard.append(heard)


def listen(kernel: Any) -> None:
    """Take the server's messages before ipykernel does. Idempotent."""
    original = kernel.dispatch_control
    if isinstance(original, _Dispatch):
        return
    dispatch = kernel.dispatch_control = _Dispatch(kernel, original)
    _receive(kernel, dispatch)


def ignore(kernel: Any) -> None:
    """Undo ``listen``. If another library has wrapped the handler since, ours stays."""
    dispatch = kernel.dispatch_control
    if isinstance(dispatch, _Dispatch):
        del kernel.dispatch_control
        _receive(kernel, kernel.dispatch_control)


def _receive(kernel: Any, dispatch: Callable[..., object]) -> None:
    """Let a kernel that has started give its messages to this handler."""
    if getattr(kernel, "io_loop", None) is not None and kernel.control_stream is not None:
        stream = kernel.control_stream
        stream.io_loop.add_callback(stream.on_recv, dispatch, False)


class _Dispatch:
    """A kernel's handler of control messages that takes ours first."""

    def __init__(self, kernel: Any, original: Callable[..., Awaitable[None]]) -> None:
        self._kernel, self._original = kernel, original

    def __call__(self, message: Any) -> Awaitable[None]:
        """Take a message of ours now, and not at the loop's next turn, because code waits for it."""
        if parts := _ours(self._kernel, message):
            with suppress(Exception):  # an error here would stop the channel
                _take(self._kernel, parts)
            return _nothing()
        return self._original(message)


async def _nothing() -> None:
    """Wait for nothing."""


def _ours(kernel: Any, message: Any) -> list[bytes] | None:
    """Return the signed parts of a message whose type is one of ours; None for any other."""
    try:
        _, parts = kernel.session.feed_identities(message, copy=False)
        header = parts[1].bytes
    except Exception:
        return None
    is_ours = messages.REPLY.encode() in header or messages.EVENT.encode() in header
    return [part.bytes for part in parts[:5]] if is_ours else None


def _take(kernel: Any, parts: list[bytes]) -> None:
    found = messages.read(kernel.session, parts)
    try:
        payload = wire.verify(context.key_of(kernel), found.id, found.type, found.metadata.get(wire.FIELD))
    except AppMetaError:
        payload = ""
    if payload != messages.LINK:
        kernel.log.warning("jupyter-app-meta: refused a message that the server did not send")
        return
    with suppress(Misunderstood):
        _pass_on(found.type, found.content)


def _pass_on(kind: str, content: object) -> None:
    if kind == messages.REPLY:
        answer = read_answer(content)
        if (waiting := _waiting.get(answer.id)) is not None:
            waiting.put(answer)
    elif kind == messages.EVENT:
        event = read_event(content)
        for heard in _heard:
            heard(event)
