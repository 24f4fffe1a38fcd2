"""``jupyter app-meta state``: what is stored, for operators. It reads the store of the configuration, without a server.

1. A person is named by realm, kind and username, such as ``hub:user:alice``; a dashboard by its path or its name.
2. What servers keep for their own use is not shown: secrets, names and leases.
3. Nothing is erased without ``--yes`` or the operator's answer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from ..errors import PolicyError, RequirementMissing, StateUnavailable
from . import state_values
from .options import Refused, plain, table

if TYPE_CHECKING:
    from ..server.app import AppMetaExtension
    from ..state.keeping import Whose
    from ..state.stores.base import Row, Store

ACTIONS = {
    "list": "list who and which dashboards have stored state",
    "show": "show what is stored for a person or a dashboard",
    "export": "write what is stored for a person or a dashboard as JSON lines",
    "forget": "erase what is stored for a person or a dashboard, and end the person's pages",
    "get": "print a value of a dashboard, or of a person on it",
    "set": "set values of a dashboard, or of a person on it",
    "sweep": "erase what is over now",
    "copy": "copy all that is in one store to another one, which is empty",
}
OPENS = (
    "The store is the one of the configuration that `jupyter server` would read. It takes the options of "
    "`jupyter server`, such as --AppMetaExtension.state_url_file=FILE. No server needs to run."
)

LISTED = ("audience", "dashboard", "person", "entries", "bytes")
"""What the list has as JSON. Empty: preferences are of no dashboard, and what is shared is of no person."""

WIDTH = 60
"""Characters of a value that `show` shows."""

EACH = 1000
"""After how many entries a long command says how far it is."""

Item = TypeVar("Item")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> dict[str, argparse.ArgumentParser]:
    """Add the commands, and return their parsers."""
    family = commands.add_parser("state", help="list, show, export, set, copy and erase stored state")
    actions = family.add_subparsers(dest="action", required=True, metavar=" | ".join(ACTIONS))
    leaves = {name: actions.add_parser(name, allow_abbrev=False, help=text) for name, text in ACTIONS.items()}
    for name, leaf in leaves.items():
        leaf.description = f"{ACTIONS[name][0].upper()}{ACTIONS[name][1:]}. {OPENS}"
        leaf.add_argument("--config", metavar="FILE", help="the configuration file to read instead of the usual ones")
    for name in ("show", "export", "forget"):
        whose = leaves[name].add_mutually_exclusive_group(required=True)
        whose.add_argument("--user", metavar="PERSON", help="realm, kind and username, such as hub:user:alice")
        about = "the path of a dashboard, or the name of its state"
        whose.add_argument("--dashboard", metavar="PATH", type=state_values.place, help=about)
        leaves[name].add_argument(
            "--deployment", metavar="NAME", help="the state_deployment of the dashboard, where several have its path"
        )
    leaves["list"].add_argument("--json", action="store_true", help="print the list as JSON")
    leaves["forget"].add_argument("--yes", action="store_true", help="do not ask")
    state_values.add(leaves)
    return {f"state {name}": leaf for name, leaf in leaves.items()}


def main(arguments: argparse.Namespace, options: list[str]) -> int:
    """Run a command on the store; ``options`` are those of ``jupyter server``. Raises Refused."""
    extension = configured(arguments.config, options)
    if arguments.action == "copy":
        return state_values.copy(arguments.source, arguments.target, extension)
    with opening(extension) as store:
        try:
            if arguments.action == "set":
                return state_values.put(store, arguments, extension)
            return _RUNS[arguments.action](store, arguments)
        except StateUnavailable as error:
            raise Refused(str(error), 1) from error
        except ValueError as error:  # a person who is not named fully
            raise Refused(str(error)) from error


def configured(config: str | None, options: list[str]) -> AppMetaExtension:
    """Return the options of the configuration; raises Refused if there are none."""
    try:
        from .checks import configuration
    except ImportError as error:
        raise Refused(f"jupyter_server 2.18 or newer is needed here: {error}.", 1) from error
    found = configuration.read(config, options)
    if found.extension is None:
        raise Refused(" ".join(found.problems) or "the server half is not enabled: see `check`.", 1)
    return found.extension


@contextmanager
def opened(config: str | None, options: list[str]) -> Iterator[Store]:
    """Open the store of the configuration, for as long as the block runs. Raises Refused if it cannot be used."""
    with opening(configured(config, options)) as store:
        yield store


@contextmanager
def opening(extension: AppMetaExtension) -> Iterator[Store]:
    """Open the store of these options, for as long as the block runs. Raises Refused if it cannot be used."""
    from ..server.stores.opening import checked, keys_of, store_url
    from ..server.stores.telling import is_new
    from ..state.stores.open import open_store

    try:
        url = store_url(extension)
        if url is None:
            raise Refused("state is not kept: AppMetaExtension.state_url is 'off'.", 1)
        if is_new(url):
            raise Refused(f"there is no state yet: {url} does not exist.", 1)
        store = open_store(url, extension.keep, keys_of(extension))
    except (PolicyError, RequirementMissing) as error:
        raise Refused(str(error), 1) from error
    try:
        checked(store)
        yield store
    except (PolicyError, StateUnavailable) as error:
        raise Refused(str(error), 1) from error
    finally:
        store.close()


def _list(store: Store, arguments: argparse.Namespace) -> int:
    from ..state import keeping

    owners: dict[tuple[str, str, str], list[int]] = {}
    for row in _counted(keeping.outline(store)):
        total = owners.setdefault((row.scope.audience, keeping.place_of(row) or "", keeping.person_of(row)), [0, 0])
        total[0], total[1] = total[0] + 1, total[1] + len(row.text)
    if arguments.json:
        print(json.dumps([dict(zip(LISTED, (*owner, *total), strict=True)) for owner, total in sorted(owners.items())]))
        return 0
    if not owners:
        return _none("Nothing is stored.")
    lines = sorted(owners.items())
    print(table([[*map(plain, owner), f"{count} entries, {size} bytes"] for owner, (count, size) in lines]))
    return 0


def _show(store: Store, arguments: argparse.Namespace) -> int:
    from ..state import keeping

    count = 0
    for row in _rows(store, arguments):
        parts = (row.scope.audience, keeping.place_of(row), keeping.person_of(row), row.scope.tab)
        owner = "  ".join(plain(part) for part in parts if part)
        print(f"{owner}  {row.key!r} = {row.text[:WIDTH]}{'…' if len(row.text) > WIDTH else ''}")
        count += 1
    return 0 if count else _none(f"Nothing is stored for {_named(arguments)}.")


def _export(store: Store, arguments: argparse.Namespace) -> int:
    from ..state import keeping

    for row in _counted(_rows(store, arguments)):
        print(keeping.line(row))
    return 0


def _forget(store: Store, arguments: argparse.Namespace) -> int:
    from ..state import keeping

    whose = _whose(arguments)
    _refuse_several(keeping.places(store, whose), arguments)
    count = sum(1 for _ in _counted(keeping.outline(store, whose)))
    if not arguments.yes:
        _ask(f"Erase {count} entries of {_named(arguments)} for good?")
    if arguments.user:
        _say("Waiting until each server refuses this person's open pages …")
    erased = keeping.forget(store, whose)
    print(f"Erased {erased} entries of {_named(arguments)}.")
    return 0


def _refuse_several(deployments: Sequence[str], arguments: argparse.Namespace) -> None:
    """Raise Refused if dashboards of several deployments have the same path: they may be of different teams."""
    if arguments.dashboard and not arguments.deployment and len(deployments) > 1:
        named = ", ".join(plain(name) for name in deployments)
        raise Refused(f"{plain(arguments.dashboard)} is in several deployments: add --deployment, one of {named}.")


def _sweep(store: Store, arguments: argparse.Namespace) -> int:
    print(f"Erased {store.sweep()} entries that were over.")
    return 0


_RUNS: Mapping[str, Callable[[Store, argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "export": _export,
    "forget": _forget,
    "get": state_values.get,
    "sweep": _sweep,
}


def _rows(store: Store, arguments: argparse.Namespace) -> Iterator[Row]:
    from ..state import keeping

    return keeping.rows(store, _whose(arguments))


def _whose(arguments: argparse.Namespace) -> Whose:
    from ..state.keeping import Whose

    if arguments.user and arguments.deployment:
        raise Refused("--deployment goes with --dashboard: what is stored for a person is meant in all deployments.")
    return Whose(arguments.user, arguments.dashboard, arguments.deployment)


def _named(arguments: argparse.Namespace) -> str:
    return str(arguments.user or arguments.dashboard)


def _ask(question: str) -> None:
    """Go on if the operator agrees; raise Refused otherwise."""
    if not sys.stdin.isatty():
        raise Refused("nothing was erased: add --yes, because there is no terminal on which to ask.")
    with suppress(EOFError):
        if input(f"{question} [y/N] ").strip().lower() in ("y", "yes"):
            return
    raise Refused("nothing was erased.", 1)


def _counted(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, and say how many they are as they grow many."""
    for number, item in enumerate(items, 1):
        if number % EACH == 0:
            _say(f"{number} entries …")
        yield item


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def _none(text: str) -> int:
    print(text, file=sys.stderr)
    return 0
