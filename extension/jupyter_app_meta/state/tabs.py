"""Which tab of a browser a page is in, so that what belongs to a tab outlives a reload.

1. The first script of a page says it while the page's cells already run. What needs the tab waits for the script.
2. The wait ends ``PATIENCE`` seconds after the page began. From then on, the page is in a tab of its own.
3. A page stays in the tab that was first used, even if its script says another one later.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from typing import NamedTuple, TypeGuard

from ..browser import Browser

PATIENCE = 3.0
"""For how many seconds of a page its script may say in which tab it is."""

_id = re.compile(r"[0-9a-f]{32}")


class Told(NamedTuple):
    """What a page's script says: its tab, the tab of which it is a duplicate, and what it says of the browser."""

    tab: str
    copy_of: str | None = None
    browser: Browser | None = None

    @classmethod
    def read(cls, body: bytes) -> Told:
        """Return what the body of a script's request says; raise ValueError for any other body."""
        try:
            found = json.loads(body)
        except RecursionError as error:
            raise ValueError("nested too deep") from error
        if not isinstance(found, dict) or not found.keys() <= {"tab", "copy_of", "browser"}:
            raise ValueError("not a tab")
        tab, copy_of = found.get("tab"), found.get("copy_of")
        if not _is_id(tab) or not (copy_of is None or _is_id(copy_of)) or tab == copy_of:
            raise ValueError("not a tab")
        told = found.get("browser")
        return cls(tab, copy_of, None if told is None else Browser.read(told))


class Tab:
    """The tab of one page."""

    __slots__ = ("_began", "_id", "_is_settled", "_may_be_told", "_settled")

    def __init__(self) -> None:
        self._id = secrets.token_hex(16)
        self._began = time.monotonic()
        self._is_settled, self._may_be_told = False, True
        self._settled = asyncio.Event()

    @property
    def is_settled(self) -> bool:
        """Whether the tab cannot change any more."""
        return self._is_settled

    def take_turn(self) -> bool:
        """Return whether this is the first time that a script says the tab: what it says has an effect only once."""
        first, self._may_be_told = self._may_be_told and not self._is_settled, False
        return first

    def settle(self, tab: str | None = None) -> bool:
        """Say in which tab the page is; None for one of its own. Return whether it was not settled before."""
        if self._is_settled:
            return False
        self._id, self._is_settled = tab or self._id, True
        self._settled.set()
        return True

    async def known(self) -> str:
        """Return the tab's id, 32 hexadecimal digits, as soon as the page's script has said it, or may not any more."""
        remaining = self._began + PATIENCE - time.monotonic()
        if not self._is_settled and remaining > 0:
            try:
                async with asyncio.timeout(remaining):
                    await self._settled.wait()
            except TimeoutError:
                pass
        self.settle()
        return self._id


def _is_id(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and _id.fullmatch(text) is not None
