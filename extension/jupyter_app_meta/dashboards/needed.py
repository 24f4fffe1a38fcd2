"""Importing this module raises an error that says what to install, unless Voila can be imported."""

from __future__ import annotations

from ..requirements import require

require()
