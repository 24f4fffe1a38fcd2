"""The servers that use one store: a row for each, which its server renews as long as it lives.

1. A name belongs to one living server. A server that asks for the name of another is told which server has it.
2. A server that ends takes its row away. The row of a killed server lasts for 60 seconds, or until the next server of
   that name starts on the same machine, which sees that the process has ended.
3. Time is the store's. A server whose store was away for longer takes its name again as soon as the store is back.
4. A dashboard server's row says what it serves, so that a server of other dashboards notices that they share state.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from ...errors import Conflict, StateUnavailable
from ..keys import Scope
from .base import Entry, Store, Where

SERVERS = Scope("servers", "")
PLACES = 50
"""How many places of dashboards a row names."""

BEAT, DEAD = 20.0, 60.0
"""Seconds between two renewals of a row, and seconds after which a server that did not renew its row is dead."""


class NameTaken(Exception):
    """Another server has the name; ``where`` says which."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


@dataclass(frozen=True, slots=True)
class Served:
    """What a dashboard server serves under a name of state that its deployer did not choose."""

    deployment: str = ""  #: empty if the deployer chose the name, or the server has no dashboards
    digest: str = ""  #: equal for servers of the same dashboards
    places: tuple[str, ...] = ()  #: some of the places under which dashboards keep state

    @classmethod
    def of(cls, deployment: str, dashboards: Mapping[str, str]) -> Served:
        """Return what is served: the names of notebooks by the places of their state."""
        digest = hashlib.sha256(json.dumps(sorted(dashboards.items())).encode()).hexdigest()[:32]
        return cls(deployment, digest, tuple(sorted(dashboards)[:PLACES]))

    def mixed_with(self, other: Served) -> str | None:
        """Return a place whose state a server of other dashboards has as well; None if there is none."""
        if not self.deployment or self.deployment != other.deployment or self.digest == other.digest:
            return None
        return min({*self.places} & {*other.places}, default=None)


NO_DASHBOARDS = Served()


@dataclass(frozen=True, slots=True)
class Process:
    """A server's process. ``machine`` and ``began`` tell whether it still runs; they are empty if that is not known.

    ``server`` tells apart the servers of one process.
    """

    host: str
    pid: int
    machine: str
    began: str
    server: str
    served: Served = NO_DASHBOARDS

    @classmethod
    def own(cls, served: Served = NO_DASHBOARDS) -> Process:
        """Return the running process, for one more server."""
        return cls(socket.gethostname(), os.getpid(), _machine(), _began(os.getpid()), secrets.token_hex(8), served)

    @classmethod
    def read(cls, text: str) -> Process:
        """Return the process of a row's text, which may be another release's; raises StateUnavailable for other texts.

        A server without the keys of an encrypted store finds such a text, and so may one with them.
        """
        try:
            found = json.loads(text)
            told = found.pop("served", {})
            served = Served(**{name: told[name] for name in _SERVED if name in told})
            own = cls(**{name: found[name] for name in _PROCESS})
            return replace(own, served=replace(served, places=tuple(served.places)))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise StateUnavailable("The row of a server in the store cannot be read.") from None

    @property
    def text(self) -> str:
        """The process as JSON."""
        return json.dumps(asdict(self))

    def has_ended(self) -> bool:
        """Whether the process is known to have ended, as seen from the running process."""
        is_here = bool(self.machine) and self.machine == _machine()
        return is_here and _began(self.pid) != self.began

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lease:
    """One server's name in a store. Its methods block, and raise StateUnavailable while the store is away."""

    def __init__(self, store: Store, name: str, served: Served = NO_DASHBOARDS) -> None:
        self._store, self.name, self._served = store, name, served
        self._text = Process.own(served).text
        self._version = 0

    def take(self) -> None:
        """Take the name, or renew it; raises NameTaken if another server that lives has it."""
        try:
            self._put(self._version)
        except Conflict:
            self._put_over(self._found())

    def end(self) -> None:
        """Give the name back, if it is still this server's."""
        version, self._version = self._version, 0
        if version:
            try:
                self._store.apply(SERVERS, {self.name: version}, {}, (self.name,), None)
            except Conflict:
                return  # another server has taken it since

    def mixed(self) -> tuple[str, str] | None:
        """Return a place of state, and which process of other dashboards has it as well; None if none has."""
        return mixed(self._store, self._served, self.name)

    def _put_over(self, found: Entry | None) -> None:
        """Take a name that is free again, that was a dead process's, or that is this server's without its knowledge."""
        if found is not None and found.text != self._text:
            holder = Process.read(found.text)
            if not holder.has_ended():
                raise NameTaken(str(holder))
        try:
            self._put(0 if found is None else found.version)
        except Conflict:
            raise NameTaken("a server that has started at the same moment") from None

    def _found(self) -> Entry | None:
        return self._store.read(SERVERS.id, (self.name,)).get(self.name)

    def _put(self, version: int) -> None:
        found = self._store.apply(SERVERS, {self.name: version}, {self.name: self._text}, (), DEAD)
        self._version = found[self.name]


def alive(store: Store) -> frozenset[str]:
    """Return the names of the servers that live."""
    return frozenset(row.key for row in store.outline(Where(scope=SERVERS.id)))


def serving(store: Store, place: str) -> frozenset[str]:
    """Return the deployments of the living servers whose dashboards keep state under this place."""
    rows = _processes(entry.text for entry in store.readable(SERVERS.id, None).values())
    found = (process.served for process in rows if not process.has_ended())
    return frozenset(served.deployment for served in found if place in served.places)


def holder(store: Store, name: str) -> str | None:
    """Return which process has a name; None if no living server has it."""
    found = store.read(SERVERS.id, (name,)).get(name)
    return None if found is None else str(Process.read(found.text))


def mixed(store: Store, served: Served, name: str = "") -> tuple[str, str] | None:
    """Return a place of state, and which process of other dashboards has it as well; None if none has.

    ``name`` is the server's own, whose row does not count.
    """
    rows = store.readable(SERVERS.id, None) if served.deployment else {}
    for process in _processes(entry.text for other, entry in sorted(rows.items()) if other != name):
        if (place := served.mixed_with(process.served)) is not None and not process.has_ended():
            return place, str(process)
    return None


def _processes(texts: Iterator[str]) -> Iterator[Process]:
    """Yield the processes of those rows that can be read, so that one foreign row does not hide the others."""
    for text in texts:
        with suppress(StateUnavailable):
            yield Process.read(text)


def _machine() -> str:
    """Return what tells apart the machines, their starts and the containers in which process ids mean something."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _began(pid: int) -> str:
    """Return when a process began, in clock ticks since the machine's start; empty if there is none, or it is over."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in "ZX" else fields[18]


_PROCESS = tuple(one.name for one in fields(Process) if one.name != "served")
_SERVED = tuple(one.name for one in fields(Served))
