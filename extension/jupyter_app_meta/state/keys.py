"""Whose state it is: a Space, an Identity and a tab → the Scope under which a store keeps entries.

    space    = [deployment, "run", route pattern or the name that keeps it] | [deployment, "edit", notebook path]
    identity = [realm, assurance, kind, username]
    scope    = sha256 of JSON([audience, space, identity?, tab?])

1. Scopes are made here only, by ``scope_of``, from what the server knows. A kernel chooses the audience, nothing more.
2. A person is the whole identity. A service ``alice`` is not the user ``alice``, and the ``alice`` of one identity
   provider is not the ``alice`` of another.
3. The token or password of the owner's own server means the owner, whose name is a random one at each login.
4. Where many people hold one token, or authentication is off, a person is a browser's login cookie. A request without
   that cookie belongs to no person.
5. A tab is keyed with the person. The next person who logs in in the same tab finds nothing of the person before.
6. A dashboard and its notebook in an editor are two spaces. One notebook at two paths is two spaces.
7. In doubt the identity is None, and only what is shared can be reached.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..errors import NoVisitor

Audience = Literal["session", "visitor", "preferences", "shared"]
Way = Literal["run", "edit"]

AUDIENCES: tuple[Audience, ...] = get_args(Audience)
NAME_LIMIT = 500  # characters of a username or of a cookie's id; they travel in each grant

SUBJECTS = ("oidc:", "host:")
"""How the subjects begin by which some providers tell users apart, whose names may change or pass to other people."""

_WAYS: tuple[Way, ...] = get_args(Way)
_VOUCHED = ("hub", "provider")
_text = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Space:
    """Whose notebook it is for: one dashboard, or one notebook in an editor. Make it by ``run`` or ``edit``."""

    deployment: str  #: tells apart the deployments that share one store
    way: Way  #: ``run`` in a dashboard, ``edit`` in an editor
    place: str  #: the dashboard's path pattern or its kept name, or the notebook's path

    @classmethod
    def run(cls, deployment: str, pattern: str, name: str | None = None) -> Space:
        """Return the space of a dashboard. A ``name`` keeps its state when the path changes.

        Raises ValueError if the pattern does not begin with ``/``, or the name is empty or does.
        """
        if not pattern.startswith("/"):
            raise ValueError(f"the pattern of a dashboard's path must begin with '/', not {pattern!r}")
        if name is not None and (not name or name.startswith("/")):
            raise ValueError(f"state must be a name such as 'sales', which does not begin with '/', not {name!r}")
        return cls(deployment, "run", pattern if name is None else name)

    @classmethod
    def edit(cls, deployment: str, path: str) -> Space:
        """Return the space of a notebook that is open in an editor, by its path below the server's root."""
        if not path.strip("/"):
            raise ValueError("a notebook that has no path has no space")
        return cls(deployment, "edit", path.strip("/"))

    @classmethod
    def read(cls, text: str) -> Space:
        """Return the space of this text; raise ValueError for any other text."""
        deployment, way, place = _parts(text, 3)
        if way not in _WAYS:
            raise ValueError("not a space")
        return cls(deployment, "run" if way == "run" else "edit", place)

    @property
    def text(self) -> str:
        """The space as ASCII JSON."""
        return _text([self.deployment, self.way, self.place])

    @property
    def everywhere(self) -> str:
        """What all spaces of the deployment have in common that are reached in the same way, as ASCII JSON."""
        return _text([self.deployment, self.way])


@dataclass(frozen=True, slots=True)
class Identity:
    """One person or service, as far as state is concerned. Make it by ``identity_of``."""

    realm: str  #: ``hub``, or what tells identity providers apart
    assurance: str  #: as in ``User``
    kind: str  #: ``user``, ``service``, ``owner`` or ``browser``
    username: str  #: empty for the owner, the cookie's id for a browser

    @classmethod
    def read(cls, text: str) -> Identity:
        """Return the identity of this text; raise ValueError for any other text."""
        return cls(*_parts(text, 4))

    @property
    def text(self) -> str:
        """The identity as ASCII JSON."""
        return _text([self.realm, self.assurance, self.kind, self.username])

    @property
    def name(self) -> str | None:
        """The username, which other visitors' code may see; None if it is not known, and only a subject is."""
        known = self.username and not self.is_browser and not self.username.startswith(SUBJECTS)
        return self.username if known else None

    @property
    def is_browser(self) -> bool:
        """Whether this is a browser, and the person who uses it is not known."""
        return self.kind == "browser"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a store keeps the entries of one audience. A store uses the parts for export and erasure."""

    audience: str  #: ``session``, ``visitor``, ``preferences``, ``shared``; stores have others for their own use
    space: str  #: the text of the space
    identity: str | None = None  #: the text of the identity; None for what is shared
    tab: str | None = None  #: the id of the browser tab; None for anything else

    @property
    def id(self) -> str:
        """The name of the scope, 64 hexadecimal digits."""
        parts = [self.audience, self.space, self.identity, self.tab]
        while parts[-1] is None:
            parts.pop()
        return hashlib.sha256(_text(parts).encode()).hexdigest()


def identity_of(
    user: Mapping[str, Any] | None, realm: str, way: Way, browser: str | None = None, subject: str | None = None
) -> Identity | None:
    """Return the identity of the server's user; None if there is none.

    ``browser`` is the id in the browser's login cookie, which the server has verified; None without one. ``subject`` is
    what a provider tells the user apart by, if the username may change or pass to another person.
    """
    if user is None:
        return None
    assurance, name = user.get("assurance"), user.get("username")
    if assurance in _VOUCHED:
        known = _is_name(name) and user.get("kind") in ("user", "service")
        who = str(name) if subject is None else _short(subject)
        return Identity("hub" if assurance == "hub" else realm, assurance, user["kind"], who) if known else None
    if assurance == "shared-secret" and user.get("is_owner") is True and way == "edit":
        return Identity(realm, assurance, "owner", "")
    if assurance in ("shared-secret", "none") and _is_name(browser):
        return Identity(realm, assurance, "browser", str(browser))
    return None


def _short(subject: str) -> str:
    """Return a subject, or the same beginning with its digest if it is too long for a grant."""
    if len(subject) <= NAME_LIMIT:
        return subject
    digest = hashlib.sha256(subject.encode("utf-8", "replace")).hexdigest()
    return f"{subject[:NAME_LIMIT].partition(':')[0]}:{digest}"


def scope_of(audience: str, space: Space, identity: Identity | None, tab: str | None = None) -> Scope:
    """Return the scope of an audience; raise NoVisitor if it needs an identity or a tab that is not known."""
    if audience not in AUDIENCES:
        raise ValueError(f"state has one of the audiences {', '.join(AUDIENCES)}")
    if audience == "shared":
        return Scope("shared", space.text)
    if identity is None:
        raise NoVisitor(
            f"{audience} has no state here, because the server does not know the visitor of the running code. "
            "shared.state needs no visitor."
        )
    if audience == "session":
        return Scope("session", space.text, identity.text, _tab(space, tab))
    return Scope(audience, space.everywhere if audience == "preferences" else space.text, identity.text)


def place(text: str) -> str:
    """Return a dashboard's path as a space has it, without a slash at its end; a name as it is."""
    return f"/{text.strip('/')}" if text.startswith("/") else text


def _tab(space: Space, tab: str | None) -> str | None:
    """Return the tab. In an editor the open notebook is the session, because no page of ours knows the tab there."""
    if space.way == "edit":
        return None
    if not tab:
        raise NoVisitor("session has no state here, because the server does not know the browser tab of this page.")
    return tab


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= NAME_LIMIT


def _parts(text: str, count: int) -> list[str]:
    try:
        parts = json.loads(text)
    except (TypeError, ValueError, RecursionError):  # a grant may have anything in place of the text
        parts = None
    if not isinstance(parts, list) or len(parts) != count or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"expected a JSON list of {count} texts")
    return parts
