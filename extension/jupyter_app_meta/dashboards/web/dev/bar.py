"""The bar below a page of ``serve --dev``: the author chooses user, groups, query and a header. And its script."""

from __future__ import annotations

import json

from ....providers import made_up
from ....providers.made_up import COOKIE, MadeUpIdentityProvider
from ..base import Handler


def is_shown(handler: Handler) -> bool:
    """Whether the server makes up its visitors."""
    return isinstance(handler.identity_provider, MadeUpIdentityProvider)


def html(handler: Handler, kernel_id: str) -> str:
    """Return the bar, for the end of a page; empty on every other server."""
    provider = handler.identity_provider
    if not isinstance(provider, MadeUpIdentityProvider):
        return ""
    user = handler.current_user
    known = None if user is None or user.is_anonymous else user
    told = {"cookie": COOKIE, "base": handler.base_url, "kernel": kernel_id, "people": provider.people}
    return handler.shown(
        "dev.html",
        user=known.username if known else "",
        groups=", ".join(known.groups) if known else "",
        query=handler.request.query,
        header=made_up.header(handler),
        people=list(provider.people),
        told=json.dumps(told).replace("<", "\\u003c"),
    )
