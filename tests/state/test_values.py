"""What may be stored, and what comes back."""

from __future__ import annotations

import copy
import json
import pickle
import random
import uuid
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # it has no type information here
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_app_meta.errors import StateError, TooLarge, Unstorable
from jupyter_app_meta.model import User
from jupyter_app_meta.records import Frozen
from jupyter_app_meta.state.values import DEPTH, FrozenList, Limits, check_key, decode, encode, verify

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


class Color(StrEnum):
    """An enum whose members are also texts."""

    RED = "red"


class Level(IntEnum):
    """An enum whose members are also numbers."""

    LOW = 1


class Name(str):
    """A text of a type of its own."""

    __slots__ = ()


@dataclass(frozen=True)
class Pair:
    """A dataclass, as authors have them."""

    one: int


Point = namedtuple("Point", "x y")  # noqa: PYI024  # the untyped form is what many notebooks have


def same(one: object, other: object) -> bool:
    """Return whether two values are equal, and of the same types all through; order of keys included."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other and repr(one) == repr(other)


def nested(depth: int) -> Any:
    """Return a value that is nested so deep, in lists and dicts by turns."""
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def cycle() -> list[Any]:
    """Return a list that contains itself."""
    loop: list[Any] = []
    loop.append({"again": loop})
    return loop


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    """The same types and values, the same order; as ASCII JSON; and it can be stored once more."""
    text = encode(value)
    back = verify(text)
    assert same(value, back) and same(value, decode(text))
    assert text.isascii() and json.loads(text) == value
    assert encode(back) == text == json.dumps(back, separators=(",", ":"))


def drawn(chance: random.Random, depth: int = 0) -> Any:
    """Return a value by chance; containers are more likely near the top."""
    if chance.random() < 0.6 / (depth + 1):
        items = [drawn(chance, depth + 1) for _ in range(chance.randrange(5))]
        return items if chance.random() < 0.5 else {drawn_text(chance): item for item in items}
    number = chance.choice([chance.randrange(-9, 9), chance.getrandbits(chance.randrange(1, 300))])
    real = chance.choice([chance.random(), chance.uniform(-1e300, 1e300), float(chance.randrange(99))])
    return chance.choice([None, True, False, number, real, drawn_text(chance)])


def drawn_text(chance: random.Random) -> str:
    """Return a text of characters of all planes, without half surrogates."""
    codes = [
        chance.choice([chance.randrange(128), chance.randrange(0xD800), chance.randrange(0xE000, 0x110000)])
        for _ in "12"
    ]
    return "".join(map(chr, codes))


def test_two_thousand_values_come_back() -> None:
    """As above, with many more values, which cost less than those that can be made smaller."""
    chance = random.Random(0)
    for _ in range(2000):
        value = drawn(chance)
        assert same(value, verify(encode(value)))


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**200),
        pytest.param(10**4299, id="long"),
        0.1,
        -0.0,
        1e308,
        5e-324,
        1.0,
        "\x00",
        "\u2028😀",
        "",
        [],
        {},
    ],
)
def test_values_at_the_edges_come_back(value: Any) -> None:
    """Large ints, small floats, a float that is whole, NUL, emoji, empty containers: none changes."""
    assert same(value, verify(encode(value)))


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ((1, 2), "of type tuple: store list(value)"),
        (Point(1, 2), "Point: store list(value)"),
        ({1, 2}, "of type set: store sorted(value)"),
        (frozenset((1,)), "of type frozenset: store sorted(value)"),
        ({1: 2}, "has the key 1 of type int: take str(key)"),
        ({None: 2}, "has the key None of type NoneType: take str(key)"),
        ({Name("a"): 2}, "has the key 'a' of type"),
        (float("nan"), "is nan: store None"),
        (float("-inf"), "is -inf: store None"),
        (
            datetime.now(UTC),
            "of type datetime.datetime: store value.isoformat() and read it with datetime.fromisoformat",
        ),
        (date(2026, 1, 1), "of type datetime.date: store value.isoformat()"),
        (time(12), "of type datetime.time: store value.isoformat()"),
        (timedelta(1), "of type datetime.timedelta: store value.total_seconds()"),
        (np.int64(3), "of type numpy.int64: store value.item()"),
        (np.float64(2), "of type numpy.float64: store value.item()"),
        (np.bool_(True), "of type numpy.bool: store value.item()"),
        (np.str_("a"), "of type numpy.str_: store value.item()"),
        (np.array([1]), "of type numpy.ndarray: store value.tolist()"),
        (
            pd.DataFrame({"a": [1]}),
            "of type pandas.DataFrame: store value.to_dict('records') if it is small, or keep",
        ),
        (pd.Series([1]), "of type pandas.Series: store value.tolist()"),
        (pd.Timestamp(0), "of type pandas.Timestamp: store value.isoformat()"),
        (b"x", "of type bytes: store base64.b64encode(value).decode()"),
        (bytearray(b"x"), "of type bytearray: store base64"),
        (Decimal("1.1"), "of type decimal.Decimal: store str(value)"),
        (Fraction(1, 3), "of type fractions.Fraction: store str(value)"),
        (uuid.uuid4(), "of type uuid.UUID: store str(value)"),
        (Path("x"), "store str(value)"),
        (1j, "of type complex: store [value.real, value.imag]"),
        (range(3), "of type range: store list(value)"),
        ({"a": 1}.keys(), "of type dict_keys: store list(value)"),
        ({"a": 1}.values(), "of type dict_values: store list(value)"),
        ({"a": 1}.items(), "of type dict_items: store dict(value)"),
        (MappingProxyType({}), "of type mappingproxy: store dict(value)"),
        (deque((1,)), "of type collections.deque: store list(value)"),
        (Pair(1), "Pair: store dataclasses.asdict(value)"),
        (pd.Index([1]), "of type pandas.Index: store value.tolist()"),
        (Color.RED, "Color: store value.value"),
        (Level.LOW, "Level: store value.value"),
        (Name("a"), "Name: store str(value), because it would come back as str"),
        (OrderedDict(a=1), "of type collections.OrderedDict: store dict(value), because it would come back as dict"),
        (defaultdict(int), "store dict(value)"),
        (User(username="alice"), "of type jupyter_app_meta.User: store dict(value)"),
        pytest.param(10**4300, "is an int of more than 4300 digits: store hex(value)", id="long"),
        ("\ud800", "has half of a surrogate pair"),
        ({"\udfff": 1}, "has half of a surrogate pair"),
        (object(), "of type object: store plain values: None, bool, int, float, str, list, dict"),
        (nested(DEPTH + 1), "is nested more than 50 deep"),
        (cycle(), "or contains itself"),
    ],
)
def test_what_would_change_is_refused(value: object, remedy: str) -> None:
    """Each refusal names the type and the remedy, at the top and inside a value."""
    with pytest.raises(Unstorable) as refused:
        encode(value)
    assert remedy in str(refused.value) and str(refused.value).startswith("value")
    with pytest.raises(Unstorable):
        encode({"a": [value]})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([{"a": (1,)}], "value[0]['a'] is"),
        ({"cart": [1, {"n": {1}}]}, "value['cart'][1]['n'] is"),
        ({"a": {1: 2}}, "value['a'] has the key 1"),
        ([1, [2, "\ud800"]], "value[1][1] has half"),
    ],
)
def test_a_refusal_names_the_place(value: object, path: str) -> None:
    """The path is Python, so that the author can paste it."""
    with pytest.raises(Unstorable) as refused:
        encode(value)
    assert str(refused.value).startswith(path)


def test_the_depth_that_is_promised_is_kept() -> None:
    """Fifty levels are stored."""
    assert same(nested(DEPTH), verify(encode(nested(DEPTH))))


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["a"].append(1),
        lambda value: value["a"].extend([1]),
        lambda value: value["a"].insert(0, 1),
        lambda value: value["a"].pop(),
        lambda value: value["a"].remove(1),
        lambda value: value["a"].clear(),
        lambda value: value["a"].sort(),
        lambda value: value["a"].reverse(),
        lambda value: value["a"].__setitem__(0, 2),
        lambda value: value["a"].__delitem__(0),
        lambda value: value["a"].__iadd__([1]),
        lambda value: value["a"].__imul__(2),
        lambda value: value["a"][1]["b"].append(3),
        lambda value: value["a"][1].update(x=1),
        lambda value: value.__setitem__("x", 1),
        lambda value: value.pop("a"),
    ],
)
def test_what_comes_back_is_read_only(change: Callable[[Any], object]) -> None:
    """A change that would be lost is refused, at any depth, and the error says what to do."""
    value = decode('{"a":[1,{"b":[2]}],"c":{}}')
    with pytest.raises(TypeError, match=r"read-only: take (list|dict)\(value\)"):
        change(value)
    assert value == {"a": [1, {"b": [2]}], "c": {}}


def test_what_comes_back_is_a_list_and_a_dict() -> None:
    """JSON, pandas, copies and pickles take it as the list and dict that it is."""
    value = decode('{"a":[1,{"b":[2]}]}')
    assert type(value) is Frozen and type(value["a"]) is FrozenList and isinstance(value["a"], list)
    assert json.dumps(value) == '{"a": [1, {"b": [2]}]}'
    assert pd.DataFrame(decode('[{"x":1},{"x":2}]')).shape == (2, 1)
    assert copy.copy(value["a"]) == copy.deepcopy(value["a"]) == value["a"]
    assert type(pickle.loads(pickle.dumps(value))["a"]) is FrozenList
    own = list(value["a"])
    own.append(5)
    assert type(own) is list and len(value["a"]) == 2
    assert "append" not in dir(value["a"]) and "index" in dir(value["a"])
    assert type([*value["a"], 3]) is type(value["a"] + [3]) is list


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "nul", "[1,]", "'a'", "[" * 100_000, "1" * 5000, "1 2"])
def test_a_damaged_text_is_an_error(text: str) -> None:
    """What is not JSON is neither empty nor a default."""
    with pytest.raises(StateError, match="damaged"):
        decode(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            " 1",
            "1 ",
            "[1, 2]",
            '{"a": 1}',
            '{"a":1,"a":2}',
            "-0",
            "1e5",
            "1.50",
            "1e999",
            "[1e999]",
            '"é"',
            '"\\u0041"',
        ),
        *('"\\ud800"', '{"\\ud800":1}', '"\\/"', "\ufeff1", "[" * 51 + "]" * 51, "", "NaN", "[" * 100_000),
    ],
)
def test_a_text_in_another_form_is_refused(text: str) -> None:
    """One value has one text; a program that writes another is not ours, and stores are not its parsers."""
    with pytest.raises(Unstorable, match="not the JSON text"):
        verify(text)


@given(st.text() | VALUES.map(json.dumps))
def test_any_text_is_verified_or_refused(text: str) -> None:
    """Whatever is accepted is what ``encode`` writes."""
    try:
        value = verify(text)
    except Unstorable:
        return
    assert encode(value) == text


@pytest.mark.parametrize("key", [1, None, b"a", ("a",), Name("a")])
def test_keys_are_text(key: object) -> None:
    """A key of another type would come back as text."""
    with pytest.raises(Unstorable, match=r"keys of state are str, not .*: take str\(key\)"):
        check_key(key)


def test_a_key_is_whole_text() -> None:
    """Half a character is not text in any database."""
    with pytest.raises(Unstorable, match="half of a surrogate pair"):
        check_key("a\ud800")
    assert check_key("é\x00") == "é\x00"


def test_limits_name_themselves_and_the_option() -> None:
    """What is allowed is allowed to the last byte; the error says which limit, and where it is set."""
    limits = Limits(key=5, value=10, keys=2, scope=20)
    limits.check("k" * 5, "x" * 10)
    limits.check_scope(2, 20)
    with pytest.raises(TooLarge, match=r"has 6 characters, and AppMetaExtension\.state_limits\['key'\] allows 5"):
        limits.check("k" * 6, "")
    with pytest.raises(TooLarge, match=r"takes 11 bytes.*\['value'\] allows 10\. Keep the data elsewhere"):
        limits.check("k", "x" * 11)
    with pytest.raises(TooLarge, match=r"3 keys.*\['keys'\] allows 2"):
        limits.check_scope(3, 0)
    with pytest.raises(TooLarge, match=r"21 bytes.*\['scope'\] allows 20"):
        limits.check_scope(0, 21)
    assert Limits() == Limits(key=200, value=65536, keys=1000, scope=1048576)
