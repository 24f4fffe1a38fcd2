"""Keeps stamps out of the kernel's log: ipykernel logs each message that it cannot handle, with its metadata."""

from __future__ import annotations

import logging
from typing import Any

from .. import wire
from ..datastructures import MASK

UNREADABLE = "A record of the kernel's log could not be read, so it is left out."


def hide(record: logging.LogRecord) -> bool:
    """Mask each stamp that a log record is about to show. A logging filter."""
    args = record.args
    try:
        record.args = tuple(map(_masked, args)) if isinstance(args, tuple) else _masked(args)
    except Exception:  # code that logs must not fail, and a record that cannot be read may contain a stamp
        record.msg, record.args = UNREADABLE, ()
    return True


def _masked(value: Any) -> Any:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict) or wire.FIELD not in metadata:
        return value
    return {**value, "metadata": {**metadata, wire.FIELD: MASK}}
