"""Dashboards inside an ASGI application: the tornado application behind ``scope``, ``receive`` and ``send``."""
