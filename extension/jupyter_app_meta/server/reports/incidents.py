"""Incidents: errors in kernels. The log has each error, whole and once, under the id that the visitor sees.

1. Three parts of the server hear a kernel's messages and report them here: the listener on each kernel, the run that
   makes a page, and the page's connection. The first report is logged, with notebook, cell, user and page.
2. Cells are counted as authors see them: from 1, including text cells.
3. Each line begins with its id, and cannot look like another record. The lines of a page, and of the server, are
   bounded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import ids
from .allowances import Allowance
from .complaints import STDERR, Complaint, Reach, complaint
from .ids import Ids
from .journal import Journal
from .logs import printable

CONTINUED = 2.0
"""For how many seconds more text of the same message belongs to the traceback before it."""

_chatter = re.compile(r"No such comm(?: target registered)?: .*|")


@dataclass(frozen=True, slots=True)
class Incident:
    """What a visitor may know of an error."""

    id: str
    reach: Reach

    @property
    def text(self) -> str:
        """The text that a visitor is shown."""
        return told(self.id, needs_login=self.reach == "login")


def told(error_id: str, *, needs_login: bool = False) -> str:
    """Return the text that a visitor is shown for an error."""
    if needs_login:
        return f"You need to be logged in for this ({error_id})."
    return f"Something went wrong ({error_id})."


ADVICE = "Please try again. If it happens again, give this id to the people who run this page."


@dataclass(slots=True)
class Book:
    """What is known of the page that a kernel runs."""

    notebook: str
    python: bool = False
    user: str = ""
    page: str = ""
    cell: int = 0
    cells: dict[str, int] = field(default_factory=dict)
    allowance: Allowance = field(default_factory=lambda: Allowance(400, 2))
    error: str = ""
    last: tuple[str, str, float] = ("", "", 0.0)
    is_begun: bool = False

    def place(self, parent: Mapping[str, Any]) -> str:
        """Return which code a message comes from, and for which visitor that code runs."""
        cell = self._cell(parent)
        what = f"cell {cell}" if cell else "a callback" if str(parent.get("msg_type", "")).startswith("comm_") else ""
        who = f"for {self.user}" if self.user else "ahead of its visitor" if self.cell else ""
        where = f"at {self.page}" if self.page else ""
        return ", ".join(filter(None, (self.notebook, what, " ".join(filter(None, (who, where))))))

    def _cell(self, parent: Mapping[str, Any]) -> int:
        if parent.get("msg_type") != "execute_request":
            return 0
        return self.cells.setdefault(parent["msg_id"], self.cell) if "msg_id" in parent else self.cell


class Incidents:
    """The incidents of one server's kernels. If ``shows`` is set, the deployer wants visitors to see what authors see.

    ``find`` returns the notebook of a kernel for which ``begin`` was not called; None for a kernel to ignore.
    """

    def __init__(
        self, log: logging.Logger, *, shows: bool = False, find: Callable[[str], str | None] = lambda kernel_id: None
    ) -> None:
        self.shows, self._find, self._journal = shows, find, Journal(log)
        self._books: dict[str, Book] = {}
        self._ids = Ids()

    def begin(self, kernel_id: str, notebook: str, *, python: bool = False) -> None:
        """Begin to report the errors of a kernel that runs this notebook."""
        self._books[kernel_id] = Book(printable(notebook), python)

    def visited(self, kernel_id: str, user: str, page: str) -> None:
        """Note which user looks at which page."""
        if book := self._books.get(kernel_id):
            book.user, book.page = printable(user, 80), printable(page)

    def at(self, kernel_id: str, cell: int) -> None:
        """Note which cell is sent next."""
        if book := self._books.get(kernel_id):
            book.cell = cell

    def last(self, kernel_id: str) -> str:
        """Return the id of a kernel's last exception."""
        book = self._books.get(kernel_id)
        return book.error if book else ""

    def end(self, kernel_id: str) -> None:
        """Ignore the kernel from now on, because messages of a kernel that is shutting down are not errors."""
        if book := self._books.pop(kernel_id, None):
            self._journal.close(book.notebook, book.allowance)

    def hear(self, kernel_id: str, header: Mapping[str, Any], parent: Mapping[str, Any], content: Any) -> Incident:
        """Log a message for the author, unless it is already known; return what the visitor may know of it."""
        book = self._book(kernel_id)
        found = complaint(header.get("msg_type"), content, python=bool(book and book.python))
        key = (kernel_id, header.get("msg_id"))
        is_new = key not in self._ids
        incident = Incident(self._ids.of(key), found.reach)
        if is_new and header.get("msg_type") == "error":
            self._ids.note((kernel_id, digest(content)), incident.id)  # a widget may have captured the same error
        if book and is_new:
            self._write(book, parent, found, incident.id)
        if book and found.name != STDERR:
            book.error = incident.id
        return incident

    def _book(self, kernel_id: str) -> Book | None:
        if kernel_id not in self._books and (name := self._find(kernel_id)):
            self.begin(kernel_id, name)
        return self._books.get(kernel_id)

    def failed(self, where: str, error: BaseException, kernel_id: str = "", name: str = "", text: str = "") -> str:
        """Log the whole of a page's error in the server itself, and return its id."""
        error_id, book = ids.new_id(), self._books.get(kernel_id)
        place = book.place({"msg_type": "execute_request"}) if book else printable(where)
        shown = text or "".join(_formatter.formatException((type(error), error, error.__traceback__)))
        headline = f"{error_id} {place}: {name or type(error).__name__}"
        self._journal.write(logging.ERROR, headline, shown, f"{error_id} ", book.allowance if book else None)
        return error_id

    def _write(self, book: Book, parent: Mapping[str, Any], found: Complaint, error_id: str) -> None:
        place, text = book.place(parent), found.text
        headline, level = f"{error_id} {place}: {printable(found.name, 80)}", logging.ERROR
        if found.name == "NotClaimed":  # no visitor arrived
            headline, text, level = f"{place}: gave up waiting for its visitor.", "", logging.INFO
        elif found.reach == "login":  # this is not the author's fault, and the last line says what to do
            text, level = text[text.rfind("\n") + 1 :], logging.INFO
        elif found.name != STDERR:
            level = logging.INFO if found.reach == "author" else logging.ERROR
        elif error_id := self._traceback(book, parent, found, error_id):
            headline = f"{error_id} {place}, on stderr:"
        else:  # before its first cell, a kernel writes about itself, and widgets ask for comms that do not exist
            is_chatter = not book.cell or all(map(_chatter.fullmatch, text.splitlines()))
            headline, level = f"{place}, on stderr:", logging.DEBUG if is_chatter else logging.WARNING
        self._journal.write(level, headline, text, error_id and f"{error_id} ", book.allowance)

    def _traceback(self, book: Book, parent: Mapping[str, Any], found: Complaint, error_id: str) -> str:
        """Return the id under which a text on stderr is logged; empty if it reports no error."""
        now, cause = time.monotonic(), str(parent.get("msg_id"))
        known, last_id, then = book.last
        is_next = known == cause and now - then < CONTINUED
        if found.is_error or found.reach != "author":
            # This is the rest of a report whose beginning, "Exception in thread", came alone. A visitor has its id.
            continues = is_next and book.is_begun and found.reach == "author"
            book.is_begun = not found.is_error
            book.last = (cause, last_id if continues else error_id, now)
            return book.last[1]
        return last_id if is_next else ""


def digest(content: Mapping[str, Any]) -> str:
    """Return a digest that identifies the content of an error or of a stream."""
    parts = [content.get(name) for name in ("ename", "evalue", "traceback", "name", "text")]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


_formatter = logging.Formatter()
