"""Made-up visitors for authors' own tests: of code (``fake_request``) and of a whole notebook (``dashboard``).

They need no server. ``fake_request`` is a block, or decorates a function (plain, ``async def`` or generator)::

    with fake_request(user="alice"): ...

    @fake_request(user="alice", query={"region": "emea"})
    def test_greeting(): ...

If a pytest fixture uses the block, the whole test sees the request::

    @pytest.fixture
    def alice():
        with fake_request(user="alice") as meta:
            yield meta

``dashboard`` runs a notebook on a kernel of its own, and returns what its visitor sees::

    page = dashboard("sales.ipynb", user="alice", query={"region": "emea"})
    assert "Welcome alice" in page.text

pytest offers it as the fixture ``dashboard``, which ends the kernels when the test ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..kernel.fakes import FakeRequest, Items, fake_request

if TYPE_CHECKING:
    from .page import Page

__all__ = ["FakeRequest", "dashboard", "fake_request"]


def dashboard(
    path: str | PathLike[str],
    *,
    user: str | Mapping[str, Any] | None = None,
    query: Items | str | None = None,
    cookies: Items | None = None,
    headers: Items | None = None,
    timeout: float = 60,
    **others: Any,
) -> Page:
    """Run a notebook for a made-up visitor on a kernel of its own, and return the page that the visitor sees.

    ``path`` is a notebook that ``jupyter app-meta serve`` could serve, with a Python kernel. It runs in its folder.
    ``user``, ``query``, ``cookies`` and ``headers`` are those of ``fake_request``, and so are ``others``: ``state``,
    ``shared``, ``url`` and the rest. The ``mode`` is ``"test"``. A cell or a callback may run for ``timeout`` seconds.

    Close the page, or use it in a ``with`` statement: its kernel lives as long as the page does.

    A cell that fails ends the page, and is its ``error``. Raises OSError or BadNotebook if the file cannot be read,
    KernelMissing if its kernel is not installed, DashboardError if the kernel does not start or has no
    jupyter-app-meta, and TypeError for a visitor that ``fake_request`` refuses.
    """
    from .page import opened

    return opened(path, timeout, {"user": user, "query": query, "cookies": cookies, "headers": headers, **others})
