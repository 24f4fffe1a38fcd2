"""State where no server is: in scripts, in notebooks that a program runs, and in tests of authors."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from jupyter_app_meta import StateNotKept, session, shared, visitor
from jupyter_app_meta.testing import fake_request

STORE = """
from jupyter_app_meta import session, shared, visitor
for one in (session, visitor, shared):
    one.state["n"] = [1, 2.0]
    assert one.state["n"] == [1, 2.0] and one.state.kept == "memory"
visitor.preferences["theme"] = "dark"
print(visitor.state.add("m"), visitor.state.change("m", lambda m: m + 1), visitor.forget(), dict(visitor.state))
"""
"""What a script stores and reads."""

TOLD = "StateNotKept: There is no server here, so state is kept in the memory of this process"


def test_a_script_keeps_state_in_its_memory_and_is_warned_once(tmp_path: Path) -> None:
    """The next run of the script finds nothing."""
    script = tmp_path / "script.py"
    script.write_text(STORE + STORE)
    for _ in range(2):
        run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True)
        assert run.stdout == "1 2 3 {}\n" * 2
        assert run.stderr.count(TOLD) == 1 and "fake_request(state={...}, shared={...})" in run.stderr


@pytest.mark.parametrize(
    "use", ["visitor.state.get('n')", "dict(visitor.state)", "visitor.state.add('n')", "visitor.forget()"]
)
def test_the_warning_names_the_line_of_the_script(tmp_path: Path, use: str) -> None:
    """And no line of ours, however many of our functions are in between."""
    script = tmp_path / "script.py"
    script.write_text(f"from jupyter_app_meta import visitor\n\n{use}\n")
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True)
    assert run.stderr.startswith(f"{script}:3: {TOLD}")


def test_a_notebook_that_a_program_runs_keeps_state_in_its_memory() -> None:
    """As papermill and nbconvert run it: each cell finds what the one before stored, and the output has one warning."""
    cells = [STORE, "print(dict(shared.state), dict(session.state))", "print(visitor.pages(), shared.viewers())"]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    said = "".join(output.get("text", "") for cell in notebook.cells for output in cell.outputs)
    nbformat.validate(notebook)
    assert said.count(TOLD) == 1 and "1 2 3 {}\n" in said
    assert said.endswith("{'n': [1, 2.0]} {}\n() ()\n")


def test_a_fake_request_seeds_state_and_keeps_it_apart() -> None:
    """``state`` is what the tab and the visitor begin with, ``shared`` is everybody's; the next fake has its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", StateNotKept)
        with fake_request(user="alice", state={"cart": [1]}, shared={"votes": 3}):
            assert session.state["cart"] == visitor.state["cart"] == [1] and shared.state.add("votes") == 4
            assert session.state.kept == "memory" and dict(visitor.preferences) == {}
            visitor.state["cart"] = []
            assert session.state["cart"] == [1]
        with fake_request(user="bob"):
            assert dict(visitor.state) == dict(shared.state) == {}


def test_a_visitor_forgets_each_tab_and_no_preference() -> None:
    """As on a server: the dashboard's state of the person, and neither what is shared nor what all dashboards read."""
    with fake_request(user="alice", state={"cart": [1]}, shared={"votes": 3}):
        visitor.preferences["theme"] = "dark"
        assert visitor.forget() == 2
        assert dict(session.state) == dict(visitor.state) == {}
        assert dict(shared.state) == {"votes": 3} and dict(visitor.preferences) == {"theme": "dark"}


@pytest.mark.parametrize("value", [["dark"], {"theme": 1}, None, "x" * 201])
def test_a_preference_is_short_here_too(value: object) -> None:
    """What each server refuses is refused in a test, whatever keys the deployer will name."""
    with fake_request(user="alice"):
        visitor.preferences.update(theme="x" * 200, size=1.5, compact=True)
        with pytest.raises(TypeError, match="a preference is a bool, a number or a text of at most 200 characters"):
            visitor.preferences["theme"] = value
        assert visitor.preferences["theme"] == "x" * 200


def test_what_a_fake_begins_with_is_checked_as_a_write_is() -> None:
    """The error names the place in the value."""
    with pytest.raises(TypeError, match=r"value\[0\] is of type tuple"):
        fake_request(state={"cart": [(1, 2)]})
