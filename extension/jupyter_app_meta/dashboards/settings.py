"""What a deployer says of one path."""

from __future__ import annotations

from dataclasses import dataclass

from ..server.hooks import Authorize, Meta


@dataclass(frozen=True, slots=True)
class Settings:
    """Who may see it, what is added to its requests, and how many kernels are kept ahead, for how many seconds."""

    authorize: Authorize | None = None
    meta: Meta | None = None
    warm: int = 0
    max_age: float = 3600
