"""When a page ends: as it is hidden for good, and not with every link that might have led away.

Voila's script closes its kernel at ``beforeunload``, which links to mail and downloads cause too, and which mobile
browsers leave out. Ours is the first script of each page and has that listener, no other, called at ``pagehide``.
A page that the browser had kept, and shows again, has no kernel any more: it is loaded anew.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

SCRIPT = """<script>
(() => {
  const listen = window.addEventListener;
  window.addEventListener = function (type, listener, ...options) {
    const ends = type === "beforeunload" && String(listener).includes("voila/api/shutdown");
    return listen.call(this ?? window, ends ? "pagehide" : type, listener, ...options);
  };
  listen.call(window, "pageshow", (event) => event.persisted && location.reload());
})();
</script>
"""

_head = re.compile(r"<head(?:\s[^>]*)?>", re.IGNORECASE)


async def added(pieces: AsyncIterator[tuple[str, object]]) -> AsyncIterator[str]:
    """Yield the pieces of a page, with our script at the beginning of its head."""
    sought = True
    async for piece, _ in pieces:
        head = _head.search(piece) if sought else None
        sought = sought and not head and "<body" not in piece  # what looks like one later on is the author's
        if head:
            yield f"{piece[: head.end()]}\n{SCRIPT}{piece[head.end() :]}"
        else:
            yield piece
