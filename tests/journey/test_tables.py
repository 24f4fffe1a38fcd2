"""pandas, which prints the items of a mapping in a table's cell, is given no value of a request."""

from __future__ import annotations

from typing import Any

import pandas as pd  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest

from jupyter_app_meta import AppMeta, User
from jupyter_app_meta.policy import Page, Policy, RawRequest

REQUEST = Policy().request(
    RawRequest(
        method="GET",
        url="http://hub/api/kernels/k1/channels",
        base_url="http://hub/",
        headers=(("Accept-Language", "VALUE"),),
        cookies=(("theme", "VALUE"),),
        user=User(username="alice", kind="user", assurance="hub", is_owner=True),
    ),
    Page("http://hub/lab?region=VALUE"),
)


@pytest.mark.parametrize("name", ["headers", "cookies", "query_params", "url", "request", "all"])
def test_table_shows_no_value(name: str) -> None:
    """A series and a frame that hold a request, or a part of one, show its names."""
    value: Any = {"request": REQUEST, "all": AppMeta(REQUEST, "edit")}.get(name)
    value = REQUEST[name] if value is None else value
    frame = pd.DataFrame({"a": [value]})
    assert "VALUE" not in f"{pd.Series([value])} {frame} {frame.to_html()}"
