"""What values look like: the sheets that a notebook shows, and the sentences of failed lookups. Pure.

Of the packages below the kernel half, only this one shows values. ``datastructures`` is a layer below, and imports it
late.
"""

from .absences import missing
from .sheets import bundle

__all__ = ["bundle", "missing"]
