"""The code of a cell that asks who the visitor is: there the template waits to be forked, and each child goes on.

1. The template answers from its main thread only, because only the thread that forks goes on in a child. If another
   thread asks, the notebook cannot be forked.
2. ``timeout`` has no effect ahead of a visitor: each child has its visitor by then.
3. Code that uses shared state asks as well. The template has no connection to the server, so each child uses it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ...model import AppMeta
from ..claims import Claim, check_timeout


class Asking(Claim):
    """The claim of a process that is forked. ``ask`` returns in a child that has its visitor."""

    shares_ahead = False

    def __init__(self, ask: Callable[[], None], refuse: Callable[[str], None]) -> None:
        super().__init__()
        self._ask, self._refuse = ask, refuse

    def wait(self, kernel_id: str | None, timeout: float | None = None) -> AppMeta:
        """Return the visitor's request. Raises BadTimeout, and NotClaimed when the kernel is shut down."""
        check_timeout(timeout)
        if not self.is_given:
            self._wait()
        return super().wait(kernel_id)

    def is_for(self, kernel_id: str | None) -> bool:
        """Whether the visitor was given this kernel: the claim was signed with its key.

        The code that ran ahead knows the id of the template.
        """
        return True

    def _wait(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._ask()
        else:
            self._refuse("a thread asks for the visitor, and a child has only the main thread")
