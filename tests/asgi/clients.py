"""Starlette's client for tests, which runs an application's lifespan, each time on a loop of its own."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it prefers httpx2; with httpx it does the same
    from starlette.testclient import TestClient

__all__ = ["TestClient"]
