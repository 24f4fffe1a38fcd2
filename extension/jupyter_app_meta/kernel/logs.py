"""Keeps stamps out of the kernel's log: ipykernel logs a whole message that it cannot handle."""

from __future__ import annotations

import logging
from typing import Any

from .. import wire
from ..datastructures import MASK


def hide(record: logging.LogRecord) -> bool:
    """Put a mask in the place of each stamp that a record is about to show; a logging filter."""
    args = record.args
    record.args = tuple(map(_masked, args)) if isinstance(args, tuple) else _masked(args)
    return True


def _masked(value: Any) -> Any:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict) or wire.FIELD not in metadata:
        return value
    return {**value, "metadata": {**metadata, wire.FIELD: MASK}}
