"""What values look like: the sheets of a notebook, and the sentences of failed lookups. Pure.

No other room below the kernel half shows a value. ``datastructures`` is beneath this room, and asks it late.
"""

from .absences import missing
from .sheets import bundle

__all__ = ["bundle", "missing"]
