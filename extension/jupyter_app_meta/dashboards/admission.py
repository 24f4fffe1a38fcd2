"""Who may see a page: the decision, as a value. The host that serves the page asks here, and sends the answer itself.

1. The deployer's verdict comes first, and the notebook is looked up only for a visitor who passed. So a refused visitor
   gets 403 whether or not the notebook exists, and the answer does not tell which.
2. Only a path that could never mean a notebook is refused earlier, with 404, which says nothing about any notebook.
3. A kernel belongs to the visitor who opened its page. Each later request for it gets a verdict of its own. Any other
   visitor gets 403, whether or not the kernel exists.
4. In doubt the visitor is refused. Nothing here starts a kernel or writes an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

from ..model import HTTPRequest
from ..policy import Page, RawRequest
from ..server.identity import Visitor
from . import hooks
from .dashboard import Dashboard
from .services import Services
from .settings import GATE, Settings
from .sources import Entry, Source
from .visits import Asked, Visit

RETRY_AFTER = 10
"""After this many seconds, a visitor who was refused for lack of room may try again."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The visitor may see the page: the dashboard that opens it, and the visit that may begin."""

    dashboard: Dashboard
    visit: Visit


@dataclass(frozen=True, slots=True)
class Refused:
    """The visitor gets an error page with this status, and may try again after ``retry_after`` seconds, if not None."""

    status: int
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """The visitor is sent to another URL."""

    url: str


async def admit(
    services: Services, source: Source, params: dict[str, str], asked: Asked
) -> Admitted | Refused | Redirect:
    """Return whether a visitor may see the page with these parameters."""
    params, settings = source.canonical(params), source.settings
    if not source.is_plain(params):
        return Refused(404)
    page = page_of(asked.raw, asked.url, params)
    verdict = await _verdict(services, settings, asked.raw, page)
    if isinstance(verdict, str):
        return Redirect(verdict)
    if verdict is not None:
        return verdict
    dashboard = source.find(params)  # it cannot be earlier, because 403 must not depend on it
    if dashboard is None:
        return Refused(404)
    meta: Mapping[str, Any] = {}
    if settings.meta is not None:
        meta = await hooks.meta_of(settings.meta, view(services, asked.raw, page), services.log)
    raw = replace(asked.raw, meta=meta, scope=None)  # the visit lasts longer than the host's request
    return Admitted(dashboard, Visit(dashboard.notebook, settings, replace(asked, raw=raw), page))


def without_room(services: Services, visit: Visit) -> Refused | None:
    """Return the refusal of a visit for which there is no room now; None if there is room."""
    status = services.occupancy.refusal(visit)
    return for_now(status) if status else None


def for_now(status: int) -> Refused:
    """Return the refusal of a visitor who may try again soon."""
    return Refused(status, RETRY_AFTER)


async def owned(services: Services, kernel_id: str, visitor: Visitor, raw: RawRequest) -> Visit | Refused:
    """Return the visit that has this kernel, if it is this visitor's and the visitor may still see its page.

    The kernel is asked for below the base URL of its page. Below another one, a host may have other rules.
    """
    visit = services.visits.of(kernel_id, visitor)
    if visit is None or _base(visit.asked.raw) != _base(raw):
        return Refused(403)
    return visit if await may_see(services, visit.settings, raw, visit.page) else Refused(403)


def _base(raw: RawRequest) -> list[str]:
    """Return the path of a request's base URL. The host's name may differ between two requests of one page."""
    return raw.base_url.split("/", 3)[3:]


async def may_see(services: Services, settings: Settings, raw: RawRequest, page: Page) -> bool:
    """Return whether a visitor may see a page. A visitor who would be redirected may not."""
    return await _verdict(services, settings, raw, page) is None


async def _verdict(services: Services, settings: Settings, raw: RawRequest, page: Page) -> Refused | str | None:
    """Return why a visitor may not see a page, or where to send the visitor; None if the visitor may see it."""
    scope = raw.scope if isinstance(raw.scope, MutableMapping) else None
    if settings.gate is not None and (scope is None or scope.get(GATE) is not settings.gate):
        return Refused(403)
    if settings.callback is not None:
        status = await hooks.refusal(settings.callback, page.path_params.get("name", ""), scope, services.log)
        return Refused(status) if status else None
    if settings.authorize is None:
        return None
    verdict = await hooks.verdict(settings.authorize, view(services, raw, page), services.log)
    return None if verdict is True else verdict or Refused(403)


async def may_see_one(
    services: Services, settings: Settings, raw: RawRequest, pages: Iterable[tuple[str, dict[str, str]]]
) -> bool:
    """Return whether a visitor may see one of these pages, which are given by URL and parameters."""
    for url, params in pages:
        if await may_see(services, settings, raw, page_of(raw, url, params)):
            return True
    return False


async def listed(services: Services, raw: RawRequest, found: Iterable[tuple[Entry, str]]) -> list[tuple[Entry, str]]:
    """Return the entries of an index (each with its URL) that a visitor may see."""
    return [
        (entry, url)
        for entry, url in found
        if await may_see(services, entry.settings, raw, page_of(raw, url, entry.params))
    ]


def page_of(raw: RawRequest, url: str, params: Mapping[str, str]) -> Page:
    """Return a page with the parameters of its route, and those of the mount below which it was asked for."""
    return Page(url, {**raw.mount_params, **params}, "run")


def view(services: Services, raw: RawRequest, page: Page | None = None) -> HTTPRequest:
    """Return what the deployer's functions may know of a request."""
    return services.context.policy.of_deployer().request(raw, page)
