"""The author's log: each error once, whole and under its id; a visitor can neither fill nor forge it."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from jupyter_app_meta.server.reports.ids import REMEMBERED, Ids, new_id
from jupyter_app_meta.server.reports.incidents import Incidents

CALLBACK = {"msg_type": "comm_msg", "msg_id": "cause"}


@pytest.fixture
def incidents() -> Incidents:
    """The incidents of one kernel, which runs a page."""
    made = Incidents(logging.getLogger("incidents"))
    made.begin("kernel", "page.ipynb", python=True)
    made.visited("kernel", "alice", "/page")
    made.at("kernel", 3)
    return made


def error(*lines: str) -> dict[str, Any]:
    """Return the content of an error with this traceback."""
    return {"ename": "ValueError", "evalue": "wrong", "traceback": list(lines)}


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the log."""
    return [line for record in caplog.records for line in record.getMessage().split("\n")]


def test_each_error_is_logged_once(incidents: Incidents, caplog: pytest.LogCaptureFixture) -> None:
    """The first listener to hear a message has it logged; all listeners get the same id."""
    header = {"msg_type": "error", "msg_id": "one"}
    heard = {incidents.hear("kernel", header, CALLBACK, error("\x1b[31mValueError\x1b[0m: wrong")).id for _ in "123"}
    (error_id,) = heard
    assert logged(caplog) == [
        f"{error_id} page.ipynb, a callback, for alice at /page: ValueError",
        f"{error_id} | ValueError: wrong",
    ]


def test_a_report_of_a_thread_that_comes_in_pieces_has_one_id(
    incidents: Incidents, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel may send its stderr between any two writes: the id that a visitor was told has the whole traceback."""
    pieces = ("Exception in thread", " Thread-2:\nTraceback (most recent call last):\n", "ValueError: wrong\n")
    shown = ""
    for number, text in enumerate(pieces):
        header = {"msg_type": "stream", "msg_id": str(number)}
        found = incidents.hear("kernel", header, CALLBACK, {"name": "stderr", "text": text})
        assert found.reach == ("visitor" if number == 0 else "author")
        shown = found.id if number == 0 else shown
    assert all(line.startswith(shown) for line in logged(caplog)) and len(logged(caplog)) == 7
    other = {"name": "stderr", "text": "Traceback (most recent call last):\nValueError: of its own\n"}
    incidents.hear("kernel", {"msg_type": "stream", "msg_id": "other"}, CALLBACK, other)
    assert not logged(caplog)[-1].startswith(shown)


def test_cells_are_those_of_their_messages(incidents: Incidents, caplog: pytest.LogCaptureFixture) -> None:
    """A task of an earlier cell is that cell's."""
    for number, msg_id in ((3, "m3"), (4, "m4"), (4, "m3")):
        incidents.at("kernel", number)
        parent = {"msg_type": "execute_request", "msg_id": msg_id}
        incidents.hear("kernel", {"msg_type": "error", "msg_id": f"{number}{msg_id}"}, parent, error("x"))
    assert re.findall(r"cell \d", " ".join(logged(caplog))) == ["cell 3", "cell 4", "cell 3"]


def test_lines_cannot_be_forged(incidents: Incidents, caplog: pytest.LogCaptureFixture) -> None:
    """Each line begins with the id, and what reverses or breaks lines is escaped."""
    header = {"msg_type": "error", "msg_id": "one"}
    heard = incidents.hear("kernel", header, CALLBACK, error("a\n[E 2026] forged\r[E] too\u2028x\x1b]0;t\x07\u202e"))
    lines = logged(caplog)
    assert len(lines) == 4 and all(line.startswith(f"{heard.id} ") for line in lines)
    assert not re.search("[\x00-\x1f\x7f\u2028\u202e]", "".join(lines))


def test_visitor_cannot_fill_the_disk(incidents: Incidents, caplog: pytest.LogCaptureFixture) -> None:
    """Ten thousand errors of twenty long lines each are some hundred lines; the log says how many there were."""
    for number in range(10_000):
        header = {"msg_type": "error", "msg_id": str(number)}
        incidents.hear("kernel", header, CALLBACK, error(*["long" * 1000] * 20))
    lines = logged(caplog)
    assert len(lines) < 1000 and max(map(len, lines)) < 600
    incidents.end("kernel")
    lines = logged(caplog)
    left_out = sum(int(found[1]) for line in lines if (found := re.search(r"… and (\d+) more lines", line)))
    assert left_out + len(lines) > 200_000


def test_long_tracebacks_keep_their_ends(incidents: Incidents, caplog: pytest.LogCaptureFixture) -> None:
    """What is left out is counted."""
    traceback = error(*(f"line {number}" for number in range(5000)))
    incidents.hear("kernel", {"msg_type": "error", "msg_id": "one"}, CALLBACK, traceback)
    lines = logged(caplog)
    assert lines[1].endswith("line 0") and lines[-1].endswith("line 4999") and len(lines) < 150
    assert "4880 lines are left out" in " ".join(lines)


def test_kernel_that_was_ended_says_nothing(incidents: Incidents, caplog: pytest.LogCaptureFixture) -> None:
    """What a kernel says after its end is not an error."""
    incidents.end("kernel")
    incidents.hear("kernel", {"msg_type": "error", "msg_id": "one"}, CALLBACK, error("x"))
    assert logged(caplog) == []


def test_ids_differ_and_are_remembered() -> None:
    """As many as are remembered are all different, and no more than that are kept."""
    ids = Ids()
    found = [ids.of(number) for number in range(REMEMBERED)]
    assert len(set(found)) == REMEMBERED and ids.of(REMEMBERED - 1) == found[-1]
    for number in range(3 * REMEMBERED):
        ids.of(("more", number))
    assert 0 not in ids
    assert re.fullmatch("E-[0-9A-F]{4}", new_id())
