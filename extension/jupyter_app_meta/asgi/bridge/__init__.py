"""The tornado application behind ``scope``, ``receive`` and ``send``: one request, or one socket, from start to end.

A module belongs here if it turns ASGI messages into what tornado knows, or back. It knows no dashboard and no visitor.
"""

from .exchange import Limits, http, websocket

__all__ = ["Limits", "http", "websocket"]
