"""Where a request is, below the place at which the application is mounted. Pure.

1. The route stays as the browser wrote it, percent-encoded, so that handlers see what tornado's own server would show
   them.
2. ``raw_path`` counts only if it decodes to ``path``, because middleware that rewrites a path leaves ``raw_path`` as it
   was.
3. ``path`` begins with ``root_path``, with one exception: if ``FastAPI(root_path=…)`` is behind a proxy that strips its
   prefix, only ``root_path`` has the prefix. Then the mounts' own part counts, which is the rest of ``root_path`` after
   ``app_root_path``.
4. The base is written into pages, scripts and cookies, and a mount's parameters are the visitor's text. So the base has
   no character that means something there, and never begins with two slashes, which would name another host. In every
   spelling of a mount (``/%64ash``), its base is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes

PLAIN = "~!$&'()*+,;=:@"
"""The characters of a route that are not encoded, in addition to letters, digits, ``_``, ``.`` and ``-``."""

KEPT = "@:+=,!$*~"
"""The characters that a base may have in addition to letters, digits, ``_``, ``.``, ``-`` and slashes."""


class Place(NamedTuple):
    """Where a request is: ``base`` begins and ends with a slash, ``route`` begins with one.

    ``base + route[1:]`` is the path that the browser asked for, with one spelling of its mount. ``route`` is empty only
    for a mount's own path without its slash, which must be redirected to the base.
    """

    base: str
    route: str


def split(scope: Mapping[str, Any]) -> Place:
    """Return where the request of an ``http`` or ``websocket`` scope is. Never raises.

    If the slash behind a mount is encoded (``/dash%2Fwho``), it stays encoded in the route (``/%2Fwho``), so that no
    handler takes it for another path.
    """
    root, own = _roots(scope)
    head, rest = _divided(str(scope.get("path") or "/"), root, own)
    raw = _raw(scope)
    for seen in (head, root):
        if raw is not None and unquote(raw) == seen + rest:
            end = _end(raw, len(seen))
            if end is None:
                return Place(_base(_quoted(root)), f"/%2F{_spelled(rest[1:])}")
            return Place(_base(_told(raw[:end], seen, root, own)), raw[end:])
    return Place(_base(_quoted(root)), _spelled(rest))


def _roots(scope: Mapping[str, Any]) -> tuple[str, str]:
    """Return the whole root path, and the part of it that Starlette's mounts have added."""
    root = str(scope.get("root_path") or "").rstrip("/")
    outer = scope.get("app_root_path")
    if not isinstance(outer, str):
        return root, ""
    outer = outer.rstrip("/")
    return root, root[len(outer) :] if _is_within(root, outer) else root


def _divided(path: str, root: str, own: str) -> tuple[str, str]:
    """Return the mount's part of a path, and the rest."""
    for head in (root, own):
        if head and _is_within(path, head):
            return head, path[len(head) :]
    return "", path if path.startswith("/") else f"/{path}"


def _is_within(path: str, head: str) -> bool:
    return path == head or path.startswith(f"{head}/")


def _raw(scope: Mapping[str, Any]) -> str | None:
    """Return the path as the browser wrote it. Some servers leave it out, or append the query."""
    raw = scope.get("raw_path")
    return raw.decode("latin-1").partition("?")[0] if isinstance(raw, bytes) else None


def _end(raw: str, length: int) -> int | None:
    """Return where the first ``length`` decoded characters end; None if the slash behind them is encoded.

    It needs one pass, because a stranger may write a path with any number of slashes.
    """
    decoded = taken = -1
    for segment in raw.split("/"):
        decoded += len(unquote(segment)) + 1
        taken += len(segment) + 1
        if decoded >= length:
            break
    return taken if decoded == length else None


def _told(raw: str, seen: str, root: str, own: str) -> str:
    """Return the base as the browser writes it; ``raw`` is the browser's spelling of the part ``seen``."""
    if seen == root:
        return raw
    return _quoted(root.removesuffix(own)) + raw if seen == own else _quoted(root)


def _base(raw: str) -> str:
    """Return the base of a path that a browser wrote. An encoded slash stays encoded."""
    decoded = (unquote_to_bytes(segment.encode("latin-1")) for segment in raw.strip("/").split("/"))
    inner = "/".join(quote(segment, safe=KEPT) for segment in decoded)
    return f"/{inner}/" if inner else "/"


def _quoted(text: str) -> str:
    return quote(text, safe=f"/{KEPT}", errors="replace")


def _spelled(text: str) -> str:
    """Return a route whose spelling is not known, in the spelling to which a page's other spellings are redirected."""
    return quote(text, safe=f"/{PLAIN}", errors="replace")
