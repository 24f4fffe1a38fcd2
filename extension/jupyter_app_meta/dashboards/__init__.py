"""Serving notebooks to visitors: ``jupyter app-meta serve``, and ``create_app`` for programs.

The way of a page:

    handlers ─ may they? ─▶ dashboard ─▶ strategy ─▶ run ─▶ kernel
       ▲                                              │
       └────────────── the page, piece by piece ◀─────┘      visits: whose kernel it is, and until when

Needs the ``dashboards`` extra. Kernels need nothing of this room.
"""

from __future__ import annotations

from . import needed as needed  # first: it says what the others miss
from .application import Application
from .builder import Builder, create_app
from .routes import DashboardError

__all__ = ["Application", "Builder", "DashboardError", "create_app"]
