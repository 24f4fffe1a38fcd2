"""Identities: the server's user of a request (Jupyter's, the Hub's, a dict, a string, None) → Visitor.

``assurance`` says how far to trust the user:

=============  ==================================================================================
hub            JupyterHub authenticated the user
provider       an identity provider of the deployer, a trusted proxy's header or the host application named the user
shared-secret  the client holds the server's token or password: it is the owner, under a random name
none           authentication is off: any client has access
=============  ==================================================================================
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jupyter_server.base.handlers import JupyterHandler

from ..model import User
from ..policy import Policy
from ..policy.names import Scopes
from . import capture

EXTRA_LIMIT = 4096

# A deployer's own code can decide about identity in these methods. The assurance is shared-secret only if all of
# them are jupyter_server's.
_BY_TOKEN = "get_user _get_user get_user_token get_token get_user_cookie generate_anonymous_user".split()
_BY_COOKIE = [*_BY_TOKEN, *"user_from_cookie user_to_cookie set_login_cookie process_login_form get_handlers".split()]
_PAGE_BY_TOKEN = "get_user get_user_token get_token get_user_cookie".split()
_PAGE_BY_COOKIE = [*_PAGE_BY_TOKEN, *"get post prepare set_login_cookie".split()]
_NAMES = ("username", "name", "display_name", "initials", "color")


class Visitor(NamedTuple):
    """A user, or None, with two keys that tell identities apart.

    ``key`` ties pages to connections. ``reconnect_key`` is what a reconnect must present again. It is the same as
    ``key``, with one exception: all clients that hold the server's token and have no cookie share one
    ``reconnect_key``, because each of their requests has a new random name.
    """

    user: User | None
    key: str
    reconnect_key: str


@runtime_checkable
class Vouching(Protocol):
    """An identity provider that says of each user how far to trust it, and what tells it apart from others.

    Neither a Hub nor a proxy's header is asked about its users.
    """

    def values(self, user: object, /) -> Mapping[str, Any]:
        """Return the fields of a user that this provider made; empty for any other."""

    def assurance(self, user: object, /) -> str:
        """Return ``provider`` for a user who is authenticated; ``none`` for any other."""

    def binding_key(self, user: object, /) -> str:
        """Return what ties this user's pages to connections; empty for a user that this provider did not make."""


def visitor(handler: JupyterHandler, policy: Policy) -> Visitor:
    """Return the visitor of an authenticated handler; unknown if the identity has no known form. Never raises."""
    try:
        return _visitor(handler, policy)
    except Exception as error:
        handler.log.warning(
            "jupyter-app-meta: could not read the user (%s); treating the request as anonymous.", type(error).__name__
        )
        return unknown()


def unknown() -> Visitor:
    """Return a visitor without a user, different from every other visitor."""
    key = f"unknown:{uuid.uuid4().hex}"
    return Visitor(None, key, key)


def _visitor(handler: JupyterHandler, policy: Policy) -> Visitor:
    provider = handler.identity_provider
    if isinstance(provider, Vouching):
        return _vouched(provider, handler.current_user)
    by_hub = _hub_model(handler) is not None  # the Hub's proxy passes on the headers of clients
    by_proxy = bool(policy.user_header) and not by_hub and policy.trusts(capture.peer(handler.request))
    user = _from_proxy(handler, policy) if by_proxy else _from_server(handler)
    if user is None:
        return unknown()
    key = f"{'proxy' if by_proxy else user['assurance']}:{user['kind']}:{user['username']}"
    return Visitor(user, key, _reconnect_key(handler, user) or key)


def _vouched(provider: Vouching, found: object) -> Visitor:
    key = provider.binding_key(found)
    assurance = "provider" if provider.assurance(found) == "provider" else "none"
    user = _named_user(provider.values(found), assurance)
    return Visitor(user, key, key) if user is not None and key else unknown()


def _from_proxy(handler: JupyterHandler, policy: Policy) -> User | None:
    """Return the user that a trusted proxy names in its header; None if the header is missing or repeated.

    Only the header's exact name counts, because proxies pass on a client's own ``X_Forwarded_User``.
    """
    lines = [value for name, value in handler.request.headers.get_all() if name.lower() == policy.user_header]
    try:
        username = lines[0].strip().encode("latin-1").decode() if len(lines) == 1 else ""
    except UnicodeError:
        return None
    if not username:
        return None
    return User(_named({"username": username}), kind="user", assurance="provider", is_authenticated=True)


def _from_server(handler: JupyterHandler) -> User | None:
    model = _hub_model(handler)
    if model is not None:
        return _hub_user(model, handler.current_user)
    return _named_user(_values(handler.current_user), _assurance(handler))


def _named_user(values: Mapping[str, Any], assurance: str) -> User | None:
    """Return the user of these values; None if they have no username."""
    username = values.get("username")
    if not isinstance(username, str) or not username:
        return None
    shown = {**_extras(values), **_named(values), "assurance": assurance, "is_authenticated": assurance != "none"}
    return User({**shown, **_standing(values, assurance)})


def _standing(values: Mapping[str, Any], assurance: str) -> dict[str, Any]:
    """Return a user's kind, groups and rights. Only a deployer's provider knows more of them than the server itself."""
    if assurance == "provider":
        kind = "service" if values.get("kind") == "service" else "user"
        return {"kind": kind, "groups": _groups(values.get("groups")), "admin": values.get("admin") is True}
    return {"kind": "user", "is_owner": True} if assurance == "shared-secret" else {"kind": "anonymous"}


def _values(found: object) -> dict[str, Any]:
    """Return an identity provider's answer as a dict; empty if it has no known form."""
    if isinstance(found, str):
        return {"username": found}
    if isinstance(found, Mapping):
        values = {key: value for key, value in found.items() if isinstance(key, str)}
        return {**values, "username": values.get("username") or values.get("name")}
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        own = {item.name: getattr(found, item.name, None) for item in dataclasses.fields(found)}
        return {**own, **getattr(found, "__dict__", {})}
    return {}


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the name fields, with jupyter_server's defaults."""
    names = {field: str(values[field]) for field in _NAMES if isinstance(values.get(field), str) and values[field]}
    name = names.get("name", names["username"])
    return {"initials": None, "color": None, **names, "name": name, "display_name": names.get("display_name", name)}


def _extras(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return copies of the provider's own fields that are small JSON values."""
    own = {name: _copy(value) for name, value in values.items() if name not in User.defaults and name[:1] != "_"}
    return {name: value for name, value in own.items() if value is not None}


def _copy(value: object) -> Any:
    return value if isinstance(value, Scopes) else _plain(value)


def _plain(value: object) -> Any:
    """Return a copy made of JSON values; None if the value is not JSON, or is too large."""
    try:
        text = json.dumps(value, allow_nan=False)
        return json.loads(text) if len(text) <= EXTRA_LIMIT else None
    except (TypeError, ValueError, RecursionError):
        return None


def _groups(value: object) -> tuple[str, ...]:
    return (
        tuple(item for item in value if isinstance(item, str))
        if isinstance(value, list | tuple | set | frozenset)
        else ()
    )


def _hub_model(handler: JupyterHandler) -> Mapping[str, Any] | None:
    """Return JupyterHub's model of a user or service; None if the Hub did not authenticate the request."""
    model = _hub_answer(handler) if _asks_hub(handler) else None
    return model if isinstance(model, Mapping) and model.get("kind") in ("user", "service") else None


def _asks_hub(handler: JupyterHandler) -> bool:
    """Whether a Hub runs this server, or JupyterHub's own code authenticates its requests."""
    askers = (*type(handler.identity_provider).__mro__, *type(handler).__mro__)
    return bool(os.environ.get("JUPYTERHUB_API_URL")) or any(
        asker.__module__.partition(".")[0] == "jupyterhub" for asker in askers
    )


def _hub_answer(handler: JupyterHandler) -> object:
    """Return the Hub's answer about the user, if JupyterHub's own code asked for it.

    jupyterhub-singleuser keeps the answer on the user. Its older mode keeps it on the handler, because the user that
    jupyter_server makes in that mode does not tell a service from a user.
    """
    found: object = handler.current_user
    cached = getattr(handler, "_hub_auth_user_cache", None)
    if hasattr(found, "hub_user"):
        return found.hub_user
    if isinstance(cached, Mapping) and getattr(found, "username", found) in (cached.get("name"), cached):
        return cached
    asks_hub = any(hasattr(type(asker), "hub_auth") for asker in (handler.identity_provider, handler))
    return found if asks_hub else None


def _hub_user(model: Mapping[str, Any], found: object) -> User | None:
    username = model.get("name")
    if not isinstance(username, str) or not username:
        return None
    owner = os.environ.get("JUPYTERHUB_USER")
    told = model.get("user_info")  # the authenticator's names; in the older mode they are only here
    names = {field: getattr(found, field, None) for field in _NAMES} | _values(told)
    return User(
        _named({**names, "username": username}),
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
    by_token = getattr(handler, "_token_authenticated", False) and _is_stock(provider, _BY_TOKEN, _PAGE_BY_TOKEN)
    return "shared-secret" if by_token or _is_stock(provider, _BY_COOKIE, _PAGE_BY_COOKIE) else "provider"


def _is_stock(provider: object, methods: list[str], page_methods: list[str]) -> bool:
    """Whether these methods of an identity provider and of its login page are jupyter_server's own."""
    return _are_own(provider, methods) and _are_own(getattr(provider, "login_handler_class", None), page_methods)


def _are_own(thing: object, methods: list[str]) -> bool:
    found = (inspect.getattr_static(thing, method, None) for method in methods)
    functions = (getattr(method, "__func__", method) for method in found if method is not None)
    return all(
        getattr(function, "__module__", "").split(".")[0] in ("jupyter_server", "tornado") for function in functions
    )


def _reconnect_key(handler: JupyterHandler, user: User) -> str | None:
    """Return the common key of clients that hold the server's token and no login cookie; None for any other client."""
    if user["assurance"] != "shared-secret":
        return None
    provider = handler.identity_provider
    cookie = handler.get_secure_cookie(provider.get_cookie_name(handler), **provider.get_secure_cookie_kwargs)
    return None if cookie else f"{user['assurance']}:without-cookie"
