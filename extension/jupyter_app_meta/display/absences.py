"""Why a request lacks an item: the sentence that says so, and which option opens it.

Visitors choose the names in a sentence, so each name is on one line, and without characters that
cannot be seen or that reverse the direction of the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from ..errors import UnknownField
from ..policy.remedies import remedy

CLIP = 120
MOST_NAMES = 24

TRANSPORT = frozenset(
    f"headers.{name}"
    for name in """
    accept-encoding age cache-control connection content-length content-type cookie expect forwarded if-modified-since
    if-none-match keep-alive max-forwards pragma priority proxy-connection range set-cookie te trailer transfer-encoding
    upgrade upgrade-insecure-requests via x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-prefix
    x-forwarded-proto x-forwarded-protocol x-forwarded-scheme x-forwarded-server x-forwarded-ssl x-real-ip
    x-request-start x-scheme
    """.split()
)
"""Headers of the connection. Anything that they say about the visitor is in other fields too (cookies, client, url)."""


def visible(value: object, clip: int = CLIP) -> str:
    """Return the text on one line, not too long, with each character that cannot be seen spelled out."""
    line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(value))
    return line if len(line) <= clip else f"{line[: clip - 1]}…"


def refusal(sentence: str) -> UnknownField:
    """Return an error that IPython shows as one line, without a traceback."""
    error = UnknownField(sentence)
    line = f"{type(error).__name__}: {error}"
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]  # IPython's protocol
    return error


def unknown(whole: str, name: str, names: Sequence[str]) -> str:
    """Return the sentence that says which names a mapping has instead of the unknown one."""
    near = get_close_matches(name, names, 1)
    hint = f" Did you mean {visible(near[0])}?" if near else ""
    listed = [visible(known) for known in names[:MOST_NAMES]]
    more = [f"and {len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    return f"{whole} has no '{visible(name)}'.{hint} It has: {', '.join(listed + more) or 'nothing'}."


def missing(
    kind: str, name: object, names: Sequence[str], redacted: Sequence[str] = (), truncated: Sequence[str] = ()
) -> str:
    """Return the sentence that says why a request has no such item, and which option opens a withheld one."""
    wanted = str(name).lower() if kind == "headers" else str(name)
    item = f"{kind}.{wanted}".replace("query_params.", "query.", 1)  # as ``redacted`` has it
    if item in (*redacted, *truncated):
        return absent(item, redacted)
    return unknown(kind, wanted, names)


def absent(item: str, redacted: Sequence[str]) -> str:
    """Return the sentence for an item that the visitor sent, but that did not cross."""
    if item not in tuple(redacted):
        return f"{visible(item)} was sent, but did not fit into the stamp."
    return f"{visible(item)} is withheld from notebooks. What opens it: {visible(remedy(item, redacted), 2 * CLIP)}."


def wanted(names: Iterable[str]) -> tuple[str, ...]:
    """Return the withheld names without the headers of the connection, which tell an author nothing."""
    return tuple(name for name in names if not name.startswith("headers.sec-websocket-") and name not in TRANSPORT)
