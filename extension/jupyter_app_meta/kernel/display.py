"""What a request looks like in a notebook: accessible HTML and plain text.

1. Outputs are saved with the notebook: names are shown; header, cookie and query values never.
2. Names are the visitor's to choose: each is escaped, on one line, and without characters that
   cannot be seen or that turn the direction of the text around.
3. No script, no link, nothing from elsewhere; where styles are stripped, plain tables stay.
4. Both forms render the same ``Sheet``, so that they cannot say different things.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Any

from .. import policy
from ..datastructures import MASK, URL, Cookies, Headers, QueryParams, mask_query
from ..model import AppMeta, HTTPRequest, Names, SessionInfo, User

CLIP = 120
MOST_CHIPS = 24
MOST_ROWS = 50
WIDTH = 100

NO_REQUEST = (
    "No request is known for this code: it runs in a script, in nbconvert or papermill, or in a thread or pool "
    "that nobody's request started, or the server does not stamp this kernel's messages."
)
REMEDY = "In a browser, let 'jupyter app-meta check' say what the server lacks."
TRY = "To try a cell as somebody, begin it with: %%app_meta user.username=alice"
ASK = "Values stay hidden, because outputs are saved with the notebook. Ask for the one that you need: "
EXAMPLE = "%app_meta headers accept-language"
NONE = "none"
NO_BREAK = "\xa0"

MODES = {
    "edit": "somebody works in Lab, Notebook or a console",
    "run": "a visitor looks at a dashboard",
    "test": "a fake request",
    "script": "no server stamped this message",
}
ASSURANCES = {
    "hub": "JupyterHub vouches for the name",
    "provider": "the server's identity provider vouches for the name",
    "shared-secret": "knows the server's token or password; the name is self-chosen",
    "none": "nobody vouches for the name; the server has no authentication",
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

# A name may have dollar signs: classes by which MathJax 3 and 2 leave an element alone.
NO_MATH = "mathjax_ignore tex2jax_ignore"

# Beside each colour of JupyterLab's themes is one that suits any page; the class is doubled to
# outweigh JupyterLab's own rules for tables in outputs.
STYLE = """<style>
.app-meta { border: 1px solid var(--jp-border-color2, #8886); border-radius: .5em; line-height: 1.5; max-width: 66em;
  color: var(--jp-content-font-color1, inherit); overflow: hidden; padding-bottom: .3em; }
.app-meta.app-meta table { border-collapse: collapse; font-size: inherit; margin: 0; table-layout: auto; width: 100%; }
.app-meta.app-meta caption { background: var(--jp-layout-color2, #8882); border-left: .3em solid
  var(--jp-brand-color1, #1976d2); caption-side: top; font-weight: 600; padding: .35em .8em; text-align: left; }
.app-meta.app-meta tbody tr { background: none; border: 0 solid var(--jp-border-color2, #8886); border-top-width: 1px; }
.app-meta.app-meta tbody:first-of-type tr:first-child { border-top-width: 0; }
.app-meta.app-meta :is(th, td) { max-width: none; padding: .3em 1.1em; text-align: left; vertical-align: top;
  white-space: normal; }
.app-meta.app-meta td { overflow-wrap: anywhere; }
.app-meta.app-meta th { font-weight: 600; overflow-wrap: anywhere; }
.app-meta.app-meta tbody th { color: var(--jp-content-font-color2, inherit); min-width: 9em; width: 9em; }
.app-meta.app-meta thead + tbody th { min-width: 20em; width: 20em; }
.app-meta.app-meta td code { background: var(--jp-layout-color2, #8883); border-radius: .3em; display: inline-block;
  font-family: var(--jp-code-font-family, monospace); font-size: .92em; margin: 0 .25em .2em 0; padding: 0 .5em; }
.app-meta.app-meta p { margin: .5em 1.1em; }
.app-meta.app-meta p code { white-space: nowrap; }
.app-meta details { border-top: 1px solid var(--jp-border-color2, #8886); }
.app-meta summary { cursor: pointer; font-weight: 600; padding: .35em 1.1em; }
</style>"""


@dataclass(frozen=True, slots=True)
class Chips:
    """Short items in a row; very many are summarised."""

    items: tuple[str, ...]

    @property
    def shown(self) -> tuple[str, ...]:
        """The items to show, the last of which may count the others."""
        more = len(self.items) - MOST_CHIPS
        return (*self.items[:MOST_CHIPS], f"and {more} more") if more > 0 else self.items


Cell = str | Chips
Rows = tuple[tuple[str, Cell], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a label and what it means; one that has a ``summary`` is folded below it."""

    caption: str
    rows: Rows
    columns: tuple[str, str] | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Sentences, then tables, then a hint with an example to type."""

    tables: tuple[Table, ...] = ()
    lead: tuple[str, ...] = ()
    example: str = ""


class Withheld(Names):
    """Names of withheld items that show, as a cell's last expression, which option opens each."""

    __slots__ = ()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return bundle(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(bundle(self)["text/plain"])  # for a tuple IPython would not take the bundle's


class JSON(str):
    """JSON text that is shown as it is, not as the repr of a string."""

    __slots__ = ()

    __repr__ = str.__str__


def bundle(value: object) -> dict[str, str]:
    """Return what IPython shows of a value, by MIME type."""
    shown = sheet(value)
    if shown is None:
        return {"text/plain": repr(value)}
    return {"text/plain": text(shown), "text/html": html(shown)}


def sheet(value: object) -> Sheet | None:
    """Return what is shown of a value; None where its repr says all."""
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


def visible(value: object, clip: int = CLIP) -> str:
    """Return the text on one line, not too long, with each character that cannot be seen spelled out."""
    line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(value))
    return line if len(line) <= clip else f"{line[: clip - 1]}…"


def masked(value: object) -> Any:
    """Return the value for JSON, with whatever the request carries masked."""
    match value:
        case AppMeta():
            return {"mode": value.mode, "session": dict(value.session), "request": masked(value.request)}
        case HTTPRequest():
            closed = {name: dict.fromkeys(value[name], MASK) for name in ("path_params", "meta")}
            return {name: masked(value[name]) for name in value} | closed | {"client": value.client and MASK}
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
    rows = (*_who(request.user), *_page(request), *place, *_carried(request))
    withheld = (_withheld(request.redacted, f"{len(request.redacted)} withheld"),) if request.redacted else ()
    carries = request.headers or request.cookies or request.query_params
    return Sheet((Table("The request behind this code", rows), *withheld), example=EXAMPLE if carries else "")


def _who(user: User | None) -> Rows:
    if user is None:
        return (("Who", "not known: the server did not tell"),)
    names = dict.fromkeys(visible(user[field]) for field in ("username", "name", "display_name") if user[field])
    return (
        ("Who", f"{' · '.join(names) or 'without a name'} ({visible(user['kind'])})"),
        ("Trust", _worded(user["assurance"], ASSURANCES)),
        ("Groups", _cell(user["groups"])),
        ("Owner", OWNERSHIP.get(user["is_owner"], OWNERSHIP[None])),
    )


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
    caption = "What the server keeps from notebooks, and the option in its configuration that opens it"
    rows = tuple((visible(name), _remedy(name)) for name in names)
    return Table(caption, _bounded(rows), ("Name", "Option"), summary)


def _bounded(rows: Rows) -> Rows:
    more = len(rows) - MOST_ROWS
    return (*rows[:MOST_ROWS], (f"and {more} more", "")) if more > 0 else rows


def _remedy(name: str) -> str:
    """Return what opens the item; nothing for an entry that is no item, as the one that counts the others."""
    is_item = name == "client" or name.startswith(("headers.", "cookies.", "query.", "user."))
    return visible(policy.remedy(name), 2 * CLIP) if is_item else ""


def _worded(word: object, meanings: Mapping[str, str]) -> str:
    meaning = meanings.get(str(word))
    return f"{visible(word)}: {meaning}" if meaning else visible(word)


def _chips(names: Iterable[str], suffix: str = "") -> Cell:
    counted = Counter(iter(names)).items()  # an iterator: of a mapping, Counter would take the values
    items = tuple(f"{visible(name)}{suffix}" + (f" ×{count}" if count > 1 else "") for name, count in counted)
    return Chips(items) if items else NONE


def _cell(value: object) -> Cell:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return _chips(map(str, value))
    return "–" if value is None else visible(value)


def text(shown: Sheet) -> str:
    """Return the plain form."""
    lead = "\n".join(line for sentence in shown.lead for line in wrap(sentence, WIDTH))
    hint = ASK + shown.example if shown.example else ""
    return "\n\n".join(part for part in (lead, *map(_text_table, shown.tables), hint) if part)


def _text_table(table: Table) -> str:
    width = min(max(len(label) for label, _ in table.rows), WIDTH // 3)
    heading = f"{table.summary}. {table.caption}:" if table.summary else f"{table.caption}:"
    return "\n".join((heading, *(_text_row(label, cell, width) for label, cell in table.rows)))


def _text_row(label: str, cell: Cell, width: int) -> str:
    items = (item.replace(" ", NO_BREAK) for item in cell.shown) if isinstance(cell, Chips) else (cell,)
    lines = wrap(", ".join(items), WIDTH - width - 4, break_long_words=False, break_on_hyphens=False)
    value = f"\n{' ' * (width + 4)}".join(lines).replace(NO_BREAK, " ")
    return f"  {label.ljust(width)}  {value}".rstrip()


def html(shown: Sheet) -> str:
    """Return the rich form."""
    lead = "".join(f"<p>{escape(sentence)}</p>" for sentence in shown.lead)
    tables = "".join(map(_html_table, shown.tables))
    hint = f"<p>{escape(ASK)}<code>{escape(shown.example)}</code></p>" if shown.example else ""
    return f'<div class="app-meta {NO_MATH}">{STYLE}{lead}{tables}{hint}</div>'


def _html_table(table: Table) -> str:
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns or ())
    head = f"<thead><tr>{columns}</tr></thead>" if columns else ""
    rows = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{_html_cell(cell)}</td></tr>' for label, cell in table.rows
    )
    body = f"<table><caption>{escape(table.caption)}</caption>{head}<tbody>{rows}</tbody></table>"
    return f"<details><summary>{escape(table.summary)}</summary>{body}</details>" if table.summary else body


def _html_cell(cell: Cell) -> str:
    if isinstance(cell, Chips):
        return " ".join(f"<code>{escape(item)}</code>" for item in cell.shown)
    return escape(cell)
