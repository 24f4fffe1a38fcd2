"""What a notebook shows of a value: the sheet, the JSON, or the one line of an error.

1. Outputs are saved with the notebook, so names are shown, but the values of headers, cookies and queries never are.
2. Visitors choose names, so each name is on one line, and without characters that cannot be
   seen or that reverse the direction of the text. ``html`` escapes them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..datastructures import MASK, URL, Cookies, Headers, QueryParams, mask_query
from ..model import AppMeta, HTTPRequest, Names, SessionInfo, User
from ..policy.remedies import remedy
from .absences import CLIP, visible, wanted
from .html import Cell, Chips, Rows, Sheet, Table, html, text

MOST_ROWS = 50

NO_REQUEST = (
    "No request is known for this code: it runs in a script, in nbconvert or papermill, or in a thread or pool "
    "that does not belong to a request, or the server does not stamp this kernel's messages."
)
REMEDY = "If you see this in a browser, run 'jupyter app-meta check' on the server."
TRY = "To try a cell as another user, begin it with: %%app_meta user.username=alice"
EXAMPLE = "%app_meta headers accept-language"
NONE = "none"

MODES = {
    "edit": "a notebook or console is open for editing",
    "run": "a visitor looks at a dashboard",
    "test": "a fake request",
    "script": "no server stamped this message",
}
ASSURANCES = {
    "hub": "JupyterHub vouches for the name",
    "provider": "the server's identity provider vouches for the name",
    "shared-secret": "the visitor knows the server's token or password, and chose the name",
    "none": "the name is not verified; the server has no authentication",
}
OWNERSHIP = {
    True: "yes, the server runs for this account",
    False: "no, the server runs for another account",
    None: "cannot be known here",
}
VIAS = {
    "page": "the page that the visitor looks at",
    "socket": "the kernel's connection; the page is not known",
}


class Withheld(Names):
    """Names of withheld items that show, as a cell's last expression, which option opens each."""

    __slots__ = ()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return bundle(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(bundle(self)["text/plain"])  # IPython does not use the bundle's text for a tuple


class JSON(str):
    """JSON text that is shown unchanged, not as the repr of a string."""

    __slots__ = ()

    __repr__ = str.__str__


def bundle(value: object) -> dict[str, str]:
    """Return what IPython shows of a value, by MIME type."""
    shown = sheet(value)
    if shown is None:
        return {"text/plain": repr(value)}
    return {"text/plain": text(shown), "text/html": html(shown)}


def sheet(value: object) -> Sheet | None:
    """Return the sheet of a value; None if its repr is enough."""
    match value:
        case AppMeta(request=None):
            return Sheet((Table("This code", _place(value)),), (NO_REQUEST, REMEDY, TRY))
        case AppMeta(request=HTTPRequest() as request):
            return _overview(request, _place(value))
        case HTTPRequest():
            return _overview(value, ())
        case User() | SessionInfo():
            title = "User" if isinstance(value, User) else "Session"
            return Sheet((Table(title, tuple((visible(name), _cell(value[name])) for name in value)),))
        case Headers() | Cookies() | QueryParams():
            return _listing(value)
        case Withheld():
            return Sheet((_withheld(value),) if value else (), () if value else ("Nothing was withheld.",))
    return None


def masked(value: object) -> Any:
    """Return the value for JSON, with everything that the request carries masked."""
    match value:
        case AppMeta():
            return {"mode": value.mode, "session": dict(value.session), "request": masked(value.request)}
        case HTTPRequest():
            closed: dict[str, Any] = {name: dict.fromkeys(value[name], MASK) for name in ("path_params", "meta")}
            closed |= {name: MASK if value[name] else None for name in ("client", "locale")}
            return {name: masked(value[name]) for name in value} | closed
        case Headers() | Cookies() | QueryParams():
            return dict.fromkeys(value, MASK)
        case URL():
            return mask_query(str(value))
        case Mapping():
            return dict(value)
    return value


def as_json(value: object) -> JSON:
    """Return the masked value as JSON text."""
    return JSON(json.dumps(masked(value), indent=2, default=_jsonable))


def _jsonable(value: object) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _overview(request: HTTPRequest, place: Rows) -> Sheet:
    rows = (*_who(request), *_page(request), *place, *_carried(request))
    listed = wanted(request.redacted)
    withheld = (_withheld(request.redacted, f"{len(listed)} withheld"),) if listed else ()
    carries = request.headers or request.cookies or request.query_params
    return Sheet((Table("The request behind this code", rows), *withheld), example=EXAMPLE if carries else "")


def _who(request: HTTPRequest) -> Rows:
    user = request.user
    if user is None:
        return (("Who", "not known: the server did not say"),)
    names = dict.fromkeys(visible(user[field]) for field in ("username", "name", "display_name") if user[field])
    return (
        ("Who", f"{' · '.join(names) or 'without a name'} ({visible(user['kind'])})"),
        ("Trust", _worded(user["assurance"], ASSURANCES)),
        ("Groups", _groups(user, request)),
        ("Owner", OWNERSHIP.get(user["is_owner"], OWNERSHIP[None])),
    )


def _groups(user: User, request: HTTPRequest) -> Cell:
    if user["groups"] is not None:
        return _cell(user["groups"])
    reasons = {"withheld": request.redacted, "did not fit into the stamp": request.truncated}
    return next((reason for reason, names in reasons.items() if "user.groups" in tuple(names)), "not known here")


def _page(request: HTTPRequest) -> Rows:
    url = visible(f"{request.method} {mask_query(str(request.url))}", 4 * CLIP)
    return ("URL", url), ("Via", _worded(request.via, VIAS))


def _place(meta: AppMeta) -> Rows:
    known = [f"{name}: {value}" for name, value in dict(meta.session).items() if value is not None]
    mode = ("Mode", _worded(meta.mode, MODES))
    return (mode, ("Session", _chips(known))) if known else (mode,)


def _carried(request: HTTPRequest) -> Rows:
    always = (
        ("Headers", _chips(request.headers.keys(), f": {MASK}")),
        ("Cookies", _chips(request.cookies, f"={MASK}")),
        ("Query", _chips((name for name, _ in request.query_params.multi_items()), f"={MASK}")),
    )
    seldom = (
        ("Path", _chips(request.path_params, f"={MASK}")),
        ("Meta", _chips(request.meta, f"={MASK}")),
        ("Client", f"address {MASK}" if request.client else NONE),
        ("Left out", _chips(request.truncated)),
    )
    return (*always, *((label, cell) for label, cell in seldom if cell != NONE))


def _listing(values: Headers | Cookies | QueryParams) -> Sheet:
    title = {Headers: "Headers", Cookies: "Cookies"}.get(type(values), "Query parameters")
    names = values.keys() if isinstance(values, Headers) else values
    rows = tuple((visible(name), MASK) for name in dict.fromkeys(names))
    if not rows:
        return Sheet(lead=(f"This request has no {title.lower()}.",))
    return Sheet((Table(title, _bounded(rows), ("Name", "Value")),))


def _withheld(names: Names, summary: str = "") -> Table:
    caption = "What the server withholds from notebooks, and the option in its configuration that opens it"
    listed = wanted(names)
    rows = tuple((visible(name), _remedy(name, names)) for name in listed)
    others = len(names) - len(listed)
    note = () if summary or not others else ((f"and {others} headers", "of the connection itself: no page needs them"),)
    return Table(caption, (*_bounded(rows), *note), ("Name", "Option"), summary)


def _bounded(rows: Rows) -> Rows:
    more = len(rows) - MOST_ROWS
    return (*rows[:MOST_ROWS], (f"and {more} more", "")) if more > 0 else rows


def _remedy(name: str, redacted: Names) -> str:
    """Return what opens the item; an empty text for an entry that is not an item, such as the count of the others."""
    is_item = name == "client" or name.startswith(("headers.", "cookies.", "query.", "user.", "path_params.", "url."))
    return visible(remedy(name, redacted), 2 * CLIP) if is_item else ""


def _worded(word: object, meanings: Mapping[str, str]) -> str:
    meaning = meanings.get(str(word))
    return f"{visible(word)}: {meaning}" if meaning else visible(word)


def _chips(names: Iterable[str], suffix: str = "") -> Cell:
    counted = Counter(iter(names)).items()  # given a mapping, Counter would take its values as counts
    items = tuple(f"{visible(name)}{suffix}" + (f" ×{count}" if count > 1 else "") for name, count in counted)
    return Chips(items) if items else NONE


def _cell(value: object) -> Cell:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return _chips(map(str, value))
    return "–" if value is None else visible(value)
