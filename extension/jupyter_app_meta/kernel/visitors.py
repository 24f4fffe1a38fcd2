"""``visitor`` and ``shared``: what is stored for the running code's visitor, and for all visitors of its dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .state.mapping import State


class CurrentVisitor:
    """The visitor of the running code, looked up anew at each use."""

    __slots__ = ()

    @property
    def state(self) -> State:
        """What is stored for this person on this dashboard, in every tab and browser in which they log in."""
        return _state("visitor")

    @property
    def preferences(self) -> State:
        """What is stored for this person on every dashboard, under the keys that the deployer named."""
        return _state("preferences")

    def forget(self) -> int:
        """Erase all that is stored for this person on this dashboard; return how many entries that were."""
        from ..state.operations import Forget
        from .state.asked import Asked

        erased: int = Asked("visitor")(Forget())
        return erased

    def __repr__(self) -> str:
        return "<visitor>"


class Everybody:
    """All visitors of the running code's dashboard."""

    __slots__ = ()

    @property
    def state(self) -> State:
        """What is stored for everybody on this dashboard."""
        return _state("shared")

    def __repr__(self) -> str:
        return "<shared>"


def _state(audience: str) -> State:
    from .state.asked import state_of  # late, because few cells store anything

    return state_of(audience)


visitor = CurrentVisitor()
shared = Everybody()
