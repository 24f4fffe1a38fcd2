"""A made-up visitor on the way into a kernel: the arguments of ``fake_request`` as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..kernel.fakes import fake_request

PAIRS = ("headers", "cookies", "query")


def arguments(visitor: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of ``fake_request`` that make the same request and can be sent; raises TypeError."""
    request = fake_request(**visitor).meta.request  # its errors name the argument
    assert request is not None
    plain = {name: given for name, given in visitor.items() if given is not None}
    found = {"headers": request.headers, "cookies": request.cookies, "query": request.query_params}
    for name in PAIRS:
        if name in plain and not isinstance(plain[name], str):
            plain[name] = _pairs(found[name])
    sent: dict[str, Any] = json.loads(json.dumps(plain, default=_plain))
    return sent


def _pairs(found: Any) -> list[tuple[str, str]]:
    return found.multi_items() if hasattr(found, "multi_items") else list(found.items())


def _plain(value: object) -> Any:
    """Return a value that JSON does not have in a form that it has; raises TypeError."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    raise TypeError(f"A made-up visitor cannot have {type(value).__name__} here: give a string, a number or a list.")
