"""A lifespan around all requests: what is entered before them, how they end, and how the server is stopped.

A module belongs here if it has to do with the beginning and the end of a server. It knows no dashboard.
"""

from .around import Within, needs_asyncio, within
from .factories import AppFactory, entered

__all__ = ["AppFactory", "Within", "entered", "needs_asyncio", "within"]
