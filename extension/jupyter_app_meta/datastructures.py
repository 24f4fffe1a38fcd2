"""Starlette's request types with masked reprs, and cookies to match.

1. Notebooks are saved with their outputs, so nothing here shows a value by itself: a repr has the
   names, and a value appears only when the author asks for that one value.
2. Verbose tracebacks show the variables of our own frames, so a failed lookup holds no value in any of its variables.
3. Some tools call ``str()`` and ``items()``: those that list a notebook's variables (``%whos``, ``name?``, JupyterLab's
   inspector), and pandas when it prints a cell of a table. They get masked values. Other callers get the values.
4. The error of a failed lookup lists the names that exist, and names the option that opens a withheld item.
"""

from __future__ import annotations

import sys
from collections.abc import ItemsView, Iterable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any, NoReturn, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette import datastructures as starlette

from .errors import NotPicklable, UnknownItem

MASK = "***"

INSPECTORS = ("IPython.core.magics.namespace", "IPython.core.oinspect", "pandas.io.formats.")
LAB_INSPECTOR = "_jupyterlab_variableinspector"

Pairs = Iterable[tuple[str, str]]


class Confined:
    """A value that stays in its process. A copy is the value itself; pickling raises an error."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise NotPicklable(type(self).__name__)

    def _ipython_key_completions_(self) -> list[str]:
        names: Iterable[str] = self.keys()  # type: ignore[attr-defined]  # mixed into mappings only
        return list(dict.fromkeys(names))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        bundle: dict[str, str] = _display().bundle(self)
        return bundle


def masked(name: str, names: Iterable[str]) -> str:
    """Return a repr that has the names, and no values."""
    return f"{name}({{{', '.join(f'{key!r}: {MASK!r}' for key in names)}}})"


class LeftOut:
    """A mapping of a request's values that knows which names the server withheld or dropped."""

    __slots__ = ()

    _kind = ""
    _left_out: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def _missing(self, name: object) -> UnknownItem:
        names: Iterable[str] = self.keys()  # type: ignore[attr-defined]  # mixed into mappings only
        return missing(self._kind, name, names, *self._left_out)

    def with_left_out(self, redacted: tuple[str, ...], truncated: tuple[str, ...]) -> Self:
        """Return the same values with the names of the items that were left out."""
        if self._left_out == (redacted, truncated):
            return self
        twin = object.__new__(type(self))
        vars(twin).update(vars(self), _left_out=(redacted, truncated))
        return twin


def missing(
    kind: str, name: object, names: Iterable[str], redacted: tuple[str, ...] = (), truncated: tuple[str, ...] = ()
) -> UnknownItem:
    """Return the error of a failed lookup."""
    return UnknownItem(name, partial(_explained, kind, name, tuple(names), redacted, truncated))


def _explained(*given: Any) -> str:
    sentence: str = _display().missing(*given)
    return sentence


def _display() -> ModuleType:
    """Return the package that shows values.

    It is a layer above this module, so it is imported only here, and late: most programs show no rich form, and the
    errors of most failed lookups are caught and never read.
    """
    from . import display

    return display


def _is_inspected() -> bool:
    """Return whether the caller's caller is a tool that shows all variables of a notebook, or cells of a table."""
    frame = sys._getframe(2)
    name = frame.f_globals.get("__name__") or ""
    return name.startswith(INSPECTORS) or frame.f_code.co_name.startswith(LAB_INSPECTOR)


class Raw(list[tuple[bytes, bytes]]):
    """The list in which headers keep their values."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"[{', '.join(f'({name!r}, {MASK!r})' for name, _ in self)}]"


class Parameters(list[tuple[str, str]]):
    """The list in which query parameters keep their values."""

    __slots__ = ()

    __repr__ = Raw.__repr__


class Values(dict[str, str]):
    """The dict in which a mapping keeps its values. The verbose traceback of a failed lookup shows this dict."""

    __slots__ = ()

    def __repr__(self) -> str:
        return masked("Values", self)


class Headers(Confined, LeftOut, starlette.Headers):
    """Request headers, case-insensitive. For a repeated header, ``[]`` gives the first value and ``getlist`` all."""

    _kind = "headers"

    def __init__(self, pairs: Pairs = ()) -> None:
        super().__init__(raw=Raw((k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in pairs))

    def __getitem__(self, name: str) -> str:
        found = self.getlist(name)  # when Starlette's own loop fails, a variable of it holds another header's value
        if not found:
            raise self._missing(name)
        return found[0]

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]  # as Starlette's
        """The pairs of names and values."""
        pairs = super().items()
        return [(name, MASK) for name, _ in pairs] if _is_inspected() else pairs

    def mutablecopy(self) -> NoReturn:
        """Raise TypeError, because a mutable copy would show its values. Build a mapping from ``items()`` instead."""
        raise TypeError("Headers are read-only: build your own mapping from headers.items().")

    def __repr__(self) -> str:
        return masked("Headers", self.keys())

    __str__ = __repr__


class QueryParams(Confined, LeftOut, starlette.QueryParams):
    """Query parameters. For a repeated parameter, ``[]`` gives the last string and ``getlist`` all of them.

    ``str`` is masked too. The text of the query is ``url.query``.
    """

    _kind = "query"

    def __init__(self, *args: Mapping[Any, Any] | list[tuple[Any, Any]] | str | bytes, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dict, self._list = Values(self._dict), Parameters(self._list)

    def __getitem__(self, name: str) -> str:
        if name not in self._dict:
            raise self._missing(name)
        return str(self._dict[name])

    def items(self) -> ItemsView[str, str]:
        """The pairs of names and values."""
        return (dict.fromkeys(self._dict, MASK) if _is_inspected() else self._dict).items()

    def __repr__(self) -> str:
        return masked("QueryParams", (key for key, _ in self.multi_items()))

    __str__ = __repr__


class URL(Confined, starlette.URL, Mapping[str, Any]):
    """A URL without userinfo and fragment. ``str(url)`` is the whole URL; its repr masks the query's values.

    Its parts are attributes and items: ``url.path`` and ``url["path"]``.
    """

    parts = ("scheme", "netloc", "hostname", "port", "path", "query")

    def __getitem__(self, name: str) -> Any:
        if name not in self.parts:
            raise missing("url", name, self.parts)
        return getattr(self, name)

    def items(self) -> ItemsView[str, Any]:
        """The pairs of names and values. The query is masked for tools that show every value by themselves."""
        parts = {name: getattr(self, name) for name in self.parts}
        return (parts | {"query": mask_query(f"?{self.query}")[1:]} if _is_inspected() else parts).items()

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __str__(self) -> str:
        return mask_query(self._url) if _is_inspected() else self._url

    def __repr__(self) -> str:
        return f"URL({mask_query(self._url)!r})"

    def __hash__(self) -> int:
        return hash(self._url)


class Cookies(Confined, LeftOut, Mapping[str, str]):
    """Cookie values by name. This is not a dict, because tools that pretty-print dicts would show the values."""

    _kind = "cookies"

    def __init__(self, values: Mapping[str, str] | Pairs = ()) -> None:
        self._values = Values(values)

    def __getitem__(self, name: str) -> str:
        if name not in self._values:
            raise self._missing(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def items(self) -> ItemsView[str, str]:
        """The pairs of names and values."""
        return (dict.fromkeys(self._values, MASK) if _is_inspected() else self._values).items()

    def __repr__(self) -> str:
        return masked("Cookies", self)


def mask_query(url: str) -> str:
    """Return the URL with each query value masked."""
    parts = urlsplit(url)
    pairs = [(key, MASK) for key, _ in parse_qsl(parts.query, keep_blank_values=True)]
    return parts._replace(query=urlencode(pairs, safe="*")).geturl()
