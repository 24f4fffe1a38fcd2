"""Starlette's request types with masked reprs, and cookies to match.

Notebooks are saved with their outputs, so nothing here shows a value by itself: a repr has the
names, and a value appears only when the author asks for that one value. Verbose tracebacks show
the variables of our own frames: no lookup that fails has a value in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette import datastructures as starlette

from .errors import NotPicklable

MASK = "***"

Pairs = Iterable[tuple[str, str]]


class Confined:
    """A value that stays in its process: copies are the value itself, pickling raises."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise NotPicklable(type(self).__name__)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .kernel import display  # only a notebook shows rich forms

        return display.bundle(self)


def masked(name: str, names: Iterable[str]) -> str:
    """Return a repr that has the names and no value."""
    return f"{name}({{{', '.join(f'{key!r}: {MASK!r}' for key in names)}}})"


class Values(dict[str, str]):
    """The dict in which a mapping keeps its values: a lookup that fails shows it in a verbose traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return masked("Values", self)


class Headers(Confined, starlette.Headers):
    """Request headers, case-insensitive; of a repeated header ``[]`` gives the first, ``getlist`` all."""

    def __init__(self, pairs: Pairs = ()) -> None:
        super().__init__(raw=[(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in pairs])

    def __getitem__(self, name: str) -> str:
        found = self.getlist(name)  # Starlette's own loop fails with another header's value in a variable
        if not found:
            raise KeyError(name)
        return found[0]

    def mutablecopy(self) -> NoReturn:
        """Refuse: a mutable copy would show its values. Build one from ``items()``."""
        raise TypeError("Headers are read-only: build your own mapping from headers.items().")

    def __repr__(self) -> str:
        return masked("Headers", self.keys())

    __str__ = __repr__


class QueryParams(Confined, starlette.QueryParams):
    """Query parameters; of a repeated one ``[]`` gives the last string, ``getlist`` all of them."""

    def __init__(self, *args: Mapping[Any, Any] | list[tuple[Any, Any]] | str | bytes, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dict = Values(self._dict)

    def __repr__(self) -> str:
        return masked("QueryParams", (key for key, _ in self.multi_items()))


class URL(Confined, starlette.URL, Mapping[str, Any]):
    """A URL without userinfo and fragment; ``str(url)`` is whole, its repr masks query values.

    Its parts are attributes and items: ``url.path`` and ``url["path"]``.
    """

    parts = ("scheme", "netloc", "hostname", "port", "path", "query")

    def __getitem__(self, name: str) -> Any:
        if name not in self.parts:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __repr__(self) -> str:
        return f"URL({mask_query(str(self))!r})"

    def __hash__(self) -> int:
        return hash(str(self))


class Cookies(Confined, Mapping[str, str]):
    """Cookie values by name. Not a dict: tools that pretty-print dicts would show the values."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | Pairs = ()) -> None:
        self._values = Values(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return masked("Cookies", self)


def mask_query(url: str) -> str:
    """Return the URL with each query value masked."""
    parts = urlsplit(url)
    pairs = [(key, MASK) for key, _ in parse_qsl(parts.query, keep_blank_values=True)]
    return parts._replace(query=urlencode(pairs, safe="*")).geturl()
