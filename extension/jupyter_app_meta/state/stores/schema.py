"""The version of a store's layout: what older releases would misread raises the major number, additions the minor."""

from __future__ import annotations

from ...errors import PolicyError

SCHEMA = "1.0"
# Seconds that the mark of an erased scope stays, so that polls of other servers notice it.
TOMB = 24 * 3600.0


def check_schema(place: str, found: str) -> None:
    """Raise PolicyError if a newer release made the store."""
    major = found.partition(".")[0]
    if not (major.isdecimal() and int(major) <= int(SCHEMA.partition(".")[0])):
        raise PolicyError(
            "state_url",
            f"{place} has schema {found[:20]}, made by a newer release; this one reads {SCHEMA}. "
            "Upgrade jupyter-app-meta, or name another place.",
        )
