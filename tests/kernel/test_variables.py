"""``os.environ`` keeps the contract of a mapping for the variables that are answered from the request."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from jupyter_app_meta.kernel import variables
from jupyter_app_meta.testing import fake_request


@pytest.fixture
def page() -> Iterator[None]:
    """A page with a query, whose environment answers for it."""
    variables.answer()
    try:
        with fake_request(user="alice", query={"region": "emea"}):
            yield
    finally:
        variables.keep_silent()
        os.environ.pop("QUERY_STRING", None)


def test_what_is_not_stored_can_be_removed(page: None) -> None:
    """``pop`` and ``del`` raise nothing for the page's query, which stays what it is."""
    assert os.environ.pop("QUERY_STRING", None) == "region=emea"
    del os.environ["QUERY_STRING"]
    assert os.environ["QUERY_STRING"] == "region=emea"
    with pytest.raises(KeyError):
        del os.environ["NO_SUCH_VARIABLE"]


def test_what_is_stored_comes_first(page: None) -> None:
    """A value that the notebook sets is found until it is removed; ``setdefault`` sets one."""
    os.environ["QUERY_STRING"] = "mine"
    assert (os.environ["QUERY_STRING"], os.environ.pop("QUERY_STRING")) == ("mine", "mine")
    assert os.environ.setdefault("QUERY_STRING", "default") == "default"
    assert os.environ.pop("QUERY_STRING") == "default"
    assert "QUERY_STRING" not in os.environ.copy()
