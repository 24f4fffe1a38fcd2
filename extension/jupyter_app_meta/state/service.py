"""A kernel's message → grant → scope → store → the answer. One service for all kernels of a server.

1. Whose state it is follows from the grant. A message says which audience it means, and nothing else about the scope.
2. Each request is done once. A kernel that sends it again hears the same answer.
3. The limits of a value are checked before the store is asked, those of a scope by the store, as it writes.
4. An error that an author can act on reaches the author. Of any other error, the server's log has the kind.
5. Others are told of a change after the store has it.
6. A sum that another kernel or server was faster to change is tried again later, so that no thread waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..errors import Conflict, PageError, StateError, StateUnavailable, Unstorable
from . import grants, operations, values
from .changes import Changes
from .forms import Misunderstood
from .grants import Claims
from .keys import Identity, Scope, scope_of
from .live import viewers
from .live.events import Event
from .live.relay import Relay
from .once import TRIES, Busy, Later, Once, pause
from .operations import (
    Add,
    Apply,
    Clear,
    Done,
    Failed,
    Forget,
    Listen,
    Operation,
    Pages,
    Read,
    Request,
    Send,
    Unlisten,
    Unwatch,
    Viewers,
    Watch,
)
from .paging.operations import AskBrowser, TellPage, answered
from .rules import Rules
from .stores import sealed
from .stores.base import CONTENDED, Entry, Notice, Store, Where

Content = dict[str, Any]
Tell = Callable[[str, Event], object]


class Service:
    """Answers the requests of kernels. Its methods block, and are safe to call from any thread."""

    __slots__ = ("_log", "_once", "_rules", "_store", "_viewers", "changes", "forgotten", "relay")

    def __init__(self, store: Store, rules: Rules, tell: Tell, log: logging.Logger) -> None:
        """``tell`` passes an event to a kernel, from any thread."""
        self._store, self._rules, self._log = store, rules, log
        self._once: dict[str, Once] = {}
        self.forgotten: Callable[[Identity], object] = lambda person: None  # is told whose state was erased
        self.changes = Changes(store, tell)
        self.relay = Relay(store, tell, rules.not_before)
        self._viewers = viewers.Viewers(store, rules.presence)

    def answer(self, kernel_id: str, content: object, tab: str | None = None) -> Content | Later | None:
        """Return the content of the answer to a message of this kernel, whose page is in ``tab`` as the server knows.

        None means that no answer is sent: the message has no id, or the same request is in work. ``Later`` must be
        tried again, or given up.
        """
        request_id = operations.request_id(content)
        if request_id is None:
            return None
        once = self._once.setdefault(kernel_id, Once())
        try:
            return once.do(
                request_id,
                lambda: self._tried(lambda: self._answer(kernel_id, request_id, content, tab), request_id),
                keeps=operations.changes_state(content),
            )
        except Busy:
            busy = StateUnavailable("This kernel has too many requests in work. Wait for some of them.")
            return operations.write_answer(Failed.of(request_id, busy))

    def glance(self, kernel_id: str, content: object, tab: str | None = None) -> Content | None:
        """Return the answer to a question that needs no wait, and None for any other. The event loop asks.

        It changes nothing, so it needs no id that is done once.
        """
        if not isinstance(content, dict) or content.get("op") != "read":
            return None
        with suppress(Exception):  # ``answer`` has the error
            request = operations.read_request(content)
            claims = self._rules.claims(kernel_id, request, self._rules.lately)
            scope = scope_of(request.audience, claims.space, claims.identity, tab or claims.tab)
            assert isinstance(request.operation, Read)
            found = self._store.glance(scope.id, request.operation.keys)
            return None if found is None else operations.write_answer(Done(request.id, _pairs(found)))
        return None

    def _tried(self, answer: Callable[[], Done | Failed], request_id: str, tries: int = 1) -> Content | Later:
        try:
            return operations.write_answer(answer())
        except _Faster:
            if tries < TRIES:
                return Later(pause(tries), lambda: self._tried(answer, request_id, tries + 1))
            return operations.write_answer(Failed.of(request_id, StateUnavailable(CONTENDED)))

    def copy(self, old: Scope, new: Scope) -> None:
        """Let a scope that has nothing begin as a copy of another one. What has an end keeps it.

        Raises StateUnavailable, and TooLarge if the scope exceeds the limits.
        """
        now, written = self._rules.now(), dict[str, int]()
        rows = [row for row in self._store.export(Where(scope=old.id)) if row.expires is None or row.expires > now]
        self._rules.limits.check_scope(len(rows), sum(len(row.text) for row in rows))
        for expires in {row.expires for row in rows}:
            puts = {row.key: row.text for row in rows if row.expires == expires}
            ttl = None if expires is None else expires - now
            try:
                written |= self._store.apply(new, written, puts, (), ttl, whole=True, limits=self._rules.limits)
            except Conflict:  # the tab has state of its own by now
                return

    def revoke(self, identity: Identity) -> None:
        """Refuse all grants that this visitor has until now, on all servers, and tell no code of the visitor anything.

        The next message of a page of the visitor's that is still open has a new grant, and its code is told again.
        Raises StateUnavailable.
        """
        self._rules.revoke(identity)
        self.changes.revoked(identity.text)

    def renewed(self, claims: Claims) -> None:
        """Tell the code again that watches and listens for a visitor, because it has a new grant."""
        self.changes.renewed(claims)
        self.relay.renewed(claims)

    def restarted(self, kernel_id: str) -> None:
        """Forget what the process of a kernel watches and hears, because it has another process."""
        self.changes.ended(kernel_id)
        self.relay.ended(kernel_id)

    def ended(self, kernel_id: str) -> None:
        """Forget a kernel that has ended."""
        self._once.pop(kernel_id, None)
        self.restarted(kernel_id)
        self.changes.end_feed()

    def close(self) -> None:
        """Tell kernels nothing more."""
        self.changes.close()
        self.relay.close()

    def _answer(self, kernel_id: str, request_id: str, content: object, tab: str | None) -> Done | Failed:
        try:
            request = operations.read_request(content)
            claims = self._claims(kernel_id, request)
            scope = scope_of(request.audience, claims.space, claims.identity, tab or claims.tab)
            return Done(request_id, self._done(claims, scope, request.operation))
        except Misunderstood as error:
            problem = f"The server does not understand the request: {error}. Install the same release on both sides."
            return Failed.of(request_id, StateError(problem))
        except _Sum as error:
            return Failed.of(request_id, error.error)
        except _Faster:
            raise
        except (StateError, PageError) as error:
            return Failed.of(request_id, error)
        except Exception as error:
            self._log.warning("jupyter-app-meta: a request for state failed (%s)", type(error).__name__)
            return Failed.of(request_id, StateError(_UNKNOWN))

    def _claims(self, kernel_id: str, request: Request) -> Claims:
        try:
            # A page must work without the store, and one whose visitor was revoked elsewhere is ended anyway.
            recalled = self._rules.recalled if isinstance(request.operation, AskBrowser | TellPage) else None
            return self._rules.claims(kernel_id, request, recalled or self._rules.not_before)
        except grants.BadGrant as error:
            self._log.warning("jupyter-app-meta: refused a grant: %s", error.reason)
            raise StateUnavailable(f"{error} {error.remedy}") from None

    def _done(self, claims: Claims, scope: Scope, operation: Operation) -> Any:
        match operation:
            case Read(keys):
                return _pairs(self._store.read(scope.id, keys))
            case Apply():
                return self._apply(claims, scope, operation)
            case Add():
                return self._add(claims, scope, operation)
            case Clear():
                return self._clear(claims, scope)
            case Forget():
                return self._forget(claims)
        return self._told(claims, scope, operation)

    def _told(self, claims: Claims, scope: Scope, operation: Operation) -> Any:
        """Do what is about events, and return the answer."""
        match operation:
            case Watch():
                return self.changes.watch(claims, scope)
            case Unwatch():
                return self.changes.unwatch(claims, scope)
            case Send():
                return self.relay.send(claims, scope, operation)
            case Listen():
                return self.relay.listen(claims, scope)
            case Unlisten():
                return self.relay.unlisten(claims)
            case Pages():
                return self._viewers.own(claims)
            case Viewers():
                return self._viewers.of(claims)
            case AskBrowser() | TellPage():
                return answered(self._rules.pages, claims.kernel_id, operation)

    def _forget(self, claims: Claims) -> int:
        # The audience of the message does not count: that of `shared` has no identity, and would mean everybody.
        mine = scope_of("visitor", claims.space, claims.identity)
        assert mine.identity is not None and claims.identity is not None
        watched = self.changes.of(mine.space, mine.identity)
        # Revoked first: what an old grant writes after the erasure would stay.
        self._rules.revoke(claims.identity)
        erased = self._store.erase(Where(space=mine.space, identity=mine.identity))
        self.forgotten(claims.identity)
        for scope in watched:
            self.changes.done(claims, Notice(scope, None))
        return erased

    def _clear(self, claims: Claims, scope: Scope) -> int:
        erased = self._store.erase(Where(scope=scope.id))
        self.changes.done(claims, Notice(scope.id, None))
        return erased

    def _apply(self, claims: Claims, scope: Scope, write: Apply) -> dict[str, int]:
        for key, text in write.puts.items():
            self._check(scope, key, text)
        versions = self._store.apply(
            scope, write.expects, write.puts, write.drops, write.ttl, whole=write.whole, limits=self._rules.limits
        )
        self.changes.done(claims, Notice(scope.id, frozenset((*write.puts, *write.drops))))
        return versions

    def _add(self, claims: Claims, scope: Scope, add: Add) -> list[Any]:
        self._check(scope, add.key, values.encode(add.amount))
        try:
            entry = self._store.try_add(scope, add.key, add.amount, limits=self._rules.limits)
        except Conflict:
            raise _Faster from None
        except (TypeError, OverflowError) as error:
            raise _Sum(error) from error
        self.changes.done(claims, Notice(scope.id, frozenset((add.key,))))
        return _pair(entry)

    def _check(self, scope: Scope, key: str, text: str) -> None:
        """Raise Unstorable or TooLarge unless this may be stored."""
        values.check_key(key)
        self._rules.limits.check(key, text)
        value = values.verify(text)
        if scope.audience == "preferences":
            _check_preference(self._rules.preferences, key, value)


_UNKNOWN = "The server could not do it; its log says why."


class _Faster(Exception):
    """Another kernel or server has changed the number meanwhile, and nothing was added."""


class _Sum(Exception):
    """The store cannot add: ``error`` says why, to the author."""

    def __init__(self, error: TypeError | OverflowError) -> None:
        super().__init__()
        self.error = error


def _check_preference(names: frozenset[str], key: str, value: object) -> None:
    """One author's dashboard reads what another's wrote, so the deployer names the keys, and values are small."""
    if key not in names:
        allowed = ", ".join(sorted(names)) or "none"
        raise Unstorable(f"{key!r} is not a preference of this server. AppMetaExtension.preferences allows: {allowed}.")
    values.check_preference(value)


def _pairs(found: dict[str, Entry]) -> dict[str, Any]:
    return {key: _pair(entry) for key, entry in found.items()}


def _pair(entry: Entry) -> list[Any]:
    return [sealed.plain(entry.text), entry.version]
