"""The page of the running code's visitor: ``app_meta().browser``.

1. The server is asked at each use, for the page of this kernel. So the first cell already gets what the page's script
   says, and a callback what is so now.
2. What the browser says of itself is not part of the request, and is never a reason to believe who the visitor is.
"""

from __future__ import annotations

import weakref
from typing import Any

from ..browser import Browser
from ..errors import AppMetaError, NoPage, StateUnavailable
from ..model import AppMeta
from ..state.forms import Misunderstood
from ..state.paging import NO_PAGE, AskBrowser, PageOperation
from . import context
from .messages import this_kernel
from .state import asking

# By the id of what code under a fake sees, as for the fake's state.
_faked: dict[int, Browser] = {}


def browser_of(meta: AppMeta) -> Browser:
    """Return what is known of the browser that shows the page; nothing is known where no page is."""
    if meta.mode == "test":
        return _faked.get(id(meta), Browser())
    if meta.mode != "run":
        return Browser()
    try:
        return Browser.read(_asked(AskBrowser()))
    except (AppMetaError, Misunderstood, ValueError):
        return Browser()


def fake(meta: AppMeta, browser: Browser) -> None:
    """Let code that sees this value find this browser, as long as the value exists."""
    if id(meta) not in _faked:
        weakref.finalize(meta, _faked.pop, id(meta), None).atexit = False
    _faked[id(meta)] = browser


def _asked(operation: PageOperation) -> Any:
    """Return the server's answer to a question about the page of the running code; raises NoPage."""
    seen = context.seen()
    if seen.meta.mode != "run":
        raise NoPage(NO_PAGE)
    if seen.grant is None:
        raise StateUnavailable(
            "The server does not let kernels ask about pages: AppMetaExtension.state_url switches state off, or its "
            "release of jupyter-app-meta is older."
        )
    return asking.ask(this_kernel(), seen.grant, "shared", operation)
