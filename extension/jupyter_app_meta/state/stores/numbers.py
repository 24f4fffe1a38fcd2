"""Addition on the JSON text of a number: the one place where a store looks into a text."""

from __future__ import annotations

import json
import math


def added(key: str, text: str | None, amount: float) -> str:
    """Return the text of the sum. Ints stay exact whatever their size; with a float the sum is a float."""
    number = 0 if text is None else _number(key, text)
    total = number + amount
    if isinstance(total, float) and not math.isfinite(total):
        raise OverflowError(f"add({key!r}): the sum is not a finite number.")
    return json.dumps(total)


def _number(key: str, text: str) -> int | float:
    value = json.loads(text)
    if type(value) in (int, float):
        assert isinstance(value, int | float)
        return value
    raise TypeError(f"add({key!r}) needs a number, and the value is a {type(value).__name__}: set a number first.")
