"""The messages on a kernel's control channel with which it asks for stored state.

    kernel → server  REQUEST  to the ZMQ identity of the server's link, which the grant names
    server → kernel  REPLY, EVENT  with a stamp whose payload is LINK

1. A kernel sends nothing until its code asks for state.
2. The server makes LINK stamps only for messages of its own. A browser's stamp is always replaced, so a browser cannot
   answer in the server's place.
3. A link's name ends with how many milliseconds a kernel waits for an answer.
"""

from __future__ import annotations

import base64
import json

PREFIX = "app_meta_"
"""How the types of this package's own messages begin. Browsers may not send them."""

REQUEST = "app_meta_state_request"
REPLY = "app_meta_state_reply"
EVENT = "app_meta_state_event"
LINK = '{"link":"1.0"}'

PATIENCE = 5.0
"""Seconds that a kernel waits if the link's name does not say."""


def link_name(random: str, patience: float) -> str:
    """Return the name of a link, whose kernel waits for ``patience`` seconds."""
    return f"{random}-{round(patience * 1000)}"


def link_of(grant: str) -> tuple[str, float]:
    """Return the name of the link in a grant, and for how many seconds to wait; raise ValueError for any other text."""
    body = grant.partition(".")[0]
    name = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["l"]
    if not isinstance(name, str):
        raise ValueError("a grant without a link")
    patience = name.rpartition("-")[2]
    return name, int(patience) / 1000 if patience.isdecimal() else PATIENCE
