"""The tree of errors, as its module draws it."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator

import pytest

import jupyter_app_meta.dashboards
from jupyter_app_meta import errors


def tree(base: type[Exception], depth: int = 0) -> Iterator[tuple[int, str]]:
    """Yield each error with its depth, as they are defined; all modules that could add one are imported."""
    yield depth, base.__name__
    for error in base.__subclasses__():
        if error.__module__.startswith("jupyter_app_meta."):
            yield from tree(error, depth + 1)


def test_the_drawn_tree_is_the_tree() -> None:
    """The docstring draws each error below its base, and each is defined in that one module."""
    drawn = re.findall(r"^    ((?:[│ ]   |[├└]── )*)(\w+)", errors.__doc__ or "", re.MULTILINE)
    assert [(len(lines) // 4, name) for lines, name in drawn] == [*tree(errors.AppMetaError)]
    assert all(hasattr(errors, name) for _, name in drawn)


def test_errors_are_importable_from_their_public_places() -> None:
    """What ``create_app`` raises is importable beside it, and is the same class."""
    assert jupyter_app_meta.dashboards.DashboardError is errors.DashboardError


def test_errors_of_state_are_those_that_programs_already_catch() -> None:
    """Each is also a builtin error of its kind, and carries what a program decides by."""
    assert issubclass(errors.StateUnavailable, ConnectionError)
    assert issubclass(errors.NoVisitor, LookupError)
    assert issubclass(errors.Unstorable, TypeError)
    assert issubclass(errors.TooLarge, ValueError)
    assert not errors.StateUnavailable("away").may_have_happened
    assert errors.StateUnavailable("no answer", may_have_happened=True).may_have_happened
    assert "'votes'" in str(errors.Conflict("votes"))


@pytest.mark.parametrize("error", [errors.Conflict("votes"), errors.Conflict(), errors.StateUnavailable("away", True)])
def test_errors_of_state_survive_pickling(error: errors.StateError) -> None:
    """A pool's worker passes them on whole."""
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
