"""State in a SQL database, by SQLAlchemy. A module belongs here if it knows SQLAlchemy or PostgreSQL."""

from .store import Sql

__all__ = ["Sql"]
