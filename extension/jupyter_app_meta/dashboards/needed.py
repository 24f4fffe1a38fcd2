"""Importing this says in a sentence what is missing; what comes after it may import Voila."""

from __future__ import annotations

from ..requirements import require

require()
