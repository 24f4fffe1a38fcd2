"""A report as one aligned table for people, or as JSON for machines."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ..._version import __version__

NARROWEST = 40


class Status(StrEnum):
    """How serious a row is. Only faults make the check fail."""

    OK = "ok"
    INFO = ""
    RISK = "risk"
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a report."""

    status: Status
    subject: str
    finding: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the check found, in the order in which it is read."""

    rows: tuple[Row, ...]

    @property
    def faults(self) -> int:
        """How many rows are faults."""
        return sum(row.status is Status.FAULT for row in self.rows)

    @property
    def risks(self) -> int:
        """How many rows are risks."""
        return sum(row.status is Status.RISK for row in self.rows)

    def as_json(self) -> str:
        """Return the report for machines; statuses are ok, info, risk and fault."""
        rows = [
            {"status": row.status.name.lower(), "subject": row.subject, "finding": row.finding} for row in self.rows
        ]
        return json.dumps(
            {"version": __version__, "faults": self.faults, "risks": self.risks, "rows": rows},
            indent=2,
            ensure_ascii=False,
        )

    def as_table(self) -> str:
        """Return the report for people, as wide as their terminal."""
        width = shutil.get_terminal_size((100, 24)).columns
        subject = max(len(row.subject) for row in self.rows)
        lines = [f"jupyter-app-meta {__version__}", ""]
        for row in self.rows:
            lines += _lines(f"{row.status:<6} {row.subject:<{subject}}  ", row.finding, width)
        return "\n".join([*lines, "", _summary(self.faults, self.risks)])


def _lines(head: str, text: str, width: int) -> Iterable[str]:
    wrapped = textwrap.wrap(text, max(width - len(head), NARROWEST), break_long_words=False, break_on_hyphens=False)
    for position, part in enumerate(wrapped):
        yield (head if position == 0 else " " * len(head)) + part


def _summary(faults: int, risks: int) -> str:
    return f"{_counted(faults, 'fault')}, {_counted(risks, 'risk')}."


def _counted(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"
