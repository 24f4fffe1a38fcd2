"""The types of ASGI, as Starlette names them, and those of what a deployer gives to ``create_asgi_app``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..server.hooks import ValidateCallback

__all__ = ["ASGIApp", "Message", "MiddlewareFactory", "Receive", "Scope", "Send", "User_", "ValidateCallback"]

User_ = Callable[[Scope], object | Awaitable[object]]
"""A function that returns a user in any form that ``scope["user"]`` may have; it may be async."""

MiddlewareFactory = Callable[[ASGIApp], ASGIApp]
"""A class of pure ASGI or Starlette middleware that needs nothing but the app, or a function that makes one."""
