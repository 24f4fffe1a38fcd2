"""Per-path settings: access rule, additional request fields, and what runs ahead of visitors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..server.hooks import Authorize, Meta, ValidateCallback

GATE = "jupyter_app_meta.gate"
"""The key of an ASGI scope for the gate that the request has passed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The access rule, the function that adds request fields, how many warm kernels are kept, and how long.

    With ``fork``, kernels are forked from one that has run ahead, and ``fork_spares`` of them are kept. None means that
    they are if no warm kernels are wanted, the notebook asks who is looking, and it is opened often.

    ``state`` is the name under which the dashboard's state is kept; None for its path.

    ``callback`` is an access rule that takes an ASGI scope. ``gate`` stands for a mount's own middleware: only a
    request that has passed it, and whose scope says so, may see the mount. ``examples`` are the parameters of the pages
    that the index shows if the path has parameters.
    """

    authorize: Authorize | None = None
    meta: Meta | None = None
    warm: int = 0
    max_age: float = 3600
    fork: bool | None = None
    fork_spares: int = 2
    callback: ValidateCallback | None = None
    gate: object | None = None
    state: str | None = None
    examples: tuple[Mapping[str, str], ...] = ()

    @property
    def runs_ahead(self) -> bool:
        """Whether notebooks run before their visitors come."""
        return self.fork is True or self.warm > 0
