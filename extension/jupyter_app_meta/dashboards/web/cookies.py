"""The cookies of a dashboard server: their names, the key that signs them, and where browsers send them.

1. Cookies do not depend on ports, and cookies of ``/`` are sent to ``/apps/`` too. So the login cookie of each server
   has a name of its own, and no server on the same host sets or clears another's. Of two cookies with one name of ours,
   the first counts, because browsers begin with the cookie whose path is longer (``arrivals.front`` drops the other).
2. The signing key outlives the server. It is made from a secret of the deployer or of all servers that share a store,
   and from the way in which visitors log in: a server that asks for a token does not accept the cookie of a server
   without a login.
3. Browsers send the cookies with requests of our own pages and with links to them (``SameSite=Lax``). A page that other
   sites may frame needs ``SameSite=None``. Then browsers keep its cookies separate for each of these sites
   (``Partitioned``).
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.cookies import Morsel
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_data_dir
from jupyter_server.auth.identity import IdentityProvider

from ... import secret_files
from ...errors import DashboardError, StateUnavailable
from ...server.stores import COOKIES
from ...state.stores import secret
from ...state.stores.base import Store
from ..setup.outside import Outside

LOGIN = "username-app-meta-"
"""How the names of our login cookies begin."""

SIZE = 32
"""How many bytes a secret has. A file with fewer bytes is refused."""


@dataclass(frozen=True, slots=True)
class Cookies:
    """The key that signs a server's cookies, the name of its login cookie, and the cookies' attributes."""

    secret: bytes
    login: str
    attributes: Mapping[str, Any]


def cookies(provider: IdentityProvider, base_url: str, outside: Outside, secret: bytes) -> Cookies:
    """Return the cookies of a server below ``base_url``, and give the provider's login cookie its name."""
    signing = _signing(provider, base_url, secret)
    own = hmac.digest(signing, b"names of cookies", "sha256").hex()[:12]
    attributes: dict[str, Any] = {"path": base_url, "samesite": "Lax"}
    if outside.is_framed:
        _teach_partitioned()
        attributes |= {"samesite": "None", "secure": True, "partitioned": True}
    made = Cookies(signing, f"{LOGIN}{own}", attributes)
    _name_login(provider, made)
    return made


def _name_login(provider: IdentityProvider, made: Cookies) -> None:
    """Give the provider's login cookie its name and attributes, unless the deployer gave others."""
    if hasattr(provider, "hub_auth"):
        return  # the Hub's provider names its own cookie
    if not provider.cookie_name:
        provider.set_trait("cookie_name", made.login)
    provider.set_trait("cookie_options", {**made.attributes, **provider.cookie_options})


def secret_of(outside: Outside, store: Store | None, own: Path | None, log: logging.Logger) -> bytes:
    """Return the secret that a deployer gives, or else the one that all servers of a store have.

    ``own`` is the file beside a SQLite file, where all its servers find it, or a copy of what a database has.
    """
    if outside.cookie_secret:
        return outside.cookie_secret
    if outside.cookie_secret_file or own is None:
        return kept_secret(outside.cookie_secret_file, log)
    mine = _kept(own, log, given=False)
    return mine if store is None or own.name == COOKIES else _agreed(store, mine, own, log)


def _agreed(store: Store, mine: bytes, own: Path, log: logging.Logger) -> bytes:
    """Return the secret in a database, which is ours if it has none; ours is made the same for the next start."""
    try:
        found = secret.agreed(store, mine)
    except StateUnavailable:
        log.warning("The secret in the store cannot be read, so this server signs cookies with its copy, %s.", own)
        return mine
    if found != mine:
        with suppress(OSError):
            _written(own, found).replace(own)
    return found


def kept_secret(file: str | Path | None, log: logging.Logger) -> bytes:
    """Return the secret in this file, or in this machine's own file; the file is created if it does not exist.

    Raises DashboardError if the deployer's file cannot be used.
    """
    return _kept(secret_path(file), log, given=bool(file))


def _kept(path: Path, log: logging.Logger, *, given: bool) -> bytes:
    try:
        return _read(path) or _made(path)
    except OSError as error:
        sentence = _unusable(path, error.strerror or type(error).__name__, given=given)
        if given:
            raise DashboardError(sentence) from error
        log.warning("%s", sentence)
        return secrets.token_bytes(SIZE)


def secret_path(file: str | Path | None) -> Path:
    """Return the path of the secret: the deployer's own file, or the one beside Jupyter's data."""
    return Path(file) if file else Path(jupyter_data_dir()) / "app-meta" / COOKIES


def problem(file: str | Path | None) -> str:
    """Return a sentence that says why ``kept_secret`` could not keep its secret; empty if it could. Writes nothing."""
    path = secret_path(file)
    try:
        reason = "" if _content(path) else _unwritable(path)
    except DashboardError as error:
        return str(error)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    return _unusable(path, reason, given=bool(file)) if reason else ""


def _unusable(path: Path, reason: str, *, given: bool) -> str:
    if given:
        return f"cookie_secret_file {path} cannot be used ({reason}): give another file."
    return f"{path} cannot be used ({reason}): visitors lose their identity at the next start. Set cookie_secret_file."


def _unwritable(path: Path) -> str:
    """Return why a file that does not exist could not be created; empty if it could."""
    folder = next(place for place in path.absolute().parents if place.exists())
    if not folder.is_dir():
        return f"{folder} is not a folder"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"this account cannot write in {folder}"


def _content(path: Path) -> secret_files.Read | None:
    """Return a file's content; None if it does not exist. Raises DashboardError if it has too few bytes."""
    try:
        found = secret_files.read(path)
    except FileNotFoundError:
        return None
    if len(found.content) < SIZE:
        raise DashboardError(f"cookie_secret_file {path} has {len(found.content)} bytes: it must have {SIZE} or more.")
    return found


def _read(path: Path) -> bytes | None:
    found = _content(path)
    if found and os.name == "posix" and found.mode & 0o077:
        with suppress(OSError):  # the file may be on a read-only mount
            path.chmod(0o600)
    return found.content if found else None


def _made(path: Path) -> bytes:
    """Write a new secret and return it. If another server was faster, return that server's secret."""
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    draft = _written(path, secrets.token_bytes(SIZE))
    try:
        _publish(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return secret_files.read(path).content


def _written(path: Path, content: bytes) -> Path:
    """Write a file beside this path, for this account alone, and return it."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return draft


def _publish(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError:  # the file system has no links
        draft.replace(path)


def _signing(provider: IdentityProvider, base_url: str, secret: bytes) -> bytes:
    """Return the signing key. If the way of logging in changes, so does the key, and old cookies become invalid."""
    kind, token = type(provider), provider.token
    fixed = "" if getattr(provider, "token_generated", False) else str(token or "")
    realm = json.dumps([base_url, kind.__module__, kind.__qualname__, fixed])
    return provider.cookie_secret_hook(hmac.new(secret, realm.encode(), "sha256")).digest()


def _teach_partitioned() -> None:
    """Let Python before 3.14 write an attribute that it does not know."""
    if "partitioned" not in Morsel._reserved:  # type: ignore[attr-defined]  # Python has no public way to do this
        Morsel._reserved["partitioned"] = "Partitioned"  # type: ignore[attr-defined]  # as above
        Morsel._flags.add("partitioned")  # type: ignore[attr-defined]  # as above
