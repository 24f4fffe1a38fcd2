"""State in Redis. A module belongs here if it knows Redis."""

from .store import Redis

__all__ = ["Redis"]
