"""State in a SQL database, by SQLAlchemy. A module belongs here if it knows SQLAlchemy, or one of its databases."""

from .dialects import refusal
from .store import Sql

__all__ = ["Sql", "refusal"]
