"""From ``state_url`` to a store: the one place that imports the stores, and each only when it is asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...errors import PolicyError, RequirementMissing
from .base import Keep, Store, for_ever

SCHEME = re.compile(r"\w{1,60}(\+\w{1,60})?", re.ASCII)
REDIS = frozenset({"redis", "rediss", "unix", "valkey", "valkeys"})
SQL = frozenset({"postgresql", "postgres", "sqlite", "mysql", "mariadb", "oracle", "mssql"})
"""Databases that SQLAlchemy knows itself, by the scheme of their URL; packages may add others."""

USE = "use sqlite:///, redis://, postgresql://, mariadb:// or another database whose dialect SQLAlchemy finds"


def open_store(url: str, keep: Keep = for_ever, keys: Sequence[bytes] = ()) -> Store:
    """Return the store of a URL; it connects when it is first used. ``keep`` says how long unused scopes stay.

    With ``keys``, what is in it is encrypted. Raises PolicyError for a URL of no store, RequirementMissing where an
    extra is not installed.
    """
    store = _plain(url, keep)
    return _encrypted(store, keys) if keys else store


def _plain(url: str, keep: Keep) -> Store:
    scheme, colon, _ = url.partition(":")
    if scheme == "sqlite":
        return _sqlite(url, keep)
    if colon and scheme in REDIS:
        return _redis(url, keep)
    why = _unfit(scheme) if colon and SCHEME.fullmatch(scheme) else ""
    if why is None:
        return _sql(url, keep)
    # The rest of a URL may have a password.
    because = f", because {why}" if why else ""
    raise PolicyError("state_url", f"no store for {scheme[:30]!r}{because}: {USE}.")


def _unfit(scheme: str) -> str | None:
    """Return why a scheme names no SQL database that can be asked, empty if it names none; None if it does."""
    is_known = scheme.partition("+")[0] in SQL
    try:
        from .sql import refusal

        why = refusal(scheme)
    except ImportError as error:
        if is_known:
            raise _missing("sql", error) from error
        return ""
    return "this driver is not supported" if why == "" and is_known else why


def _sqlite(url: str, keep: Keep) -> Store:
    from .sqlite import Sqlite

    prefix, path = url[:10], url[10:]
    if prefix != "sqlite:///" or not path or path == ":memory:":
        raise PolicyError(
            "state_url", "a SQLite file is written as sqlite:////absolute/path or sqlite:///relative/path."
        )
    return Sqlite(Path(path).expanduser(), keep)


def _sql(url: str, keep: Keep) -> Store:
    from .sql import Sql

    return Sql(url, keep)


def _redis(url: str, keep: Keep) -> Store:
    try:
        from .redis import Redis
    except ImportError as error:
        raise _missing("redis", error) from error
    return Redis(url, keep)


def _encrypted(store: Store, keys: Sequence[bytes]) -> Store:
    try:
        from .encrypted import Encrypted
    except ImportError as error:
        raise RequirementMissing(
            f"state_encryption_keys needs {error.name}: pip install 'jupyter-app-meta[encryption]'"
        ) from error
    return Encrypted(store, keys)


def _missing(extra: str, error: ImportError) -> RequirementMissing:
    return RequirementMissing(
        f"state_url names a store that needs {error.name}: pip install 'jupyter-app-meta[state-{extra}]'"
    )
