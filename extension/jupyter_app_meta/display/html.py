"""A ``Sheet`` of tables as accessible HTML and as plain text, and the style of the HTML.

1. Both forms render the same sheet, so that they cannot say different things.
2. Every text is escaped: text of a visitor or a provider never becomes a tag or mathematics.
3. The HTML has no script, no link and nothing from another server. If its styles are stripped, plain tables remain.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from textwrap import wrap

MOST_CHIPS = 24
WIDTH = 100

ASK = "Values stay hidden, because outputs are saved with the notebook. Ask for the one that you need: "
NO_BREAK = "\xa0"

# A name may have dollar signs. With these classes MathJax 3 and 2 leave an element alone.
NO_MATH = "mathjax_ignore tex2jax_ignore"

# Each colour of JupyterLab's themes has a fallback that suits any page. The class is doubled to
# outweigh JupyterLab's own rules for tables in outputs. Rows are flexible boxes, so that a value
# moves below its label if the output is too narrow for both: a query of the container's width
# would make an output in a row of widgets vanish.
STYLE = """<style>
.app-meta { border: 1px solid var(--jp-border-color2, #8886); border-radius: .5em; box-sizing: border-box;
  color: var(--jp-content-font-color1, inherit); line-height: 1.5; max-width: 66em; overflow: hidden;
  padding-bottom: .3em; }
.app-meta.app-meta :is(table, tbody, caption) { display: block; font-size: inherit; margin: 0; width: auto; }
.app-meta.app-meta caption { background: var(--jp-layout-color2, #8882); border-left: .3em solid
  var(--jp-brand-color1, #1976d2); caption-side: top; font-weight: 600; overflow-wrap: anywhere; padding: .35em .8em;
  text-align: left; }
.app-meta.app-meta tr { background: none; border: 0 solid var(--jp-border-color2, #8886); border-top-width: 1px;
  column-gap: 1em; display: flex; flex-wrap: wrap; padding: .3em .8em; }
.app-meta.app-meta tbody:first-of-type tr:first-child { border-top-width: 0; }
.app-meta.app-meta :is(th, td) { box-sizing: border-box; max-width: 100%; min-width: 0; overflow-wrap: anywhere;
  padding: 0; text-align: left; white-space: normal; }
.app-meta.app-meta th { flex: 1 1 10em; font-weight: 600; }
.app-meta.app-meta td { flex: 30 1 15em; }
.app-meta.app-meta tbody th { color: var(--jp-content-font-color2, inherit); }
.app-meta.app-meta thead { display: block; }
.app-meta.app-meta :is(thead, thead + tbody) th:first-child { flex: 2 1 14em; }
.app-meta.app-meta thead th + th, .app-meta.app-meta thead + tbody td { flex: 3 1 12em; }
.app-meta.app-meta code { background: var(--jp-layout-color2, #8883); border-radius: .3em; box-sizing: border-box;
  display: inline-block; font-family: var(--jp-code-font-family, monospace); font-size: .92em; max-width: 100%;
  overflow-wrap: anywhere; padding: 0 .5em; white-space: normal; }
.app-meta.app-meta td code { margin: 0 .25em .2em 0; }
.app-meta.app-meta p { margin: .5em .8em; overflow-wrap: anywhere; }
.app-meta details { border-top: 1px solid var(--jp-border-color2, #8886); }
.app-meta summary { cursor: pointer; font-weight: 600; padding: .35em .8em; }
</style>"""


@dataclass(frozen=True, slots=True)
class Chips:
    """Short items in a row. If there are very many, the last item counts the others."""

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
    """Rows of labels and their meanings. A table that has a ``summary`` is folded below it."""

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
