"""What a host's user means: whose it is, what is shown of it, and what tells it from others."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.authentication import AuthCredentials, BaseUser, SimpleUser, UnauthenticatedUser

from jupyter_app_meta.asgi.users import LONGEST, NAMES, read
from jupyter_app_meta.policy.names import Scopes

HASH = "$2b$12$hash-of-a-password"


class Identified(BaseUser):
    """A user of Starlette's with an identity."""

    is_authenticated = True
    display_name = "Alice A."
    identity = "u-17"


class Named(BaseUser):
    """A user of Starlette's whose identity raises, as the base class has it."""

    is_authenticated = True
    display_name = "Alice A."


@dataclass
class Row:
    """A row of a table of users."""

    id: int
    username: str
    hashed_password: str = HASH
    team: str = "emea"
    is_authenticated: bool = True


class Old:
    """A user of an old framework, in which a method says whether the user has logged in."""

    username = "alice"

    def is_authenticated(self) -> bool:
        """Return True."""
        return True


class Broken:
    """A user whose attributes fail, as those of a row whose session is closed."""

    is_authenticated = True
    id = 17

    @property
    def username(self) -> str:
        """Fail."""
        raise RuntimeError(HASH)


class Liar:
    """An object that fails if it is asked for its class."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


def by(**values: Any) -> dict[str, Any]:
    """Return a dict of a user who has logged in."""
    return {"is_authenticated": True, **values}


AUTHENTICATED: dict[str, tuple[object, str, str]] = {
    "the dict of the documentation": (by(username="example_user"), "example_user", "host:user:example_user:"),
    "claims of a token": (by(sub="17", email="a@x.org", name="Alice"), "a@x.org", "host:user:a@x.org:17"),
    "a preferred username": (by(sub="17", preferred_username="al", email="a@x.org"), "al", "host:user:al:17"),
    "a number": (by(id=0), "0", "host:user:0:0"),
    "a UUID": (by(id=uuid.UUID(int=5)), str(uuid.UUID(int=5)), f"host:user:{uuid.UUID(int=5)}:{uuid.UUID(int=5)}"),
    "an empty username": (by(username="", email="a@x.org"), "a@x.org", "host:user:a@x.org:"),
    "a service": (by(username="robot", kind="service"), "robot", "host:service:robot:"),
    "a colon": (by(username="a:b%3A", id="c:d"), "a:b%3A", "host:user:a%3Ab%253A:c%3Ad"),
    "an identity": (Identified(), "u-17", "host:user:u-17:u-17"),
    "an identity that raises": (Named(), "Alice A.", "host:user:Alice A.:"),
    "a row": (Row(17, "alice"), "alice", "host:user:alice:17"),
    "a username that raises": (Broken(), "17", "host:user:17:17"),
}


@pytest.mark.parametrize("form", AUTHENTICATED)
def test_an_authenticated_user_has_a_username_and_a_key(form: str) -> None:
    """The username is the first name that has a value; kind, username and id make the key."""
    user, username, key = AUTHENTICATED[form]
    said = read(user)
    assert (said.values["username"], said.key, said.problem) == (username, key, "")


@pytest.mark.parametrize("flag", [None, "true", "True", 1, [True], Old.is_authenticated, object()])
@pytest.mark.parametrize("form", [dict, lambda values: SimpleNamespace(**values)])
def test_only_true_is_authenticated(flag: object, form: Callable[[dict[str, Any]], Any]) -> None:
    """Whatever else says that a user is authenticated does not say so, and its author hears of it."""
    said = read(form({"username": "alice", "is_authenticated": flag}))
    assert said.key == "" and said.problem == "flag" and said.values == {"username": "alice"}


def test_a_user_without_the_flag_is_not_authenticated() -> None:
    """A string, a method and a missing flag do not name a user who has logged in."""
    assert [read(user).key for user in ("alice", Old(), {"username": "alice"}, object(), 17, b"alice", [])] == [""] * 7
    assert read("alice").values == {"username": "alice"}


def test_a_user_who_has_not_logged_in_is_shown_without_a_key() -> None:
    """What the host calls a guest is shown; it ties no page to anybody, and gives no rights."""
    guest = {"is_authenticated": False, "username": "guest", "groups": ["staff"], "admin": True, "team": "emea"}
    said = read(guest, AuthCredentials(["admin"]))
    assert said.values == {"username": "guest", "team": "emea"}
    assert (said.key, said.problem) == ("", "")
    assert read(UnauthenticatedUser(), AuthCredentials()) == read({"is_authenticated": False}) == read(None)


def test_two_people_of_one_name_are_two() -> None:
    """A full name is never a username, and an id tells two usernames apart."""
    nameless = read(by(name="John Smith"))
    assert (nameless.key, nameless.values, nameless.problem) == ("", {}, "name")
    smiths = [by(username="jsmith", name="John Smith", id=number) for number in (1, 2)]
    assert len({read(smith).key for smith in smiths}) == 2


def test_a_row_of_a_database_tells_its_names_alone() -> None:
    """Of an object no attribute is shown but those with a known meaning; of a dict every JSON value is."""
    assert HASH not in str(read(Row(17, "alice")))
    assert "emea" not in str(read(Row(17, "alice")).values)
    nested = {"a": [1, {"b": None}]}
    said = read(by(username="alice", team="emea", made=object(), nested=nested, odd=float("nan")))
    assert (said.values["team"], said.values["nested"]) == ("emea", nested)
    assert not {"made", "odd"} & set(said.values)


def test_credentials_are_scopes_and_not_groups() -> None:
    """What Starlette's credentials say is a field of its own."""
    said = read(SimpleUser("alice"), AuthCredentials(["authenticated", "admin"]))
    assert said.values["username"] == "alice" and said.key in ("host:user:alice:", "host:user:alice:alice")
    assert said.values["scopes"] == ("authenticated", "admin") and isinstance(said.values["scopes"], Scopes)
    assert said.values["groups"] == () and said.values["admin"] is False


def test_no_value_of_a_dict_stands_for_one_of_ours() -> None:
    """A claim that is called as a field of ours, or as something inside, means nothing."""
    claims = dict.fromkeys(("assurance", "is_owner", "scopes", "_key", "key", "avatar_url", "is_service"), "hub")
    said = read(by(username="mallory", **claims))
    assert said.key == "host:user:mallory:"
    assert set(said.values) == {"username", "kind", "groups", "admin", "scopes", "key", "is_service"}
    assert said.values["scopes"] == ()


def test_what_is_shown_is_a_copy() -> None:
    """A host that changes its dict afterwards changes nothing here."""
    roles = ["reader"]
    said = read(by(username="alice", projects=roles))
    roles.append("admin")
    assert said.values["projects"] == ["reader"]


@pytest.mark.parametrize("name", ["x" * (LONGEST + 1), "\ud800", " \t", True, 1.5, b"alice", ["alice"], {"a": 1}])
def test_what_is_no_name_is_not_made_one(name: object) -> None:
    """A name is not cut, repaired or spelled out: its user is not known, or known by the next name."""
    assert read(by(username=name)).problem == "name"
    assert read(by(username=name, id="17")).key == "host:user:17:17"


# --- hostile users ----------------------------------------------------------------------------------------------------


class Raising:
    """Raises wherever it is touched."""

    def _raise(self, *_: Any) -> Any:
        raise ValueError(HASH)

    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __getitem__ = __call__ = _raise


class Text(str):
    """A string that says something else of itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return "admin"

    def strip(self, *_: Any) -> str:
        """Raise."""
        raise ValueError


class Items(Mapping[str, Any]):
    """A mapping that raises as it is read."""

    def __init__(self, values: dict[str, Any], refused: str) -> None:
        self.values_, self.refused = values, refused

    def __getitem__(self, name: str) -> Any:
        if name == self.refused:
            raise RuntimeError(HASH)
        return self.values_[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.values_
        raise RuntimeError(HASH)

    def __len__(self) -> int:
        return len(self.values_)


class Object:
    """An object with these attributes, one of which raises."""

    def __init__(self, values: dict[str, Any], refused: str) -> None:
        self.values_, self.refused = values, refused

    def __getattr__(self, name: str) -> Any:
        if name == self.refused:
            raise RuntimeError(HASH)
        try:
            return self.values_[name]
        except KeyError:
            raise AttributeError(name) from None


ODD = st.one_of(
    st.text(max_size=8),
    st.integers(),
    st.booleans(),
    st.none(),
    st.uuids(),
    st.floats(),
    st.binary(max_size=4),
    st.builds(Raising),
    st.builds(Liar),
    st.builds(Text, st.text(max_size=8)),
    st.just(10**5000),
    st.lists(st.one_of(st.text(max_size=4), st.builds(Raising), st.builds(Liar)), max_size=3),
    st.dictionaries(st.text(max_size=4), st.builds(object), max_size=2),
)
FIELDS = (*NAMES, "name", "display_name", "initials", "color", "kind", "groups", "admin", "is_authenticated", "team")
VALUES = st.dictionaries(st.sampled_from(FIELDS), ODD, max_size=len(FIELDS))
USERS = st.one_of(
    VALUES,
    st.builds(Items, VALUES, st.sampled_from(FIELDS)),
    st.builds(Object, VALUES, st.sampled_from(FIELDS)),
    ODD,
)


@given(USERS, st.one_of(st.none(), st.builds(Object, st.fixed_dictionaries({"scopes": ODD}), st.just(""))))
def test_no_user_is_more_than_it_says(user: object, auth: object) -> None:
    """Whatever a host puts into the scope: reading it never fails, and only the value True authenticates."""
    said = read(user, auth)
    json.dumps(dict(said.values), allow_nan=False)
    if said.key:
        flag = user["is_authenticated"] if isinstance(user, Mapping) else user.is_authenticated  # type: ignore[attr-defined]
        assert flag is True and said.key.count(":") == 3 and said.values["username"]
    else:
        assert not {"kind", "groups", "admin", "scopes"} & set(said.values)
    assert HASH not in repr(said)


IDENTITIES = st.tuples(st.text(min_size=1, max_size=6), st.text(max_size=6), st.sampled_from(["user", "service"]))


@given(IDENTITIES, IDENTITIES)
def test_keys_are_as_different_as_users(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """Two users have one key only if kind, username and id are the same."""
    said = [read(by(username=username, id=own, kind=kind)) for username, own, kind in (one, other)]
    if all(each.key for each in said):
        known = [(name, own if own.strip() else "", kind) for name, own, kind in (one, other)]
        names = [each.values["username"] for each in said]
        assert (said[0].key == said[1].key) == (names[0] == names[1] and known[0][1:] == known[1][1:])
