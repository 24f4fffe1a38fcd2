"""Read-only mappings: what the values that an author sees are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError, fields
from types import MappingProxyType
from typing import Any, NoReturn, Self, TypeVar

from .datastructures import Confined, missing

NOTHING: Mapping[str, Any] = MappingProxyType({})

REFUSED = frozenset(("pop", "popitem", "clear", "update", "setdefault"))
"""The methods of a dict that a read-only dict refuses. Completion does not offer them."""

Kind = TypeVar("Kind", bound="Record")


class Frozen(dict[str, Any]):
    """A read-only dict, ready for ``json.dumps``. ``dict(frozen)`` is a copy that can be changed."""

    __slots__ = ()

    _kind = "this mapping"

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is read-only: take dict(value) for a copy that you can change.")

    __setattr__ = __delattr__ = __setitem__ = __delitem__ = _refuse
    pop = popitem = clear = update = setdefault = __ior__ = _refuse

    def __missing__(self, name: object) -> NoReturn:
        raise missing(self._kind, name, self)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in REFUSED]

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, Any]]]:
        return type(self), (dict(self),)


def freeze(value: Any) -> Any:
    """Return a JSON value with read-only dicts and tuples in place of dicts and lists."""
    if isinstance(value, Mapping):
        return Frozen({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    return value


class Record(Confined, Mapping[str, Any]):
    """A read-only mapping of the fields of a dataclass: ``record["name"]`` is ``record.name``."""

    __slots__ = ()

    _kind = ""

    def keys(self) -> tuple[str, ...]:  # type: ignore[override]  # no view: the names never change
        """The names of the fields."""
        return tuple(item.name for item in fields(self))  # type: ignore[arg-type]  # mixed into dataclasses only

    def __getitem__(self, name: str) -> Any:
        if name not in self.keys():
            raise missing(self._kind, name, self.keys())
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the field, or the default if there is no such field."""
        return getattr(self, name) if name in self.keys() else default

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def _refuse(self, name: str, *value: Any) -> NoReturn:
        remedy = "dataclasses.replace(value, ...) gives a changed one"
        raise FrozenInstanceError(f"{type(self).__name__} is read-only, {name!r} cannot be set: {remedy}.")


def sealed(cls: type[Kind]) -> type[Kind]:
    """Refuse to set an unknown name like a known one. In a slotted class, the method that Python generates fails."""
    cls.__setattr__ = cls.__delattr__ = Record._refuse  # type: ignore[method-assign,assignment]  # it takes both
    return cls
