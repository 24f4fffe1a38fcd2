"""``api/app-meta/me/state``: what is stored about the visitor who asks, and its erasure.

The visitor is who the server knows the visitor to be; nothing in the request can name another. What is shared by all
visitors of a dashboard belongs to no single visitor, so it is neither told nor erased.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from ...errors import StateUnavailable
from ...state import keeping
from ...state.keys import AUDIENCES, Identity, Way
from ...state.stores.base import Store, Where
from .. import capture, identity
from ..context import StampingContext
from ..links.kept import Kept
from ..stores import beside

T = TypeVar("T")

PATH = "api/app-meta/me/state"
LINES = 200
"""How many entries are read at once."""


class Mine(JupyterHandler):
    """The visitor's own state, on all dashboards of the server or in all its notebooks."""

    way: Way = "run"

    @web.authenticated
    async def get(self) -> None:
        """Answer with one JSON object for each entry, as ``jupyter app-meta state export`` writes them.

        They are the lines of a text, or one JSON list for a client that accepts ``application/json``.
        """
        kept, own = self._own()
        self.set_header("Content-Type", "application/json" if self._is_list else "application/x-ndjson")
        self.set_header("Cache-Control", "no-store")
        assert self.xsrf_token  # gives the browser its cookie: who sees this may want to erase it
        lines = _listed(_lines(kept.store, own)) if self._is_list else (f"{line}\n" for line in _lines(kept.store, own))
        while batch := await self._batch(kept.store, lines):
            self.write(batch)
            await self.flush()

    @web.authenticated
    async def delete(self) -> None:
        """Erase it. What the visitor's open pages store from now on is stored anew."""
        if not self.check_origin():
            raise web.HTTPError(403)
        kept, own = self._own()
        await self._asked(kept.store, lambda: _forget(kept, own))
        self.set_status(204)

    @property
    def _is_list(self) -> bool:
        return "application/json" in self.request.headers.get("Accept", "").lower()

    def _own(self) -> tuple[Kept, Identity]:
        """Return the store, and whose state is meant; raises HTTPError where there is none."""
        context: StampingContext = self.settings["app_meta_context"]
        kept: Kept | None = self.settings.get("app_meta_state")
        if kept is None:
            raise web.HTTPError(404, "state_url is off, so nothing is stored")
        visitor = identity.visitor(self, context.policy)
        own = kept.grants.whose(capture.raw_request(self, visitor.user), visitor.key, self.way)
        if own is None:
            raise web.HTTPError(403)
        return kept, own

    async def _batch(self, store: Store, lines: Iterator[str]) -> str:
        """Return the next lines; a last one says so if the store fails after others were sent."""
        try:
            return await self._asked(store, lambda: "".join(islice(lines, LINES)))
        except web.HTTPError as error:
            if not self._headers_written:
                raise
            told = json.dumps({"error": f"{error.log_message}, so this is not all"})
            return f",\n{told}]\n" if self._is_list else f"{told}\n"

    async def _asked(self, store: Store, question: Callable[[], T]) -> T:
        if beside.is_busy(store):
            raise web.HTTPError(503, "too many visitors ask for their state")
        try:
            return await beside.asked(store, question)
        except StateUnavailable:
            self.set_header("Retry-After", "5")
            raise web.HTTPError(503, "the store of state does not answer") from None

    def get_login_url(self) -> str:
        """Refuse, because no program follows a redirect to a login."""
        raise web.HTTPError(403)


def _lines(store: Store, own: Identity) -> Iterator[str]:
    rows = store.export(Where(identity=own.text))
    return (keeping.line(row) for row in rows if row.scope.audience in AUDIENCES)


def _listed(lines: Iterator[str]) -> Iterator[str]:
    """Yield the parts of a JSON list, so that it is sent as it is read."""
    yield "["
    for number, line in enumerate(lines):
        yield f",\n{line}" if number else line
    yield "]\n"


def _forget(kept: Kept, own: Identity) -> None:
    kept.service.revoke(own)
    for audience in AUDIENCES:
        kept.store.erase(Where(audience, identity=own.text))
    kept.service.forgotten(own)
