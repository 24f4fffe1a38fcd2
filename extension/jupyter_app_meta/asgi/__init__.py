"""Dashboards inside an ASGI application: the tornado application behind ``scope``, ``receive`` and ``send``.

``within``, ``run`` and ``transparent`` need no dashboard. Each name is loaded only when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import AsgiApp
    from .builder import AsgiBuilder, create_asgi_app
    from .contexts import make_transparent, transparent
    from .lifespan import within
    from .serve import run

__all__ = ["AsgiApp", "AsgiBuilder", "create_asgi_app", "make_transparent", "run", "transparent", "within"]

_HOMES = {
    "AsgiApp": "app",
    "AsgiBuilder": "builder",
    "create_asgi_app": "builder",
    "make_transparent": "contexts",
    "run": "serve",
    "transparent": "contexts",
    "within": "lifespan",
}
"""The module of each name."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
