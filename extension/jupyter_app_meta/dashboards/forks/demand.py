"""Whether a notebook's kernels are to be forked: because the deployer says so, or because its visitors come often.

1. If the deployer says so, there is a template from the start to the end.
2. If the deployer says nothing, there is one while a notebook is opened often: from the second page that is shown
   within ``IDLE`` seconds until that many seconds after the last one. No forks are made ahead, so that each
   kernel has a visitor.
3. Then only notebooks are forked that ask who is looking, and what they load before they ask is ``LONGEST`` seconds old
   at most: their authors may not know that it is loaded once for several visitors.
"""

from __future__ import annotations

import logging
import sys
import time

from ..gateway.specs import GatewaySpecs
from ..services import Services
from ..settings import Settings

IDLE = 300.0
"""Seconds without a visit after which a notebook that the deployer did not name has no template any more."""

LONGEST = 600.0
"""Seconds after which a template is replaced that the deployer did not ask for."""


class Demand:
    """How much a template is wanted, how long it is used, and how many forks are made ahead.

    ``is_named`` says that the deployer wants a template.
    """

    def __init__(self, settings: Settings) -> None:
        self.is_named = settings.fork is True
        self.max_age = settings.max_age if self.is_named else min(settings.max_age, LONGEST)
        self.spares = settings.fork_spares if self.is_named else 0
        self._last, self._is_frequent = float("-inf"), False

    @classmethod
    def of(cls, settings: Settings, services: Services) -> Demand | None:
        """Return the demand for a dashboard's template; None if there is none, or it could not be met."""
        is_possible = sys.platform == "linux" and not isinstance(services.specs, GatewaySpecs) and not settings.warm
        is_wanted = is_possible if settings.fork is None else settings.fork
        return cls(settings) if is_wanted else None

    def visited(self) -> None:
        """Note that a page of the notebook was shown."""
        now = time.monotonic()
        self._is_frequent, self._last = now - self._last < IDLE, now

    @property
    def is_there(self) -> bool:
        """Whether a template is wanted now."""
        return self.is_named or (self._is_frequent and time.monotonic() - self._last < IDLE)

    @property
    def level(self) -> int:
        """The level of a line in the log that says why there is no template."""
        return logging.WARNING if self.is_named else logging.INFO
