"""``jupyter app-meta state get | set | copy``: single values for operators, and whole stores.

1. A value is JSON. What is set obeys the limits of the configuration, and the code that watches it is told.
2. Without ``--user`` a value is the dashboard's own, that of ``shared.state``; with it, the person's ``visitor.state``.
3. A URL with a password is read from a file, because every account can read the arguments of a command.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from ..errors import PolicyError, RequirementMissing, StateUnavailable, TooLarge, Unstorable
from .options import Refused, plain

if TYPE_CHECKING:
    from ..server.app import AppMetaExtension
    from ..state.keys import Scope
    from ..state.stores.base import Store
    from ..state.values import Limits


def add(leaves: dict[str, argparse.ArgumentParser]) -> None:
    """Add the arguments of these commands to their parsers."""
    for name in ("get", "set"):
        leaf = leaves[name]
        about = "its path, or the name of its state"
        leaf.add_argument("--dashboard", metavar="PATH", required=True, type=place, help=about)
        leaf.add_argument("--user", metavar="PERSON", help="this person's value, such as hub:user:alice")
        leaf.add_argument("--deployment", metavar="NAME", help="its state_deployment, where several have its path")
    leaves["get"].add_argument("key", help="the key whose value is printed as JSON")
    leaves["set"].add_argument("values", metavar="KEY=JSON", nargs="+", help="such as votes=0 or title='\"Sales\"'")
    leaves["copy"].add_argument("source", metavar="FROM", help="the URL of a store, or a file that has it")
    leaves["copy"].add_argument("target", metavar="TO", help="the URL of an empty store, or a file that has it")


def place(text: str) -> str:
    """Return a dashboard's path as state has it."""
    from ..state import keys  # late: `--help` needs none of it

    return keys.place(text)


def get(store: Store, arguments: argparse.Namespace) -> int:
    """Print a value."""
    scope = _scope(store, arguments)
    entry = store.read(scope.id, (arguments.key,)).get(arguments.key) if scope else None
    if entry is None:
        raise Refused(f"{plain(arguments.dashboard)} has no {arguments.key!r}.", 1)
    print(entry.text)
    return 0


def put(store: Store, arguments: argparse.Namespace, extension: AppMetaExtension) -> int:
    """Set values, all or none."""
    limits = extension.limits()
    puts = dict(_pair(text, limits) for text in arguments.values)
    found = _scope(store, arguments)
    served = frozenset[str]() if found else _deployments(store, arguments)
    scope = found or _new_scope(arguments, served, extension.state_deployment)
    try:
        store.apply(scope, {}, puts, (), None, limits=limits)
    except TooLarge as error:
        raise Refused(str(error), 1) from error
    where = plain(arguments.dashboard)
    print(f"Set {', '.join(map(repr, puts))} of {where}.")
    if not found and not served:
        deployment = plain(arguments.deployment or extension.state_deployment)
        print(f"No state was stored there: check that a dashboard of {deployment} is at {where}.")
    return 0


def _pair(text: str, limits: Limits) -> tuple[str, str]:
    from ..state import values

    key, equals, written = text.partition("=")
    if not key or not equals:
        raise Refused(f"{plain(text)} must be a key and its value, such as votes=0.")
    try:
        value = values.encode(json.loads(written))
        values.check_key(key)
        limits.check(key, value)
    except (Unstorable, TooLarge) as error:
        raise Refused(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise Refused(f"the value of {key!r} is not JSON: a text has quotes, such as {key}='\"hello\"'.") from error
    return key, value


def _scope(store: Store, arguments: argparse.Namespace) -> Scope | None:
    """Return where the values are; None if nothing is stored there. Raises Refused if several places could be meant."""
    from ..state import keeping
    from ..state.keys import Space

    whose = keeping.Whose(arguments.user, arguments.dashboard, arguments.deployment)
    audience = "visitor" if arguments.user else "shared"
    found = {row.scope for row in keeping.outline(store, whose) if row.scope.audience == audience}
    if len(found) > 1:
        named = ", ".join(plain(name) for name in sorted({Space.read(scope.space).deployment for scope in found}))
        raise Refused(f"{plain(arguments.dashboard)} is in several deployments: add --deployment, one of {named}.")
    return next(iter(found), None)


def _deployments(store: Store, arguments: argparse.Namespace) -> frozenset[str]:
    """Return the deployments of the running servers that have the dashboard; no other than the one that is named."""
    from ..state.stores.servers import serving

    named = arguments.deployment
    return frozenset(name for name in serving(store, arguments.dashboard) if named in (None, name))


def _new_scope(arguments: argparse.Namespace, served: frozenset[str], configured: str) -> Scope:
    """Return where the first value of a dashboard is put: where a server that runs would look for it."""
    from ..state.keys import Space, scope_of

    if arguments.user:
        raise Refused("nothing is stored there yet: a person has state after a visit.", 1)
    deployment = arguments.deployment or configured or (min(served) if len(served) == 1 else "")
    if not deployment:
        raise Refused("nothing is stored there yet: add --deployment, which is its base URL.", 1)
    return scope_of("shared", Space(deployment, "run", arguments.dashboard), None)


def copy(source: str, target: str, extension: AppMetaExtension) -> int:
    """Copy all that is in a store to an empty one, which is encrypted if there are keys. The old one need not be."""
    from ..state.copying import NotEmpty
    from ..state.copying import copy as copied
    from ..state.stores.servers import alive

    _check_source(source)
    with closing(_opened(source, extension, lenient=True)) as old, closing(_opened(target, extension)) as new:
        try:
            count = max(copied(old, new, time.time()), default=0)
            rest = " Servers use the store: what they store from now on is not copied." if alive(old) else ""
        except (NotEmpty, PolicyError, StateUnavailable) as error:
            raise Refused(str(error), 1) from error
    print(f"Copied {count} entries.{rest}")
    return 0


def _check_source(place: str) -> None:
    """Refuse a file that does not exist: opening it would make an empty one."""
    from ..server.stores.telling import is_new

    try:
        if is_new(url := _url(place)):
            raise Refused(f"there is no state to copy: {url} does not exist.", 1)
    except PolicyError as error:
        raise Refused(str(error), 1) from error


def _opened(place: str, extension: AppMetaExtension, *, lenient: bool = False) -> Store:
    """Open a store; with ``lenient``, one that is not encrypted as well."""
    from ..server.stores.opening import checked, keys_of
    from ..state.stores.open import open_store
    from ..state.stores.sealed import holds_plain

    store = None
    try:
        url, keys = _url(place), keys_of(extension)
        store = open_store(url, extension.keep)
        if keys and not (lenient and holds_plain(store)):
            store = open_store(url, extension.keep, keys)
        checked(store)
    except (PolicyError, RequirementMissing, StateUnavailable) as error:
        if store is not None:
            store.close()
        raise Refused(str(error), 1) from error
    return store


def _url(place: str) -> str:
    """Return the URL of a store, or the one in a file. Raises Refused for a password among the arguments."""
    from ..server.stores.opening import content

    if "://" not in place:
        return content(Path(place))
    if _has_password(place):
        raise Refused("a URL with a password is visible to all accounts: write it into a file, and name the file.")
    return place


def _has_password(url: str) -> bool:
    """Whether a URL has a password before its host, or in its query, as PostgreSQL, MySQL and Redis allow it."""
    parts = urlsplit(url)
    return bool(parts.password) or any("passw" in name.lower() for name, _ in parse_qsl(parts.query))
