"""Which request belongs to the code that is running now.

1. A cell or callback sees the client that sent its message; ipykernel keeps that message in a
   ContextVar, so tasks, ``to_thread`` and copied contexts see what their creator saw, for good.
2. A thread has no such variable. It sees what was bound when it was started (``threads``), else
   None; never ``kernel.get_parent()``, which in a thread is the latest message of anybody.
3. A binding holds for the message in which it was made: one that is left behind is not believed
   by the next message that happens to run in the same context.
4. A forked process is nobody's: it inherits the variables of whoever happened to fork it.
5. The stamp is verified on the first call for a message, and remembered for that message.
"""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, NamedTuple

from .. import wire
from ..errors import BadStamp, UnknownVersion
from ..model import AppMeta, SessionInfo


class Message(NamedTuple):
    """The parts of a kernel message that say who caused it; no content, no buffers."""

    header: Mapping[str, Any]
    metadata: Mapping[str, Any]


class Bound(NamedTuple):
    """What code sees while ``anchor`` (a message's header, None outside a message) is current."""

    anchor: Mapping[str, Any] | None
    meta: AppMeta | None
    message: Message | None


NOBODY = AppMeta()

_bound: ContextVar[Bound] = ContextVar("jupyter_app_meta_bound")
_known: dict[int, tuple[Mapping[str, Any], AppMeta]] = {}
_KNOWN_LIMIT = 256


def app_meta() -> AppMeta:
    """Return who and what caused the code that is running now; never raises.

    The answer is a snapshot: outside a kernel, or for a message that no server stamped, its
    ``request`` is None and its ``mode`` is ``"script"``.
    """
    try:
        return _current()
    except Exception:
        return NOBODY


def _current() -> AppMeta:
    kernel = _kernel()
    message = _message(kernel)
    bound = _applicable(message)
    if bound is None:
        return NOBODY if message is None else _resolve(kernel, message)
    if bound.meta is not None:
        return bound.meta
    return NOBODY if bound.message is None else _resolve(kernel, bound.message)


def bind_thread(bound: Bound) -> None:
    """Make a new thread see what its starter saw."""
    _bound.set(bound)


def bound_now() -> Bound:
    """Return what a thread that is started here must see; cheap, nothing is verified."""
    message = _message(_kernel())
    bound = _applicable(message)
    return bound._replace(anchor=None) if bound else Bound(None, None, message)


@contextmanager
def bound(meta: AppMeta) -> Iterator[AppMeta]:
    """Make the code in this block see ``meta``."""
    message = _message(_kernel())
    token = _bound.set(Bound(message.header if message else None, meta, None))
    try:
        yield meta
    finally:
        _bound.reset(token)


def _applicable(message: Message | None) -> Bound | None:
    bound = _bound.get(None)
    anchor = message.header if message else None
    return bound if bound is not None and bound.anchor is anchor else None


def _kernel() -> Any:
    """Return this process's ipykernel; None in a script, in a forked child, in another kernel."""
    module = sys.modules.get("IPython.core.getipython")
    shell = module.get_ipython() if module else None
    kernel = getattr(shell, "kernel", None)
    session = getattr(kernel, "session", None)
    return kernel if getattr(session, "pid", None) == os.getpid() else None


def _message(kernel: Any) -> Message | None:
    variable = getattr(kernel, "_shell_parent", None)
    if not isinstance(variable, ContextVar):
        return None
    parent = variable.get(None) or _control_parent(kernel)
    if not parent or "header" not in parent:
        return None
    return Message(parent["header"], parent.get("metadata") or {})


def _control_parent(kernel: Any) -> Any:
    """Return the control message whose own task is running, None in anything that it started."""
    thread = getattr(kernel, "control_thread", None)
    if thread is None or sys.modules["threading"].current_thread() is not thread:
        return None
    task = asyncio.current_task()
    coroutine = task.get_coro() if task else None
    dispatches = getattr(coroutine, "__name__", "") in ("dispatch_control", "process_control")
    return getattr(kernel, "_control_parent", None) if dispatches else None


def _resolve(kernel: Any, message: Message) -> AppMeta:
    header = message.header
    known = _known.get(id(header))
    if known is not None and known[0] is header:
        return known[1]
    meta = _verified(kernel, message)
    while len(_known) >= _KNOWN_LIMIT:
        _known.pop(next(iter(_known)), None)
    _known[id(header)] = (header, meta)
    return meta


def _verified(kernel: Any, message: Message) -> AppMeta:
    stamp = message.metadata.get(wire.FIELD)
    if stamp is None:
        return NOBODY
    try:
        msg_id, msg_type = message.header["msg_id"], message.header["msg_type"]
        return wire.decode(wire.verify(_key(kernel), msg_id, msg_type, stamp))
    except UnknownVersion as error:
        _warn_once(str(error))
        return NOBODY
    except (BadStamp, KeyError):
        return NOBODY


def _key(kernel: Any) -> bytes | None:
    gateway = _gateway_key()
    return gateway if gateway is not None else wire.derive_key(kernel.session.key)


@lru_cache(maxsize=1)
def _gateway_key() -> bytes | None:
    """Return the key that a server without this kernel's Session key gave it at its start.

    It is taken out of the environment, so that what the kernel starts does not inherit it.
    """
    text = os.environ.pop(wire.KEY_VARIABLE, None)
    return None if text is None else wire.derive_key(text.encode()) or b""


@lru_cache(maxsize=4)
def _warn_once(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)


class CurrentSession:
    """The session of the running code, looked up anew at each use: ``session.get("client_id")``."""

    __slots__ = ()

    def _now(self) -> SessionInfo:
        return app_meta().session

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field of the session, or the default where it is not known."""
        return self._now().get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self._now()[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._now(), name)

    def keys(self) -> tuple[str, ...]:
        """The names of the fields."""
        return self._now().keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __repr__(self) -> str:
        return repr(self._now())


session = CurrentSession()
