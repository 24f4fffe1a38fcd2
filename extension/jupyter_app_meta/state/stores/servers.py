"""The servers that use one store: a row for each, which its server renews as long as it lives.

1. A name belongs to one living server. A server that asks for the name of another is told which server has it.
2. A server that ends takes its row away. The row of a killed server lasts for 60 seconds, or until the next server of
   that name starts on the same machine, which sees that the process has ended.
3. Time is the store's. A server whose store was away for longer takes its name again as soon as the store is back.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from ...errors import Conflict
from ..keys import Scope
from .base import Entry, Store

SERVERS = Scope("servers", "")

BEAT, DEAD = 20.0, 60.0
"""Seconds between two renewals of a row, and seconds after which a server that did not renew its row is dead."""


class NameTaken(Exception):
    """Another server has the name; ``where`` says which."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


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

    @classmethod
    def own(cls) -> Process:
        """Return the running process, for one more server."""
        return cls(socket.gethostname(), os.getpid(), _machine(), _began(os.getpid()), secrets.token_hex(8))

    @classmethod
    def read(cls, text: str) -> Process:
        """Return the process of a row's text."""
        return cls(**json.loads(text))

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

    def __init__(self, store: Store, name: str) -> None:
        self._store, self.name = store, name
        self._text = Process.own().text
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
    return frozenset(store.read(SERVERS.id, None))


def holder(store: Store, name: str) -> str | None:
    """Return which process has a name; None if no living server has it."""
    found = store.read(SERVERS.id, (name,)).get(name)
    return None if found is None else str(Process.read(found.text))


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
