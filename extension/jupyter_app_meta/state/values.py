"""What may be stored, and what comes back: the same types, read-only. ASCII JSON text ⇄ value.

1. A value is None, bool, int, a finite float, str, list, or dict with keys of type str. Its own type counts, because a
   subclass would come back as its base.
2. Anything else is refused. The error names the place in the value and what to store instead. Nothing is converted.
3. What is decoded is equal to what was encoded, type by type. It is read-only, because a change to it would be lost.
4. Values are nested at most 50 deep.
5. The text of a value is one text only: no blanks, ASCII, keys in their order. ``verify`` refuses any other text.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn, Self, TypeAlias

from ..errors import StateError, TooLarge, Unstorable
from ..records import Frozen

# What is stored and what comes back. A recursive type would refuse a `list[int]`, because lists are invariant.
Json: TypeAlias = Any

DEPTH = 50
PREFERENCE_LIMIT = 200  # characters of a preference
INT_BITS = 14_284  # ints with more bits may have more than 4300 digits, which Python refuses to read

READ_ONLY_LIST = (
    "what comes from state is read-only: take list(value), change it and store it, or state.change(key, function)"
)
_REFUSED = "append extend insert remove pop clear sort reverse".split()

_BASES = (bool, int, float, str, list, dict)
_IF_SMALL = " if it is small, or keep the data where it is and store its name"
_REMEDIES: Mapping[str, str] = {
    "builtins.tuple": "store list(value), because it would come back as a list",
    "builtins.set": "store sorted(value)",
    "builtins.frozenset": "store sorted(value)",
    "builtins.bytes": "store base64.b64encode(value).decode()",
    "builtins.bytearray": "store base64.b64encode(value).decode()",
    "builtins.complex": "store [value.real, value.imag]",
    "builtins.range": "store list(value)",
    "builtins.dict_keys": "store list(value)",
    "builtins.dict_values": "store list(value)",
    "builtins.dict_items": "store dict(value)",
    "builtins.mappingproxy": "store dict(value)",
    "builtins.coroutine": "await it first, or use state.aio",
    "collections.deque": "store list(value)",
    "datetime.datetime": "store value.isoformat() and read it with datetime.fromisoformat(text)",
    "datetime.date": "store value.isoformat() and read it with date.fromisoformat(text)",
    "datetime.time": "store value.isoformat() and read it with time.fromisoformat(text)",
    "datetime.timedelta": "store value.total_seconds()",
    "decimal.Decimal": "store str(value) and read it with Decimal(text)",
    "fractions.Fraction": "store str(value) and read it with Fraction(text)",
    "uuid.UUID": "store str(value) and read it with UUID(text)",
    "pathlib.PurePath": "store str(value)",
    "numpy.ndarray": f"store value.tolist(){_IF_SMALL}",
    "pandas.DataFrame": f"store value.to_dict('records'){_IF_SMALL}",
    "pandas.Series": f"store value.tolist(){_IF_SMALL}",
    "pandas.Index": f"store value.tolist(){_IF_SMALL}",
}
_PLAIN = "store plain values: None, bool, int, float, str, list, dict"

_TOO_DEEP = f"is nested more than {DEPTH} deep, or contains itself: store a flatter value"
_CONTAINERS = (dict, list)
_written: Callable[[Json], str] = json.JSONEncoder(separators=(",", ":"), check_circular=False, allow_nan=False).encode


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_read: Callable[[str], Any] = json.JSONDecoder(parse_constant=_no_number).decode


class FrozenList(list[Any]):
    """A read-only list that comes from state. ``list(value)`` is a copy that can be changed."""

    __slots__ = ()

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(READ_ONLY_LIST)

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in _REFUSED]

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[list[Any]]]:
        return type(self), (list(self),)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be stored. A deployer sets them with the option ``state_limits``."""

    key: int = 200  #: characters of a key
    value: int = 64 * 1024  #: bytes of a value, as ASCII JSON
    keys: int = 1_000  #: keys of one scope
    scope: int = 1024 * 1024  #: bytes of all values of one scope

    def check(self, key: str, text: str) -> None:
        """Raise TooLarge if the key or the text of its value exceeds a limit."""
        if len(key) > self.key:
            raise too_large("key", f"The key {key[:20]!r}… has {len(key)} characters", self.key, "")
        if len(text) > self.value:
            problem = f"The value of {key!r} takes {len(text)} bytes"
            raise too_large("value", problem, self.value, "Keep the data elsewhere and store its name.")

    def check_scope(self, keys: int, size: int) -> None:
        """Raise TooLarge if a scope would have more keys, or more bytes in all, than a limit allows."""
        if keys > self.keys:
            raise too_large("keys", f"This state would have {keys} keys", self.keys, "Delete keys that are not used.")
        if size > self.scope:
            problem = f"This state would take {size} bytes"
            raise too_large("scope", problem, self.scope, "Delete keys that are not used.")


def too_large(limit: str, problem: str, allowed: int | str, remedy: str) -> TooLarge:
    """Return the error of a limit, which names the option."""
    return TooLarge(f"{problem}, and AppMetaExtension.state_limits[{limit!r}] allows {allowed}. {remedy}".rstrip())


def check_key(key: object) -> str:
    """Return the key; raise Unstorable unless it is text of the type str."""
    if type(key) is not str:
        raise Unstorable(f"keys of state are str, not {_kind(key)}: take str(key)")
    if not key.isascii() and not _is_text(key):
        raise Unstorable("the key has half of a surrogate pair, which is not text: store the whole character")
    return key


def check_preference(value: object) -> None:
    """Raise Unstorable unless the value may be a preference: every dashboard reads it, so it is small."""
    if not isinstance(value, bool | int | float | str) or len(str(value)) > PREFERENCE_LIMIT:
        raise Unstorable(f"a preference is a bool, a number or a text of at most {PREFERENCE_LIMIT} characters")


def encode(value: Json) -> str:
    """Return the value as ASCII JSON; raise Unstorable, which names the place and the remedy."""
    try:
        _CHECKS.get(type(value), _refuse)(value, 0)
    except _Refusal as refusal:
        raise Unstorable(f"value{''.join(reversed(refusal.path))} {refusal.problem}") from None
    return _written(value)


def decode(text: str) -> Any:
    """Return the value of a text that ``encode`` made; raise StateError if it is not JSON."""
    try:
        return _frozen(_read(text))
    except (ValueError, RecursionError):
        raise StateError("The stored value is damaged, or another program wrote it. It was left as it is.") from None


def verify(text: str) -> Any:
    """Return the value of a text from a program that is not trusted; raise Unstorable unless ``encode`` made it."""
    try:
        value = decode(text)
        if encode(value) == text:
            return value
    except StateError:
        pass
    raise Unstorable("The value is not the JSON text that state.set writes: use the methods of state.")


class _Refusal(Exception):
    """A value that cannot be stored; its path is collected on the way out, so that a good value pays nothing for it."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: list[str] = []


def _refuse(value: object, depth: int) -> None:
    raise _Refusal(f"is of type {_kind(value)}: {_remedy(value)}")


def _check_nothing(value: object, depth: int) -> None:
    """Accept None, True and False."""


def _check_text(value: str, depth: int) -> None:
    if not value.isascii() and not _is_text(value):
        raise _Refusal("has half of a surrogate pair, which is not text: store the whole character")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_int(value: int, depth: int) -> None:
    if value.bit_length() > INT_BITS:
        raise _Refusal("is an int of more than 4300 digits: store hex(value) and read it with int(text, 16)")


def _check_float(value: float, depth: int) -> None:
    if not isfinite(value):
        raise _Refusal(f"is {value}: store None, because JSON has no such number")


def _check_list(value: list[Any], depth: int) -> None:
    if depth >= DEPTH:
        raise _Refusal(_TOO_DEEP)
    index = 0
    try:
        for item in value:
            _CHECKS.get(type(item), _refuse)(item, depth + 1)
            index += 1  # enumerate() makes a tuple for each item, and most values are good
    except _Refusal as refusal:
        refusal.path.append(f"[{index}]")
        raise


def _check_dict(value: dict[Any, Any], depth: int) -> None:
    if depth >= DEPTH:
        raise _Refusal(_TOO_DEEP)
    for key, item in value.items():
        if type(key) is not str:
            raise _Refusal(f"has the key {key!r} of type {_kind(key)}: take str(key), because JSON has no other keys")
        try:
            _check_text(key, depth)
            _CHECKS.get(type(item), _refuse)(item, depth + 1)
        except _Refusal as refusal:
            refusal.path.append(f"[{key!r}]")
            raise


_CHECKS: dict[type, Callable[[Any, int], None]] = {
    type(None): _check_nothing,
    bool: _check_nothing,
    int: _check_int,
    float: _check_float,
    str: _check_text,
    list: _check_list,
    FrozenList: _check_list,
    dict: _check_dict,
    Frozen: _check_dict,
}


def _remedy(value: object) -> str:
    kind = type(value)
    if isinstance(value, enum.Enum):
        return "store value.value"
    if hasattr(kind, "__dataclass_fields__"):
        return "store dataclasses.asdict(value)"
    names = [f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in kind.__mro__]
    if "numpy.generic" in names:
        return "store value.item()"
    remedies = [_REMEDIES[name] for name in names if name in _REMEDIES]
    if remedies:
        return remedies[0]
    base = next((base.__name__ for base in kind.__mro__ if base in _BASES), None)
    return f"store {base}(value), because it would come back as {base}" if base else _PLAIN


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"


def _frozen(value: Any) -> Any:
    """Return what JSON's reader made, read-only. Its dicts are used up."""
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if type(item) in _CONTAINERS:
                value[key] = _frozen(item)
        return Frozen(value)
    if kind is list:
        return FrozenList([_frozen(item) if type(item) in _CONTAINERS else item for item in value])
    return value
