"""State in one SQLite file. A module belongs here if it knows SQLite, or where its file may be."""

from .store import Sqlite

__all__ = ["Sqlite"]
