"""Notebooks that know who is looking: ``app_meta()`` is the request behind the running cell.

    from jupyter_app_meta import app_meta

    user = app_meta().require_user()
    print(f"Welcome {user['username']}!")

The names that can be imported from here are public, and importing them is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__
from .browser import Browser
from .datastructures import URL, Cookies, Headers, QueryParams
from .errors import (
    AppMetaError,
    BadStamp,
    Conflict,
    CookieRefused,
    NoPage,
    NotAuthenticated,
    NotClaimed,
    NotPicklable,
    NoVisitor,
    PageError,
    PolicyError,
    RedirectRefused,
    StateError,
    StateNotKept,
    StateUnavailable,
    TooLarge,
    UnknownField,
    UnknownItem,
    UnknownVersion,
    Unstorable,
)
from .kernel.context import app_meta
from .kernel.page.badge import UserBadge
from .kernel.visitors import session, shared, visitor
from .model import AppMeta, HTTPRequest, SessionInfo, User

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .asgi.builder import create_asgi_app as create_asgi_app

__all__ = [
    "URL",
    "AppMeta",
    "AppMetaError",
    "BadStamp",
    "Browser",
    "Conflict",
    "CookieRefused",
    "Cookies",
    "HTTPRequest",
    "Headers",
    "NoPage",
    "NoVisitor",
    "NotAuthenticated",
    "NotClaimed",
    "NotPicklable",
    "PageError",
    "PolicyError",
    "QueryParams",
    "RedirectRefused",
    "SessionInfo",
    "StateError",
    "StateNotKept",
    "StateUnavailable",
    "TooLarge",
    "UnknownField",
    "UnknownItem",
    "UnknownVersion",
    "Unstorable",
    "User",
    "UserBadge",
    "app_meta",
    "session",
    "shared",
    "visitor",
]


if not TYPE_CHECKING:  # for a type checker, every name would exist

    def __getattr__(name: str) -> Any:
        """Import ``create_asgi_app`` when it is used. It is not in ``__all__``, so that ``import *`` stays cheap."""
        if name == "create_asgi_app":
            from .asgi.builder import create_asgi_app

            return create_asgi_app
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """``%load_ext jupyter_app_meta``: the magics, and threads that know who started them."""
    from .kernel import extension

    extension.load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """``%unload_ext jupyter_app_meta``: undo what loading did."""
    from .kernel import extension

    extension.unload(shell)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell jupyter_server where the server half is."""
    from .server.app import AppMetaExtension

    return [{"module": "jupyter_app_meta", "app": AppMetaExtension}]
