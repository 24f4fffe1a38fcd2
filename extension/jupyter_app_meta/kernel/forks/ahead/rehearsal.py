"""What a child does once before its visitor is there, so that the visitor does not wait for it.

1. A child has its template's memory, and the system copies each page of it when the child first writes there. Python
   counts references, so to use an object is to write. Whatever runs again soon is therefore run once here: it reads a
   claim, and packs a message. The results are thrown away.
2. Nothing here is the notebook's: none of its code runs, and none of its objects is asked for anything.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from ipykernel.iostream import OutStream

from .... import wire
from ....datastructures import URL, Cookies, Headers, QueryParams
from ....model import AppMeta, HTTPRequest, SessionInfo, User
from ..sockets import frames

if TYPE_CHECKING:
    from ..process import Process


@cache
def sample() -> str:
    """Return the payload of a claim, with some of everything."""
    url, pairs = "http://localhost:8888/page", [("name", "value"), ("other", "value")]
    request = HTTPRequest(
        method="GET",
        url=URL(f"{url}?name=value&other=value"),
        base_url=URL("http://localhost:8888/"),
        headers=Headers([("host", "localhost"), ("accept", "text/html"), ("accept-language", "en"), *pairs]),
        query_params=QueryParams(pairs),
        path_params={"name": "value"},
        cookies=Cookies(pairs),
        user=User({"username": "visitor", "name": "Visitor", "is_authenticated": False, "groups": []}),
        via="page",
    )
    return wire.encode(AppMeta(request, "run", SessionInfo(kernel_id="0", path="page.ipynb")), claim="given")


def rehearse(process: Process) -> None:
    """Do once what each visit does."""
    with suppress(Exception):  # the error would be one of the cell that asks
        _read_claim(process.app.session.key)
        _pack_message(process.app)
        _print_nothing()


def _read_claim(secret: bytes) -> None:
    key, ids = wire.derive_key(secret), ("0", wire.CLAIM_TYPE)
    assert key is not None
    payload = wire.verify(key, *ids, wire.Signer(key, sample()).stamp(*ids))
    wire.claim(payload)
    wire.decode(payload)


def _pack_message(app: Any) -> None:
    session, parent = app.session, app.kernel.get_parent()
    for kind, content in (("stream", {"name": "stdout", "text": " "}), ("execute_reply", {"status": "ok"})):
        message = session.msg(kind, content, parent)
        frames.encode(frames.IOPUB, session.serialize(message, b"topic"))


def _print_nothing() -> None:
    """Nothing is sent, but the thread that would send it begins."""
    if type(sys.stdout) is OutStream:
        sys.stdout.write("")
