"""Serving notebooks to visitors: ``jupyter app-meta serve``, and ``create_app`` for programs.

How a page is made:

    web ─ may they? ─▶ dashboard ─▶ runs.pool ─▶ runs.run ─▶ runs.kernel
     ▲                                              │
     └────────────── the page, piece by piece ◀─────┘      visits: whose kernel it is, and until when

========  =====================================================================================
runs      one notebook on one kernel for one visitor, and the kernels that run ahead
web       the web application, the only package that answers requests with tornado
hub       a service of JupyterHub
setup     what is checked, made and taken before the server serves
load      how much the server takes on, and who comes first
files     the deployer's files, and which of them may be served
========  =====================================================================================

The modules above these packages have the values and decisions that they share: what is served, and which visitors may
see it. They need the ``dashboards`` extra. Kernels do not need them.
"""

from __future__ import annotations

from ..errors import DashboardError
from . import needed as needed  # imported first, because its error says which package is missing
from .builder import Builder, create_app
from .web.application import Application

__all__ = ["Application", "Builder", "DashboardError", "create_app"]
