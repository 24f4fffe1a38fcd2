"""What a server says of Alice: some values cross, some are withheld, and each value says SECRET."""

from __future__ import annotations

from starlette.datastructures import Address

from jupyter_app_meta.model import AppMeta, SessionInfo, User
from jupyter_app_meta.policy import Page, Policy, RawRequest

USER = User(
    is_authenticated=True,
    username="alice",
    name="Alice Liddell",
    kind="user",
    groups=("editors", "finance"),
    is_owner=True,
    assurance="hub",
)
RAW = RawRequest(
    method="GET",
    url="http://hub/user/alice/api/kernels/k1/channels?session_id=s",
    base_url="http://hub/user/alice/",
    headers=(("Accept-Language", "SECRET-HEADER"), ("Authorization", "SECRET-TOKEN"), ("Referer", "SECRET-TOKEN")),
    cookies=(("theme", "SECRET-COOKIE"), ("jupyterhub-session-id", "SECRET-TOKEN"), ("sid", "SECRET-TOKEN")),
    user=USER,
    client=Address("203.0.113.9", 1),
)
PAGE = Page("http://hub/user/alice/lab/tree/sales.ipynb?region=SECRET-QUERY&token=SECRET-TOKEN")
SESSION = SessionInfo("tab-1", "session-1", "kernel-1", "sales.ipynb")
ALICE = AppMeta(Policy().request(RAW, PAGE), "edit", SESSION)
