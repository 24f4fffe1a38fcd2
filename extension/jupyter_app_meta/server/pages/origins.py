"""Origins: each kernel's page and the name of its open notebook. They are bounded, and forgotten with the kernel.

1. A page that the server renders (a dashboard) belongs to the kernel that its handler started, as long as that kernel
   exists.
2. Any other page is known from the Referer of the calls that open or look up a Jupyter session. It belongs to a kernel
   *and* an identity, as long as a tab of that identity is connected or may reconnect (``tabs``).
3. If two pages are known for one pair, the page is unknown.
4. Each change raises the kernel's version, so that connections notice that their stamps are stale.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...policy import Page
from ...state.paging.addresses import with_query
from .tabs import Tabs

MAX_IDENTITIES = 1000


@dataclass(slots=True)
class _Kernel:
    """What is known of one kernel."""

    version: int = 0
    opener: weakref.ref[Any] | None = None
    rendered: tuple[str, Page] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None
    tabs: dict[str, Tabs] = field(default_factory=dict)
    sessions: dict[str, str | None] = field(default_factory=dict)


class Origins:
    """What is known of each kernel; ``alive`` says whether the kernel with an id still exists."""

    def __init__(self, alive: Callable[[str], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._alive, self._clock = alive, clock
        self._kernels: dict[str, _Kernel] = {}

    def __len__(self) -> int:
        return len(self._kernels)

    def render(self, kernel_id: str, identity: str, page: Page, opener: object = None, path: str | None = None) -> None:
        """Note that a page (of the notebook ``path``) is rendered with a kernel.

        The opener is the handler that is about to start the kernel; None if the kernel already runs.
        """
        self._prune()
        kernel = self._touch(kernel_id)
        kernel.rendered = (identity, page)
        kernel.opener = weakref.ref(opener) if opener else None
        kernel.path = path

    def rewrite(self, kernel_id: str, values: Mapping[str, tuple[str, ...]]) -> None:
        """Note that a rendered page has changed its own query."""
        kernel = self._kernels.get(kernel_id)
        if kernel and kernel.rendered:
            identity, page = kernel.rendered
            kernel.rendered = identity, replace(page, url=with_query(page.url, values))
            kernel.version += 1

    def add_meta(self, kernel_id: str, meta: Mapping[str, Any]) -> None:
        """Note the deployer's own fields of the page that is rendered with a kernel."""
        if kernel_id in self._kernels:
            self._kernels[kernel_id].meta = meta

    def meta(self, kernel_id: str, identity: str) -> Mapping[str, Any]:
        """Return the deployer's own fields of the page that a kernel renders; an empty mapping for another identity."""
        kernel = self._kernels.get(kernel_id, _Kernel())
        return kernel.meta if kernel.rendered and kernel.rendered[0] == identity else {}

    def see(self, kernel_id: str, identity: str, page: Page, *, stripped: bool = False) -> None:
        """Note that an identity opened or looked up the kernel's session from a page.

        A ``stripped`` page is an address that has lost its query.
        """
        kernel = self._kernels.setdefault(kernel_id, _Kernel())
        if tabs := self._tabs(kernel, identity):
            tabs.see(page.url, self._clock(), stripped=stripped)
            self._settle(kernel, tabs)

    def name(self, kernel_id: str, session_id: str, path: str | None) -> None:
        """Note the Jupyter session that a kernel belongs to, and its path."""
        known = self._kernels.get(kernel_id)
        if known is not None and known.sessions.get(session_id, "") == path:
            return
        self._prune()
        kernel = self._touch(kernel_id)
        if session_id in kernel.sessions:
            for tabs in kernel.tabs.values():
                tabs.rename()
        kernel.sessions[session_id] = path

    def connect(self, kernel_id: str, identity: str, client: str = "") -> None:
        """Note a new connection of a client; its name is that of one tab."""
        if kernel_id not in self._kernels:
            self._prune()  # also here: clients without sessions never call `name`
        kernel = self._kernels.setdefault(kernel_id, _Kernel())
        if tabs := self._tabs(kernel, identity):
            tabs.connect(client, self._clock())
            self._settle(kernel, tabs)

    def disconnect(self, kernel_id: str, identity: str, client: str = "") -> None:
        """Note the end of a connection."""
        kernel = self._kernels.get(kernel_id)
        tabs = kernel.tabs.get(identity) if kernel else None
        if kernel and tabs:
            tabs.disconnect(client, self._clock())
            self._settle(kernel, tabs)

    def _tabs(self, kernel: _Kernel, identity: str) -> Tabs | None:
        """Return an identity's tabs; None if there are too many identities already."""
        if identity not in kernel.tabs:
            if len(kernel.tabs) >= MAX_IDENTITIES:
                now = self._clock()
                kernel.tabs = {name: tabs for name, tabs in kernel.tabs.items() if not tabs.is_gone(now)}
            if len(kernel.tabs) >= MAX_IDENTITIES:
                return None
        return kernel.tabs.setdefault(identity, Tabs())

    def _settle(self, kernel: _Kernel, tabs: Tabs) -> None:
        if tabs.settle(self._clock()):
            kernel.version += 1

    def page(self, kernel_id: str, identity: str) -> Page | None:
        """Return the page that this identity looks at; None if it is unknown."""
        kernel = self._kernels.get(kernel_id, _Kernel())
        tabs, rendered = kernel.tabs.get(identity), kernel.rendered
        if rendered is None or rendered[0] != identity:
            return Page(tabs.known) if tabs and tabs.known else None
        return rendered[1] if tabs is None or tabs.has_no_page else None

    def opener(self, kernel_id: str) -> object | None:
        """Return the handler that renders with this kernel, as long as the handler exists."""
        reference = self._kernels.get(kernel_id, _Kernel()).opener
        return reference() if reference else None

    def mode(self, kernel_id: str) -> Literal["edit", "run"]:
        """Return ``"run"`` for a kernel that the server started to render a page."""
        return "run" if self._kernels.get(kernel_id, _Kernel()).rendered else "edit"

    def session(self, kernel_id: str) -> Mapping[str, str | None]:
        """Return the session_id and path of a kernel with one session, or the path of the notebook that it renders."""
        kernel = self._kernels.get(kernel_id, _Kernel())
        if len(kernel.sessions) != 1:
            return {"path": None if kernel.sessions else kernel.path}
        session_id, path = next(iter(kernel.sessions.items()))
        return {"session_id": session_id, "path": path}

    def version(self, kernel_id: str) -> int:
        """Return a number that changes with what is known of a kernel."""
        kernel = self._kernels.get(kernel_id)
        return kernel.version if kernel else 0

    def _touch(self, kernel_id: str) -> _Kernel:
        kernel = self._kernels.setdefault(kernel_id, _Kernel())
        kernel.version += 1
        return kernel

    def _prune(self) -> None:
        """Forget kernels that have ended. A kernel that a handler is just starting is kept."""
        for kernel_id in list(self._kernels):
            if not self._alive(kernel_id) and self.opener(kernel_id) is None:
                del self._kernels[kernel_id]
