"""``session``, ``visitor`` and ``shared``: the tab, person and dashboard of the running code, and their state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, overload

from ..model import SessionInfo
from .context import app_meta

if TYPE_CHECKING:
    from .state.mapping import State
    from .state.pages_awaited import AsyncEverybody, AsyncSession, AsyncVisitor
    from .state.presence import PageInfo, Viewer
    from .state.receiving import Receiver


class CurrentSession:
    """The session of the running code, looked up anew at each use: ``session.get("client_id")``."""

    __slots__ = ()

    def _now(self) -> SessionInfo:
        return app_meta().session

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field of the session, or the default if it is not known."""
        return self._now().get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self._now()[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._now(), name)

    @property
    def state(self) -> State:
        """What is stored for this browser tab; in an editor, for this person's open notebook."""
        return _state("session")

    def send(self, name: str, data: Any = None) -> None:
        """Send a message to this browser tab: the functions of ``on`` receive it, those of this page as well."""
        from .state.receiving import sent

        sent("session", name, data)

    @overload
    def on(self, name: str) -> Callable[[Callable[[Any], Any]], Receiver]: ...

    @overload
    def on(self, name: str, function: Callable[[Any], Any]) -> Receiver: ...

    def on(self, name: str, function: Callable[[Any], Any] | None = None) -> Any:
        """Call ``function(data)`` for each message of this name; return a Receiver with ``close()``.

        The function receives what is sent to this tab, to its visitor and to everybody on this dashboard. It is called
        on the kernel's main loop, and sees the visitor of the code that registered it. It may be async. It is also a
        decorator: ``@session.on("order")``.
        """
        from .state.receiving import received

        return received(name, function)

    @property
    def aio(self) -> AsyncSession:
        """``send`` and ``on`` for async code."""
        from .state.pages_awaited import AsyncSession

        return AsyncSession()

    def keys(self) -> tuple[str, ...]:
        """The names of the fields."""
        return self._now().keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __repr__(self) -> str:
        return repr(self._now())


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

    def send(self, name: str, data: Any = None) -> None:
        """Send a message to each tab of this person on this dashboard: the functions of ``session.on`` receive it."""
        from .state.receiving import sent

        sent("visitor", name, data)

    def pages(self) -> tuple[PageInfo, ...]:
        """Return the pages of this dashboard that this person has open, those that were opened first in front.

        Raises StateUnavailable, also where the server does not tell who is looking, and NoVisitor.
        """
        from .state.presence import own_pages

        return own_pages()

    @property
    def aio(self) -> AsyncVisitor:
        """``send``, ``pages`` and ``forget`` for async code."""
        from .state.pages_awaited import AsyncVisitor

        return AsyncVisitor()

    def __repr__(self) -> str:
        return "<visitor>"


class Everybody:
    """All visitors of the running code's dashboard."""

    __slots__ = ()

    @property
    def state(self) -> State:
        """What is stored for everybody on this dashboard."""
        return _state("shared")

    def send(self, name: str, data: Any = None) -> None:
        """Send a message to each page of this dashboard: the functions of ``session.on`` receive it."""
        from .state.receiving import sent

        sent("shared", name, data)

    def viewers(self) -> tuple[Viewer, ...]:
        """Return the people who have this dashboard open, those that came first in front.

        Raises StateUnavailable, also where the server does not tell who is looking.
        """
        from .state.presence import viewers

        return viewers()

    @property
    def aio(self) -> AsyncEverybody:
        """``send`` and ``viewers`` for async code."""
        from .state.pages_awaited import AsyncEverybody

        return AsyncEverybody()

    def __repr__(self) -> str:
        return "<shared>"


def _state(audience: str) -> State:
    from .state.asked import state_of  # late, because few cells store anything

    return state_of(audience)


session = CurrentSession()
visitor = CurrentVisitor()
shared = Everybody()
