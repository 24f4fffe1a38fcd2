"""``jupyter app-meta sessions``: who is looking, for operators. It reads the store of the configuration.

1. The pages of all servers that share the store are listed. Each server ends its own pages, when it finds the command.
2. What visitors choose, such as a path, is printed without control characters, which could change a terminal.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..errors import StateUnavailable, TooLarge, Unstorable
from .options import Refused, plain, table
from .state import OPENS, opened
from .state_values import place

if TYPE_CHECKING:
    from ..state.sessions import Command, Session
    from ..state.stores.base import Store

ACTIONS = {
    "list": "list the open pages of all servers, the oldest first",
    "end": "end an open page and its kernel, or an editor's connection",
    "send": "send a message to the code of an open page",
}

COLUMNS = ("id", "username", "dashboard", "page", "kernel_id", "server", "since")
"""What the table shows. JSON has the names that it has over HTTP."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> dict[str, argparse.ArgumentParser]:
    """Add the commands, and return their parsers."""
    family = commands.add_parser("sessions", allow_abbrev=False, help="list and end the pages that are open now")
    family.description = "Without a command, it lists the open pages, as `jupyter app-meta sessions list` does."
    _add_filters(family)
    actions = family.add_subparsers(dest="action", metavar=" | ".join(ACTIONS))
    leaves = {name: actions.add_parser(name, allow_abbrev=False, help=text) for name, text in ACTIONS.items()}
    for name, leaf in leaves.items():
        leaf.description = f"{ACTIONS[name][0].upper()}{ACTIONS[name][1:]}. {OPENS}"
        # What is not given here must not replace what was given before the command.
        leaf.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help=_CONFIG)
    _add_filters(leaves["list"], default=argparse.SUPPRESS)
    for name in ("end", "send"):
        leaves[name].add_argument("id", help="the id that `list` shows")
    leaves["send"].add_argument("name", help="the name for which the page's code listens with session.on")
    leaves["send"].add_argument("data", nargs="?", default="null", help="the data as JSON (default: %(default)s)")
    return {f"sessions {name}": leaf for name, leaf in leaves.items()}


_CONFIG = "the configuration file to read instead of the usual ones"


def _add_filters(parser: argparse.ArgumentParser, **given: Any) -> None:
    if not given:
        parser.add_argument("--config", metavar="FILE", help=_CONFIG)
    parser.add_argument("--dashboard", metavar="PATH", type=place, help="only the pages of this dashboard", **given)
    parser.add_argument("--user", metavar="NAME", help="only this visitor's: alice, or hub:user:alice", **given)
    parser.add_argument("--json", action="store_true", help="print the list as JSON", **given)


def main(arguments: argparse.Namespace, options: list[str]) -> int:
    """Run a command on the store; ``options`` are those of ``jupyter server``. Raises Refused."""
    with opened(arguments.config, options) as store:
        try:
            return _RUNS[arguments.action or "list"](store, arguments)
        except StateUnavailable as error:
            raise Refused(str(error), 1) from error


def _list(store: Store, arguments: argparse.Namespace) -> int:
    from ..state.sessions import Filter, found

    rows = [_told(row) for row in found(store, Filter(arguments.dashboard, arguments.user))]
    print(json.dumps(rows, indent=2) if arguments.json else _table(rows) or "There are no open pages.")
    return 0


def _told(row: Session) -> dict[str, str | None]:
    from ..state.keys import Space

    try:
        dashboard = Space.read(row.space).place
    except ValueError:  # a newer server's
        dashboard = None
    since = datetime.fromtimestamp(row.since, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    who = {"id": row.id, "username": row.username, "kind": row.kind, "dashboard": dashboard}
    where = {"page": row.page, "kernel_id": row.kernel_id, "server": row.server, "since": since}
    return {**who, **where, "seen": None, "connections": None}  # their server alone knows these


def _table(rows: list[dict[str, str | None]]) -> str:
    """Return the rows in columns below their names; empty without rows."""
    if not rows:
        return ""
    return table([COLUMNS, *([plain(row[name]) for name in COLUMNS] for row in rows)])


def _end(store: Store, arguments: argparse.Namespace) -> int:
    from ..state.sessions import Command

    return _tell(store, Command("end", arguments.id), "end")


def _send(store: Store, arguments: argparse.Namespace) -> int:
    from ..state.sessions import Command
    from ..state.values import encode

    try:
        encode(value := json.loads(arguments.data, parse_constant=_refuse))
        data = json.dumps(value)
    except Unstorable as error:
        raise Refused(f"the data of a message is not a value: {error}") from error
    except (ValueError, RecursionError) as error:
        raise Refused("the data of a message is JSON, such as 1, '\"hello\"' or '{\"minutes\": 5}'.") from error
    return _tell(store, Command("send", arguments.id, arguments.name, data), "give a message to")


def _tell(store: Store, command: Command, what: str) -> int:
    from ..state.sessions import tell

    try:
        is_there = tell(store, command)
    except TooLarge as error:
        raise Refused(str(error), 1) from error
    if not is_there:
        raise Refused(f"no open page has the id {command.session!r}: see `jupyter app-meta sessions list`.", 1)
    print(f"Asked the page's server to {what} {command.session}.")
    return 0


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_RUNS: Mapping[str, Callable[[Store, argparse.Namespace], int]] = {"list": _list, "end": _end, "send": _send}
