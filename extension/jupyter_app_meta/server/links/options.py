"""The options of stored state, which belong to ``AppMetaExtension``."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, Enum, Float, HasTraits, Integer, List, TraitError, Unicode, validate

from ...state.forms import KEY_LIMIT, KEYS_LIMIT, TEXT_LIMIT
from ...state.keys import AUDIENCES, Identity, Scope
from ...state.values import Limits
from .granting import OF_A_KERNEL
from .kept import Terms

DAY = 24 * 60 * 60

LIMITS = {"key": 200, "value": 64 * 1024, "keys": 1000, "scope": 1024 * 1024}
"""Characters of a key, bytes of a value, keys of a scope and bytes of a scope."""

MOST = {"key": KEY_LIMIT, "value": TEXT_LIMIT, "keys": KEYS_LIMIT, "scope": None}
"""What a deployer may allow at most. A kernel and its server read no larger messages."""

RETENTION: dict[str, float | None] = {"session": 7, "visitor": 365, "anonymous": 30, "shared": None}
"""Days after the last use; None: for ever."""


def _listed(limits: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {limit}" for name, limit in limits.items() if limit is not None)


class StateOptions(HasTraits):
    """What is stored, how long, and under which name."""

    state_timeout = Float(
        5.0, min=0.1, help="How many seconds code in a kernel waits for an answer about stored state."
    ).tag(config=True)
    state_limits = Dict(
        per_key_traits={name: Integer(min=1, max=most) for name, most in MOST.items()},
        help="The limits of stored state, such as {'value': 131072}: 'key' is in characters, 'value' in bytes, 'keys' "
        "is how many keys one scope may have, and 'scope' how many bytes. A scope is one tab's, one visitor's or one "
        "dashboard's state. The defaults are " + _listed(LIMITS) + "; at most " + _listed(MOST) + " can be set.",
    ).tag(config=True)
    state_retention = Dict(
        per_key_traits={name: Float(min=0, allow_none=True) for name in RETENTION},
        help="After how many days without use stored state is erased, such as {'visitor': 90}; None keeps it for ever. "
        "The defaults are session: 7, visitor: 365, anonymous (a visitor without a login): 30, shared: None.",
    ).tag(config=True)
    state_realm = Unicode(
        help="What tells the users of one identity provider from those of another in stored state. By default it is "
        "the provider's class. Set it to the old class's name to keep the state of users when the provider changes."
    ).tag(config=True)
    admins = List(
        Unicode(),
        help="The usernames of those who may see the live pages of all visitors, end them, and send them messages. "
        "Administrators of JupyterHub and of the identity provider may do so without being named.",
    ).tag(config=True)
    state_deployment = Unicode(
        help="What tells stored state of this server from that of other servers that use the same store. By default it "
        "is the base URL of a dashboard server, and the root folder of a server of notebooks. Two dashboard servers "
        "with one store and one base URL share the state of dashboards at the same path, and are told so when they "
        "start if they serve different dashboards: give each a name of its own. Servers behind one address need the "
        "same name."
    ).tag(config=True)
    state_encryption_keys = Unicode(
        help="A file with keys, one a line, that only the server's account may read. With it, what is stored is "
        "encrypted (extra `encryption`). `openssl rand -hex 32` writes a key. The first key encrypts, and all decrypt. "
        "It guards backups and databases, and not against code of the server's own account."
    ).tag(config=True)
    preferences = List(
        Unicode(),
        help="The keys of visitor.preferences, such as ['language', 'theme']. Every dashboard can read them, so their "
        "values are short.",
    ).tag(config=True)

    presence = Enum(
        ("on", "off"),
        "on",
        help="Whether code in notebooks is told who is looking: shared.viewers() and visitor.pages(). Administrators "
        "see the open pages in any case.",
    ).tag(config=True)

    @validate("state_limits", "state_retention")
    def _known_names(self, proposal: dict[str, Any]) -> Any:
        known = LIMITS if proposal["trait"].name == "state_limits" else RETENTION
        for name in proposal["value"]:
            if name not in known:
                raise TraitError(f"{proposal['trait'].name} has no {name!r}: use one of {', '.join(known)}.")
        return proposal["value"]

    def terms(self) -> Terms:
        """Return these options as a value."""
        shown = self.presence == "on"
        return Terms(self.state_timeout, self.limits(), frozenset(self.preferences), shown, self.state_deployment)

    def limits(self) -> Limits:
        """Return the limits of stored state."""
        given = {**LIMITS, **self.state_limits}
        return Limits(given["key"], given["value"], given["keys"], given["scope"])

    def keep(self, scope: Scope) -> float | None:
        """Return for how many seconds a scope is kept after its last use; None for ever."""
        days = {**RETENTION, **self.state_retention}
        kept = [days[kind] for kind in _kinds(scope)]
        known = [limit * DAY for limit in kept if limit is not None]
        return min(known) if known else None


def _kinds(scope: Scope) -> list[str]:
    """Return which retentions hold for a scope. Scopes of the servers themselves have none."""
    if scope.audience == "shared":
        return ["session"] if OF_A_KERNEL in scope.space else ["shared"]  # nothing reaches it after its kernel
    if scope.audience not in AUDIENCES or scope.identity is None:
        return []
    whose = "anonymous" if Identity.read(scope.identity).is_browser else "visitor"
    return ["session", whose] if scope.audience == "session" else [whose]
