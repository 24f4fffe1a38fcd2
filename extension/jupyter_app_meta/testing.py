"""A fake request for authors' own tests, in scripts, pytest and notebooks. It needs no server.

Use it as a block, or to decorate a function (plain, ``async def`` or generator)::

    with fake_request(user="alice"): ...

    @fake_request(user="alice", query={"region": "emea"})
    def test_greeting(): ...

If a pytest fixture uses the block, the whole test sees the request::

    @pytest.fixture
    def alice():
        with fake_request(user="alice") as meta:
            yield meta
"""

from __future__ import annotations

from .kernel.fakes import FakeRequest, fake_request

__all__ = ["FakeRequest", "fake_request"]
