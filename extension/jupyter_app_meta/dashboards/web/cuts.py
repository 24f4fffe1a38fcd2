"""Long URLs for the log: they are cut before they are judged, because judging takes time. Pure, no I/O.

1. A value that is cut in the middle is masked as a whole, because half a credential does not look like one.
2. A cut URL may have lost the ``code`` beside its ``state``, so ``state`` counts as a credential in it.
"""

from __future__ import annotations

from collections.abc import Collection

from ...policy import urls

JUDGED = 4096
"""How many characters of a URL are judged."""

MASK = "***"


def without_secrets(url: str, secret: Collection[str] = ()) -> str:
    """Return the beginning of a URL without credentials."""
    if len(url) <= JUDGED:
        return urls.without_secrets(url, secret)
    return urls.without_secrets(cut(url), (*secret, "state")) + "…"


def cut(url: str) -> str:
    """Return the beginning of a long URL. The value, name or segment in which it is cut is masked."""
    head = url[:JUDGED]
    path, mark, query = head.partition("?")
    if not mark:
        return path[: path.rfind("/") + 1] + MASK
    whole, _, last = query.rpartition("&")
    name, assigns, _ = last.partition("=")
    kept = f"{name}={MASK}" if assigns else MASK
    return f"{path}?{whole}&{kept}" if whole else f"{path}?{kept}"
