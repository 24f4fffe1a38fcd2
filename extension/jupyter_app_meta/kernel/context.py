"""Which request belongs to the code that is running now.

1. A cell or callback sees the client that sent its message; ipykernel keeps that message in a
   ContextVar, so tasks, ``to_thread`` and copied contexts see what their creator saw, for good.
2. A thread sees what it was pinned to when it was started (``threads``), or what was carried over to it
   (``workers``), else None. ``kernel.get_parent()`` is not used: in a thread it returns the latest message of any
   visitor.
3. A fake holds for the message in which it was made. If it is left behind, the next message that happens to run in the
   same context does not believe it.
4. A fake that is started holds in every message until it is stopped, and outside messages in the thread that started
   it. A block of another fake inside comes first.
5. A forked process belongs to no request, although it inherits the variables of the code that forked it.
6. The stamp is verified on the first call for a message, and remembered for that message, with its grant.
"""

from __future__ import annotations

import os
import warnings
from _thread import get_ident
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from functools import lru_cache
from typing import Any, NamedTuple, cast

from .. import wire
from ..errors import BadStamp, NotClaimed, UnknownVersion
from ..model import AppMeta
from . import claims, threads, workers
from .messages import Message, carried_in, parent_of, this_kernel


class Bound(NamedTuple):
    """A fake that code sees while ``anchor`` (a message's header, None outside a message) is current."""

    anchor: Mapping[str, Any] | None
    meta: AppMeta


class Pin(NamedTuple):
    """What a thread sees: a fake, or the request of the message in which it was started."""

    meta: AppMeta | None
    message: Message | None


class Seen(NamedTuple):
    """What the running code may know: its request, and the grant with which it asks for stored state."""

    meta: AppMeta
    grant: str | None = None


UNKNOWN = AppMeta()
UNSEEN = Seen(UNKNOWN)


class Started(NamedTuple):
    """A fake that holds until it is stopped, in the process and, outside messages, in the thread that started it."""

    meta: AppMeta
    pid: int
    thread: int


_started: list[Started] = []
_bound: ContextVar[Bound] = ContextVar("jupyter_app_meta_bound")
_known: dict[int, tuple[Mapping[str, Any], Seen]] = {}
_KNOWN_LIMIT = 256


def app_meta(*, timeout: float | None = None) -> AppMeta:
    """Return the request that caused the code that is running now, and its user.

    The answer is a snapshot: outside a kernel, or for a message that no server stamped, its
    ``request`` is None and its ``mode`` is ``"script"``.

    A dashboard's warm kernel runs its cells before a visitor arrives. There the call waits for the visitor,
    at most ``timeout`` seconds if one is given. It raises NotClaimed, a TimeoutError, when the timeout passes
    or the server ends, and TypeError for a timeout that is not a number. Elsewhere it neither waits nor raises.
    """
    try:
        return _current(timeout).meta
    except (NotClaimed, claims.BadTimeout):
        raise
    except Exception:
        return UNKNOWN


def seen(*, waits: bool = True) -> Seen:
    """Return the request of the running code with its grant.

    Code that a warm kernel runs before its visitor arrives waits for the visitor. If it must not wait, the answer has
    no request, and the grant has no visitor.
    """
    return _current(None, waits)


def _current(timeout: float | None, waits: bool = True) -> Seen:
    kernel = this_kernel()
    parent = parent_of(kernel)
    header = parent["header"] if parent else None
    bound = _bound.get(None)
    if bound is not None and bound.anchor is header:
        return Seen(bound.meta)
    if _started and (meta := _of_start(parent)):
        return Seen(meta)
    if parent is None or header is None:
        return _of_pin(kernel, timeout, waits)
    known = _known.get(id(header))
    if known is not None and known[0] is header:
        return known[1]
    return _resolve(kernel, Message.of(parent), timeout, waits)


def _of_pin(kernel: Any, timeout: float | None, waits: bool) -> Seen:
    pin = _valid_pin(kernel)
    if pin is None:
        return UNSEEN
    if pin.meta is not None:
        return Seen(pin.meta)
    forked = kernel is None  # rule 5: a thread's pin does not hold in a process that the thread forks
    return UNSEEN if forked or pin.message is None else _resolve(kernel, pin.message, timeout, waits)


def _valid_pin(kernel: Any) -> Pin | None:
    """Return the thread's pin, unless the thread runs code of another request, or a loop in it may do so."""
    pin = threads.pinned()
    if not isinstance(pin, Pin):
        return None
    carried = carried_in(kernel)
    if carried is None:
        return pin
    own = pin.message is not None and carried["header"] is pin.message.header
    return pin if own and not workers.has_loop() else None


def seen_now() -> Pin | None:
    """Return what a thread that is started here must see. This is cheap, because nothing is verified."""
    kernel = this_kernel()
    parent = parent_of(kernel)
    bound = _bound.get(None)
    if bound is not None and bound.anchor is (parent["header"] if parent else None):
        return Pin(bound.meta, None)
    if _started and (meta := _of_start(parent)):
        return Pin(meta, None)
    return Pin(None, Message.of(parent)) if parent else _valid_pin(kernel)


def context_now() -> Context:
    """Return a copy of the running context, in which the kernel's own thread sees what this code sees.

    A thread that the author's code started has its request on the thread, and not in its context. Nor has its context
    the cell to which output goes.
    """
    here, kernel = copy_context(), cast(Any, this_kernel())
    pin = seen_now() if threads.pinned() is not None else None
    if pin is None:
        return here
    if pin.meta is not None:
        here.run(_bound.set, Bound(None, pin.meta))
    elif pin.message is not None and kernel is not None:
        parent = {**pin.message._asdict(), "parent_header": {}, "content": {}}
        here.run(kernel._shell_parent.set, parent)
        if place_output := getattr(kernel.shell, "set_thread_parent", None):
            here.run(place_output, parent)
    return here


@contextmanager
def bound(meta: AppMeta) -> Iterator[AppMeta]:
    """Make the code in this block see ``meta``."""
    parent = parent_of(this_kernel())
    token = _bound.set(Bound(parent["header"] if parent else None, meta))
    try:
        yield meta
    finally:
        _bound.reset(token)


def start(meta: AppMeta) -> None:
    """Make all messages to come, and this thread outside messages, see ``meta`` until it is stopped."""
    stop(meta)
    _started.append(Started(meta, os.getpid(), get_ident()))


def stop(meta: AppMeta) -> None:
    """Undo ``start``."""
    _started[:] = [started for started in _started if started.meta is not meta]


def _of_start(parent: Mapping[str, Any] | None) -> AppMeta | None:
    """Return the fake that was started last, if it holds for code that this message caused, or none."""
    meta, pid, thread = _started[-1]
    return meta if pid == os.getpid() and (parent is not None or thread == get_ident()) else None


def _resolve(kernel: Any, message: Message, timeout: float | None, waits: bool) -> Seen:
    header = message.header
    known = _known.get(id(header))
    if known is not None and known[0] is header:
        return known[1]
    found, is_pending = _read(kernel, message)
    if is_pending:
        if not waits:
            return Seen(UNKNOWN, found.grant)
        listen(kernel)
        found = Seen(claims.the_claim.wait(found.meta.session.kernel_id, timeout), claims.the_claim.grant)
    while len(_known) >= _KNOWN_LIMIT:
        _known.pop(next(iter(_known)), None)
    _known[id(header)] = (header, found)
    return found


def _read(kernel: Any, message: Message) -> tuple[Seen, bool]:
    """Return what the server says in a message's stamp, and whether the kernel still waits for its visitor."""
    stamp = message.metadata.get(wire.FIELD)
    if stamp is None:
        return UNSEEN, False
    try:
        payload = _payload(kernel, message.header["msg_id"], message.header["msg_type"], stamp)
        return Seen(wire.decode(payload), wire.grant(payload)), wire.claim(payload) == "pending"
    except UnknownVersion as error:
        _warn_once(str(error))
    except (BadStamp, KeyError):
        pass
    return UNSEEN, False


def _payload(kernel: Any, msg_id: str, msg_type: str, stamp: object) -> str:
    """Return the payload of a stamp. In a forked kernel, code that ran before the fork may ask after it."""
    earlier = claims.the_claim.earlier_key
    try:
        return wire.verify(key_of(kernel), msg_id, msg_type, stamp)
    except UnknownVersion:
        raise
    except BadStamp:
        if earlier is None or wire.claim(payload := wire.verify(earlier, msg_id, msg_type, stamp)) != "pending":
            raise  # all children know that key, so it says no more than that the visitor is this kernel's
        return payload


def listen(kernel: Any) -> None:
    """Make a warm kernel take the claim of its visitor."""
    claims.listen(kernel, lambda: key_of(kernel))


def key_of(kernel: Any) -> bytes | None:
    """Return the key with which the server signs for a kernel."""
    gateway = take_gateway_key()
    return gateway if gateway is not None else _derived(kernel.session.key)


_derived = lru_cache(maxsize=1)(wire.derive_key)


@lru_cache(maxsize=1)
def take_gateway_key() -> bytes | None:
    """Return the key that the server gave the kernel at its start, if the server does not have its Session key.

    The key is removed from the environment, so that processes that the kernel starts do not inherit it.
    """
    text = os.environ.pop(wire.KEY_VARIABLE, None)
    return None if text is None else wire.derive_key(text.encode()) or b""


@lru_cache(maxsize=4)
def _warn_once(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)
