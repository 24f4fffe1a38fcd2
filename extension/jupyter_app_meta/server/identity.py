"""Who made a request: the server's notion of a user (Jupyter, Hub, dict, str, None) → Visitor.

How far each is to be trusted is said by ``assurance``:

=============  ==================================================================================
hub            JupyterHub authenticated this very person
provider       an identity provider of the deployer, or a trusted proxy's header, named the person
shared-secret  somebody who holds the server's token or password: the owner, under a random name
none           authentication is off: anybody
=============  ==================================================================================
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from jupyter_server.base.handlers import JupyterHandler

from ..model import User
from ..policy import Policy, normal
from . import capture

EXTRA_LIMIT = 4096

_JUDGES = ("get_user", "_get_user", "get_user_token", "get_user_cookie", "user_from_cookie", "process_login_form")
_NAMES = ("username", "name", "display_name", "initials", "color")


class Visitor(NamedTuple):
    """A user, or None, with two keys that tell identities apart.

    ``key`` ties pages to connections. ``claim`` is what a reconnect must present again: the same,
    but that all clients without a cookie that hold the server's token are one, because each of
    their requests has a new random name.
    """

    user: User | None
    key: str
    claim: str


def visitor(handler: JupyterHandler, policy: Policy) -> Visitor:
    """Return who is behind an authenticated handler. An identity of unknown form is nobody."""
    user = _from_proxy(handler, policy) if _comes_by_proxy(handler, policy) else _from_server(handler)
    if user is None:
        return nobody()
    key = f"{user['assurance']}:{user['kind']}:{user['username']}"
    return Visitor(user, key, _claim(handler, user) or key)


def nobody() -> Visitor:
    """Return a visitor that is nobody, and no other nobody either."""
    key = f"nobody:{uuid.uuid4().hex}"
    return Visitor(None, key, key)


def _comes_by_proxy(handler: JupyterHandler, policy: Policy) -> bool:
    return bool(policy.user_header) and policy.trusts(capture.peer(handler.request))


def _from_proxy(handler: JupyterHandler, policy: Policy) -> User | None:
    """Return the user that a trusted proxy names; None where it names nobody, or two."""
    names = {value.strip() for key, value in handler.request.headers.get_all() if normal(key) == policy.user_header}
    username = next(iter(names)) if len(names) == 1 else ""
    if not username:
        return None
    return User(_named({"username": username}), kind="user", assurance="provider", is_authenticated=True)


def _from_server(handler: JupyterHandler) -> User | None:
    found = handler.current_user
    hub = _hub_model(found)
    if hub is not None:
        return _hub_user(hub, found)
    values = _values(found)
    username = values.get("username")
    if not isinstance(username, str) or not username:
        return None
    assurance = _assurance(handler)
    return User(
        {**_extras(values), **_named(values)},
        assurance=assurance,
        is_authenticated=assurance != "none",
        kind="anonymous" if assurance == "none" else "user",
        is_owner=True if assurance == "shared-secret" else None,
        groups=_groups(values.get("groups")) if assurance == "provider" else (),
        admin=assurance == "provider" and values.get("admin") is True,
    )


def _values(found: object) -> dict[str, Any]:
    """Return what an identity provider said as a dict; empty where it is of no known form."""
    if isinstance(found, str):
        return {"username": found}
    if isinstance(found, Mapping):
        values = {str(key): value for key, value in found.items()}
        return {"username": values.get("name"), **values}
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        own = {item.name: getattr(found, item.name, None) for item in dataclasses.fields(found)}
        return {**own, **getattr(found, "__dict__", {})}
    return {}


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the name fields, filled the way jupyter_server fills them."""
    names = {field: values[field] for field in _NAMES if isinstance(values.get(field), str) and values[field]}
    name = names.get("name", names["username"])
    return {"initials": None, "color": None, **names, "name": name, "display_name": names.get("display_name", name)}


def _extras(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provider's own fields that are small JSON values."""
    return {k: v for k, v in values.items() if k not in User.defaults and not k.startswith("_") and _is_small_json(v)}


def _is_small_json(value: object) -> bool:
    try:
        return value is not None and len(json.dumps(value, allow_nan=False)) <= EXTRA_LIMIT
    except (TypeError, ValueError, RecursionError):
        return False


def _groups(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list | tuple | set) else ()


def _hub_model(found: object) -> Mapping[str, Any] | None:
    """Return JupyterHub's model of a user or service, in either mode of jupyterhub-singleuser."""
    model = getattr(found, "hub_user", found)
    if isinstance(model, Mapping) and model.get("kind") in ("user", "service") and os.environ.get("JUPYTERHUB_API_URL"):
        return model
    return None


def _hub_user(model: Mapping[str, Any], found: object) -> User | None:
    username = model.get("name")
    if not isinstance(username, str) or not username:
        return None
    shown = {field: getattr(found, field, None) for field in _NAMES} if hasattr(found, "hub_user") else {}
    owner = os.environ.get("JUPYTERHUB_USER")
    return User(
        _named({**shown, "username": username}),
        assurance="hub",
        is_authenticated=True,
        kind=model["kind"],
        groups=_groups(model.get("groups")),
        admin=model.get("admin") is True,
        is_owner=model["kind"] == "user" and username == owner if owner else None,
    )


def _assurance(handler: JupyterHandler) -> str:
    provider = handler.identity_provider
    if not provider.auth_enabled:
        return "none"
    by_token = getattr(handler, "_token_authenticated", False) and _is_stock(provider, _JUDGES[:4])
    return "shared-secret" if by_token or _is_stock(provider, _JUDGES) else "provider"


def _is_stock(provider: object, methods: tuple[str, ...]) -> bool:
    """Whether these methods of an identity provider are jupyter_server's own."""
    login = getattr(provider, "login_handler_class", None)
    if login is not None and not _is_own(inspect.getattr_static(login, "get_user", None)):
        return False
    return all(_is_own(inspect.getattr_static(provider, method, None)) for method in methods)


def _is_own(method: object) -> bool:
    function = getattr(method, "__func__", method)
    return method is None or getattr(function, "__module__", "").split(".")[0] == "jupyter_server"


def _claim(handler: JupyterHandler, user: User) -> str | None:
    """Return the common claim of clients without a login cookie, None for everybody else."""
    if user["assurance"] not in ("shared-secret", "none"):
        return None
    provider = handler.identity_provider
    cookie = handler.get_secure_cookie(provider.get_cookie_name(handler), **provider.get_secure_cookie_kwargs)
    return None if cookie else f"{user['assurance']}:without-cookie"
