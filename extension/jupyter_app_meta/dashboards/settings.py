"""Per-path settings: access rule, additional request fields, warm kernels."""

from __future__ import annotations

from dataclasses import dataclass

from ..server.hooks import Authorize, Meta


@dataclass(frozen=True, slots=True)
class Settings:
    """The access rule, the function that adds request fields, how many warm kernels are kept, and how long."""

    authorize: Authorize | None = None
    meta: Meta | None = None
    warm: int = 0
    max_age: float = 3600
