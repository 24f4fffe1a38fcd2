"""Who is looking: a row for each open page and each connection of an editor, and commands to the server that has it.

1. A server writes a row when a page opens and drops it when the page closes. No row is written in between.
2. A row counts while the row of its server lives (`stores.servers`). The pages of a killed server leave the list with
   that row, and are removed from the store a day after they were last written.
3. Each server has a scope of its own, so servers never wait for each other. A server that starts begins with none: what
   an earlier server of its name left is removed.
4. Only the server that has a page can end it. Others put a command into that server's second scope; the server takes
   each command once. A command that is not taken within a minute is over.
5. Whatever a visitor can make grow has a bound: rows and commands of a server, the length of each text.
6. A row that cannot be read is left out. It may be a newer server's.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from threading import Lock
from typing import Any, Literal

from ..errors import Conflict, StateUnavailable, TooLarge
from .keys import NAME_LIMIT, Identity, Scope, Space
from .stores.base import Store, Where
from .stores.servers import alive

AUDIENCE = "sessions"

KEPT = 86_400.0
"""Seconds that a row is kept after it was written. A server that lives renews its rows well before."""

COMMAND_KEPT = 60.0
"""Seconds in which a server has to take a command."""

ROWS, COMMANDS = 10_000, 256
"""How many rows a server has at most, and how many commands may wait for it."""

PAGE_LIMIT, NAME, DATA = 2_000, 100, 65_536
"""Characters of a page's address, of a message's name, and of a message's data as JSON."""

Verb = Literal["end", "send"]


@dataclass(frozen=True, slots=True)
class Session:
    """One open page of a dashboard, or one connection of an editor to a kernel."""

    id: str  #: made by the server; a visitor cannot guess it
    server: str  #: the name of the server that has it
    identity: str | None  #: the text of the identity; None where the visitor is not known
    username: str  #: as shown to an administrator; empty where it is not known
    kind: str  #: as in ``User``
    space: str  #: the text of the space
    page: str  #: the path that the visitor looks at
    kernel_id: str
    tab: str | None  #: the browser's tab, or the client id of an editor
    since: float  #: seconds since the epoch, by the clock of the server that has it
    display_name: str = ""  #: as shown to other visitors of the same dashboard

    @classmethod
    def read(cls, text: str) -> Session | None:
        """Return the session of a row's text; None for a text that is not a session's."""
        found = _object(text)
        try:
            made = cls(**{name: found[name] for name in _FIELDS})
        except KeyError:
            return None
        return made if made._is_sound() else None

    @property
    def text(self) -> str:
        """The session as ASCII JSON."""
        return json.dumps(asdict(self))

    def _is_sound(self) -> bool:
        texts = [self.id, self.server, self.username, self.kind, self.space, self.page, self.kernel_id]
        texts.append(self.display_name)
        optional = (self.identity, self.tab)
        return (
            all(isinstance(value, str) for value in texts)
            and all(value is None or isinstance(value, str) for value in optional)
            and isinstance(self.since, int | float)
        )


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions are meant: those that equal all that is given.

    ``dashboard`` is the place of a space, such as ``/sales``. ``user`` is a username, or realm, kind and username such
    as ``hub:user:alice``.
    """

    dashboard: str | None = None
    user: str | None = None

    def has(self, session: Session) -> bool:
        """Whether a session is meant."""
        return self._has_place(session) and (self.user is None or self.user in _names(session))

    def _has_place(self, session: Session) -> bool:
        if self.dashboard is None:
            return True
        try:
            return Space.read(session.space).place == self.dashboard
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Command:
    """What the server that has a session is asked to do with it."""

    verb: Verb
    session: str
    name: str = ""
    data: str = "null"  #: JSON

    @classmethod
    def read(cls, text: str) -> Command | None:
        """Return the command of a text; None for any other text."""
        found = _object(text)
        verb, parts = found.get("verb"), [found.get(name) for name in ("session", "name", "data")]
        if verb not in ("end", "send") or not all(isinstance(part, str) for part in parts):
            return None
        return cls("end" if verb == "end" else "send", *(str(part) for part in parts))

    @property
    def text(self) -> str:
        """The command as ASCII JSON."""
        return json.dumps(asdict(self))

    def bounded(self) -> Command:
        """Return it; raises TooLarge if the message's name or data is too long."""
        if len(self.name) > NAME:
            raise TooLarge(f"the name of a message has at most {NAME} characters, not {len(self.name)}.")
        if len(self.data) > DATA:
            raise TooLarge(f"the data of a message has at most {DATA} characters of JSON, not {len(self.data)}.")
        return self


class Sessions:
    """One server's sessions, and what it can see of the others'. Methods block, and raise StateUnavailable.

    While the store is away, what changes is only noted. ``renew`` writes it as soon as the store is back.
    """

    def __init__(self, store: Store, server: str) -> None:
        self._store, self.server = store, server
        self._own: dict[str, Session] = {}
        self._lock = Lock()
        self.is_behind = False

    @property
    def inbox(self) -> str:
        """The scope of this server's commands. A notice of it says that there is something to take."""
        return _commands(self.server).id

    def begin(self) -> None:
        """Remove what an earlier server of this name left."""
        for scope in (_rows(self.server), _commands(self.server)):
            self._store.erase(Where(scope=scope.id))

    def open(self, session: Session) -> Session:
        """Write a session of this server; return it with an id, its server and bounded texts.

        Raises TooLarge if the server has too many.
        """
        made = replace(
            session,
            id=session.id or secrets.token_hex(16),
            server=self.server,
            username=session.username[:NAME_LIMIT],
            display_name=session.display_name[:NAME_LIMIT],
            page=session.page[:PAGE_LIMIT],
        )
        with self._lock:
            if len(self._own) >= ROWS:
                raise TooLarge(f"a server lists at most {ROWS} open pages.")
            self._own[made.id] = made
        self._write({made.id: made.text}, ())
        return made

    def close(self, id: str) -> None:
        """Drop a session of this server; does nothing the second time."""
        with self._lock:
            if self._own.pop(id, None) is None:
                return
        self._write({}, (id,))

    def _write(self, texts: Mapping[str, str], dropped: Collection[str]) -> None:
        if self.is_behind:
            return
        try:
            self._store.apply(_rows(self.server), {}, texts, dropped, KEPT)
        except StateUnavailable:
            self.is_behind = True
            raise

    def renew(self) -> None:
        """Write this server's rows again, and no others: twice a day, and after the store was away."""
        self._store.erase(Where(scope=_rows(self.server).id))
        with self._lock:
            own, self.is_behind = tuple(self._own.values()), False
        if not own:
            return
        self._write({session.id: session.text for session in own}, ())
        with self._lock:
            closed = [session.id for session in own if session.id not in self._own]
        if closed:  # their rows were dropped before they were written again
            self._write({}, closed)

    def shut(self) -> None:
        """Drop all sessions of this server, because it ends."""
        with self._lock:
            self._own.clear()
        self.begin()

    def list(self, which: Filter = Filter()) -> tuple[Session, ...]:
        """Return the sessions of all servers that live, the oldest first."""
        return found(self._store, which)

    def tell(self, command: Command) -> bool:
        """Ask the server that has a session; False if no server that lives has it.

        Raises TooLarge for a message that is too long, or where too many commands wait.
        """
        return tell(self._store, command)

    def take(self) -> tuple[Command, ...]:
        """Return the commands that wait for this server, each of them once, in the order of their versions."""
        taken = list[Command]()
        try:
            _take_into(taken, self._store, self.server)
        except StateUnavailable:
            if not taken:  # those that were taken are in no store any more
                raise
        return tuple(taken)


def _take_into(taken: list[Command], store: Store, server: str) -> None:
    waiting = store.readable(_commands(server).id, None)
    for key, entry in sorted(waiting.items(), key=lambda item: (item[1].version, item[0])):
        try:
            store.apply(_commands(server), {key: entry.version}, {}, (key,), None)
        except Conflict:  # another thread of this server has taken it
            continue
        if command := Command.read(entry.text):
            taken.append(command)


def found(store: Store, which: Filter = Filter()) -> tuple[Session, ...]:
    """Return the sessions of all servers that live, the oldest first. Needs no server of its own."""
    entries = [entry for server in alive(store) for entry in store.readable(_rows(server).id, None).values()]
    rows = [Session.read(entry.text) for entry in entries]
    sessions = [session for session in rows if session and which.has(session)]
    return tuple(sorted(sessions, key=lambda session: (session.since, session.id)))


def tell(store: Store, command: Command, asker: str = "") -> bool:
    """Put a command for the server, not the asker, that has the session; False if none that lives. Raises TooLarge."""
    text = command.bounded().text
    servers = (session.server for session in found(store) if session.id == command.session)
    if (server := next(servers, asker)) == asker:  # the row of a session that has ended there may still be written out
        return False
    scope = _commands(server)
    if sum(1 for _ in store.outline(Where(scope=scope.id))) >= COMMANDS:
        raise TooLarge(f"{COMMANDS} commands wait for the server {server!r}: try again in a minute.")
    store.apply(scope, {}, {secrets.token_hex(16): text}, (), COMMAND_KEPT)
    return True


def _rows(server: str) -> Scope:
    return Scope(AUDIENCE, json.dumps([server]))


def _commands(server: str) -> Scope:
    return Scope("commands", json.dumps([server]))


def _names(session: Session) -> tuple[str, ...]:
    """Return what a session's visitor is called."""
    try:
        identity = Identity.read(session.identity or "")
    except ValueError:
        return (session.username,)
    person = ":".join(filter(None, (identity.realm, identity.kind, identity.username)))
    return session.username, person


def _object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


_FIELDS = tuple(field.name for field in fields(Session))
