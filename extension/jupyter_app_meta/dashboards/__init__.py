"""Serving notebooks to visitors: ``jupyter app-meta serve``, and ``create_app`` for programs.

The way of a page:

    web ─ may they? ─▶ dashboard ─▶ runs.pool ─▶ runs.run ─▶ runs.kernel
     ▲                                              │
     └────────────── the page, piece by piece ◀─────┘      visits: whose kernel it is, and until when

========  =====================================================================================
runs      one notebook on one kernel for one visitor, and the kernels that run ahead
web       the web application, the only room that answers requests with tornado
hub       a service of JupyterHub
setup     what is checked, made and taken before the server serves
load      how much the server takes on, and who comes first
files     what lies on the deployer's disk, and which of it may be served
========  =====================================================================================

Here, above the rooms, are the values and decisions that they share: what is served, and to whom. Needs the
``dashboards`` extra. Kernels need nothing of this room.
"""

from __future__ import annotations

from ..errors import DashboardError
from . import needed as needed  # first: it says what the others miss
from .builder import Builder, create_app
from .web.application import Application

__all__ = ["Application", "Builder", "DashboardError", "create_app"]
