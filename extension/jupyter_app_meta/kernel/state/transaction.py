"""Several reads and writes of state that happen at one moment, or not at all.

1. All reads see the moment at which the block began, and the block's own writes.
2. Writes are kept until the block ends. They are applied if nothing that the block has read has changed, absent keys
   included. Otherwise the block raises Conflict, and nothing has happened.
3. A block that raises writes nothing, and neither does a block that only reads.
4. Code that counts or lists the keys has read the whole state. A key that other code adds is a change of it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Self, TypeAlias

from ...errors import StateError
from ...state import values
from ...state.forms import KEY_LIMIT
from ...state.operations import Apply, Entries, Operation, Read, read_entries

Ask: TypeAlias = Callable[[Operation], Any]


class Transaction(MutableMapping[str, values.Json]):
    """A mapping that is used in a ``with`` block, once."""

    __slots__ = ("_ask", "_began", "_drops", "_is_over", "_puts", "_seen", "_whole")

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._began: Entries | None = None
        self._is_over = False
        self._seen: set[str] = set()
        self._puts: dict[str, str] = {}
        self._drops: set[str] = set()
        self._whole = False

    def __enter__(self) -> Self:
        if self._began is not None or self._is_over:
            raise StateError("A transaction is used once: begin another one with state.transaction().")
        self._began = read_entries(self._ask(Read()))
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        began, self._began, self._is_over = self._entries, None, True
        drops = tuple(key for key in sorted(self._drops) if key in began)
        if kind is None and (self._puts or drops):
            expects = {key: began[key][1] if key in began else 0 for key in self._seen}
            self._ask(Apply(expects, self._puts, drops, whole=self._whole))
        self._seen, self._puts, self._drops = set(), {}, set()

    def __getitem__(self, key: str) -> values.Json:
        text = self._text(values.check_key(key))
        if text is None:
            raise KeyError(key)
        return values.decode(text)

    def __contains__(self, key: object) -> bool:
        return self._text(values.check_key(key)) is not None

    def __setitem__(self, key: str, value: values.Json) -> None:
        text = values.encode(value)
        assert self._entries is not None
        self._puts[values.check_key(key)] = text
        self._drops.discard(key)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._puts.pop(key, None)
        self._drops.add(key)

    def __iter__(self) -> Iterator[str]:
        self._seen |= self._entries.keys()
        self._whole = True
        return iter([key for key in {**self._entries, **self._puts} if key not in self._drops])

    def __len__(self) -> int:
        return sum(1 for _ in self)  # list() would ask for the length

    @property
    def _entries(self) -> Entries:
        if self._is_over:
            raise StateError("This transaction is over, and nothing more is read or written: begin another one.")
        if self._began is None:
            raise StateError("A transaction is used in a block: with state.transaction() as t: ...")
        return self._began

    def _text(self, key: str) -> str | None:
        """Return the text of a key as the block sees it, and remember that it was read."""
        began = self._entries.get(key)
        if key in self._puts:
            return self._puts[key]
        if len(key) <= KEY_LIMIT:  # a longer one is absent for ever, and the server would not read it
            self._seen.add(key)
        return None if began is None or key in self._drops else began[0]
