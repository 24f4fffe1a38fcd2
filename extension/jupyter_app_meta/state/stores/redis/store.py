"""State in Redis, or Valkey: a hash for each scope, changed by scripts that Redis runs one after the other.

Other servers hear of a change by pub/sub, which does not repeat what was missed: a lost connection ends in a resync.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from hashlib import sha256

from ...keys import Scope
from ...values import Limits
from ..base import Closeable, Conflict, Entry, Keep, Notice, Row, Where, for_ever, insist
from ..feeding import Feed
from ..notices import decode, encode
from ..numbers import added
from ..recent import Recent
from . import scripts
from .server import PREFIX, Server

# Milliseconds that the set of a person's scopes outlives them: a scope is put into it at most an hour before its use.
LONGER = 2 * 3600 * 1000


class Redis:
    """A store in the Redis of a URL; ``keep`` says how long an unused scope stays."""

    def __init__(self, url: str, keep: Keep = for_ever) -> None:
        self._server, self._keep = Server(url), keep
        self._recent, self._joined = Recent(), Recent()
        self._feed = Feed(self._listen)

    def read(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """See `Store.read`."""
        if keys is not None and not keys:
            return {}
        found = self._read(scope, keys)
        if found and self._recent.due(scope):
            self._server.run(scripts.USE, _hash(scope))
        return {key: entry for key, entry, _ in found}

    def readable(self, scope: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """See `Store.readable`."""
        return self.read(scope, keys)

    def glance(self, scope: str, keys: Collection[str] | None) -> None:
        """See `Store.glance`. Redis is asked over a connection."""

    def apply(
        self,
        scope: Scope,
        expects: Mapping[str, int],
        puts: Mapping[str, str],
        drops: Collection[str],
        ttl: float | None,
        *,
        whole: bool = False,
        limits: Limits | None = None,
    ) -> dict[str, int]:
        """See `Store.apply`."""
        expected = [text for key, version in expects.items() for text in (key, str(version))]
        put = [text for item in puts.items() for text in item]
        time = "" if ttl is None else f"{ttl * 1_000_000:.0f}"
        arguments = (time, "whole" if whole else "", str(len(expects)), *expected, str(len(puts)), *put, *drops)
        answer, what = self._write(scope, [*puts, *drops], limits, scripts.APPLY, *arguments)
        if answer == "conflict":
            raise Conflict(what)
        return dict.fromkeys(puts, int(what))

    def add(self, scope: Scope, key: str, amount: float, *, limits: Limits | None = None) -> Entry:
        """See `Store.add`."""
        return insist(lambda: self.try_add(scope, key, amount, limits=limits))

    def try_add(self, scope: Scope, key: str, amount: float, *, limits: Limits | None = None) -> Entry:
        """See `Store.try_add`."""
        if isinstance(amount, int):
            answer, *rest = self._write(scope, [key], limits, scripts.ADD, key, str(amount))
            if answer == "done":
                return Entry(rest[0], int(rest[1]))
        # Redis would round or refuse the sum, so it is made here.
        have = self.read(scope.id, [key]).get(key)
        text = added(key, have.text if have else None, amount)
        return Entry(text, self.replace(scope, key, have.version if have else 0, text, limits=limits))

    def replace(self, scope: Scope, key: str, version: int, text: str, *, limits: Limits | None = None) -> int:
        """See `Store.replace`."""
        answer, *rest = self._write(scope, [key], limits, scripts.REPLACE, key, str(version), text)
        if answer == "conflict":
            raise Conflict(key)
        return int(rest[0])

    def erase(self, where: Where) -> int:
        """See `Store.erase`."""
        erased = 0
        for scope in self._scopes(where.limited()):
            notice = encode(self._server.name, scope.id, None)
            erased += int(self._server.run(scripts.ERASE, _hash(scope.id), notice))
            # A person's list keeps the scope's name: servers that joined it within the hour do not join it again.
        return erased

    def export(self, where: Where) -> Iterator[Row]:
        """See `Store.export`."""
        for scope in self._scopes(where):
            for key, entry, expires in sorted(self._read(scope.id, None)):
                yield Row(scope, key, entry.text, entry.version, expires)

    def outline(self, where: Where) -> Iterator[Row]:
        """See `Store.outline`."""
        return self.export(where)

    def sweep(self) -> int:
        """See `Store.sweep`. Redis itself removes scopes past their retention."""
        return sum(int(self._server.run(scripts.SWEEP, name)) for name in self._server.scan(f"{PREFIX}{{*}}"))

    def feed(self, heard: Callable[[Notice], None]) -> Closeable:
        """See `Store.feed`."""
        return self._feed.listen(heard)

    def check(self) -> tuple[str, ...]:
        """See `Store.check`."""
        return self._server.warnings()

    def close(self) -> None:
        """See `Store.close`."""
        self._feed.close()
        self._server.close()

    def _read(self, scope: str, keys: Collection[str] | None) -> list[tuple[str, Entry, float | None]]:
        chosen = ("all",) if keys is None else ("some", *keys)
        flat = iter(self._server.run(scripts.READ, _hash(scope), *chosen))
        return [_row(*row) for row in zip(flat, flat, flat, strict=True)]

    def _write(
        self, scope: Scope, keys: Collection[str], limits: Limits | None, script: str, *arguments: str
    ) -> list[str]:
        """Run a script that changes a scope, after the person's list of scopes has it."""
        life = self._keep(scope)
        lasts = "" if life is None else f"{max(life * 1000, 1):.0f}"
        if scope.identity is not None and self._joined.due(scope.id):
            longer = "" if life is None else f"{life * 1000 + LONGER:.0f}"
            self._server.run(scripts.JOIN, _person(scope.identity), scope.id, longer)
        parts = json.dumps([scope.audience, scope.space, scope.identity, scope.tab])
        notice = encode(self._server.name, scope.id, keys)
        most = ("", "") if limits is None else (str(limits.keys), str(limits.scope))
        answer: list[str] = self._server.run(script, _hash(scope.id), parts, lasts, notice, *most, *arguments)
        if limits is not None and answer[0] == "full":
            limits.check_scope(int(answer[1]), int(answer[2]))
        return answer

    def _scopes(self, where: Where) -> Iterator[Scope]:
        """Yield the scopes that are chosen: one, a person's, or all that there are, looked through."""
        if where.scope is not None:
            names: Iterator[str] = iter([_hash(where.scope)])
        elif where.identity is not None:
            names = map(_hash, self._server.members(_person(where.identity)))
        else:
            names = self._server.scan(f"{PREFIX}{{*}}")
        for name in names:
            parts = self._server.field(name, "@")
            scope = None if parts is None else Scope(*json.loads(parts))
            if scope is not None and _is_meant(scope, where):
                yield scope

    def _listen(self, stopped: threading.Event) -> Iterator[Notice | None]:
        for text in self._server.listen(stopped):
            yield None if text is None else decode(text, self._server.name)


def _row(key: str, text: str, moments: str) -> tuple[str, Entry, float | None]:
    """Return an entry under its key, and when it is over."""
    version, _, over = moments.partition(":")
    return key, Entry(text, int(version)), int(over) / 1_000_000 if over else None


def _hash(scope: str) -> str:
    # A cluster places a key by what stands in braces.
    return f"{PREFIX}{{{scope}}}"


def _person(identity: str) -> str:
    return f"{PREFIX}person:{sha256(identity.encode()).hexdigest()}"


def _is_meant(scope: Scope, where: Where) -> bool:
    own = {"audience": scope.audience, "space": scope.space, "identity": scope.identity, "scope": scope.id}
    return all(own[name] == value for name, value in where.given().items())
