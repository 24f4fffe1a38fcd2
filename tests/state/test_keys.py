"""Whose state it is."""

from __future__ import annotations

import hashlib
import json
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta import errors
from jupyter_app_meta.model import User
from jupyter_app_meta.state.keys import AUDIENCES, NAME_LIMIT, Identity, Scope, Space, Way, identity_of, scope_of

SALES = Space.run("prod", "/sales")
ALICE = Identity("hub", "hub", "user", "alice")
ANY_TEXT = st.text()


def user(**fields: Any) -> User:
    """Return a user as the server makes one."""
    return User({"username": "alice", "kind": "user", "assurance": "provider", **fields})


@pytest.mark.parametrize(
    ("fields", "way", "browser", "expected"),
    [
        ({"assurance": "hub"}, "run", "b1", ["hub", "hub", "user", "alice"]),
        ({"assurance": "hub", "kind": "service"}, "edit", None, ["hub", "hub", "service", "alice"]),
        ({}, "run", "b1", ["Ldap", "provider", "user", "alice"]),
        ({"kind": "anonymous"}, "run", "b1", None),
        ({"username": ""}, "run", "b1", None),
        ({"username": None}, "run", "b1", None),
        ({"username": "x" * (NAME_LIMIT + 1)}, "run", "b1", None),
        ({"assurance": "shared-secret", "is_owner": True}, "edit", "b1", ["Ldap", "shared-secret", "owner", ""]),
        ({"assurance": "shared-secret", "is_owner": True}, "edit", None, ["Ldap", "shared-secret", "owner", ""]),
        ({"assurance": "shared-secret", "is_owner": True}, "run", "b1", ["Ldap", "shared-secret", "browser", "b1"]),
        ({"assurance": "shared-secret", "is_owner": True}, "run", None, None),
        ({"assurance": "shared-secret", "is_owner": None}, "edit", None, None),
        ({"assurance": "none", "kind": "anonymous"}, "run", "b1", ["Ldap", "none", "browser", "b1"]),
        ({"assurance": "none", "kind": "anonymous"}, "edit", "", None),
        ({"assurance": "invented"}, "run", "b1", None),
        ({"assurance": None}, "run", "b1", None),
    ],
)
def test_a_user_is_one_person_or_none(
    fields: dict[str, Any], way: Way, browser: str | None, expected: list[str] | None
) -> None:
    """The identity is the person, the owner, or the browser; what is not known is None."""
    found = identity_of(user(**fields), "Ldap", way, browser)
    assert (None if found is None else json.loads(found.text)) == expected


def test_no_user_has_no_identity() -> None:
    """Without a user there is no identity, whatever cookie the browser sends."""
    assert identity_of(None, "Ldap", "run", "b1") is None


def test_a_renamed_holder_of_the_token_stays_who_they_were() -> None:
    """The name that a visitor of a token server chooses for themself changes nothing."""
    held = [identity_of(user(assurance="shared-secret", is_owner=True, username=name), "", "run", "b") for name in "ab"]
    assert held[0] == held[1]


def test_a_name_that_passes_to_another_is_another_person() -> None:
    """Where a provider knows more than a name, a person is that, and keeps it under a new name."""
    alice, heir, renamed = (
        identity_of(user(assurance="provider", username=name), "OpenID", "run", None, f"oidc:issuer:{subject}")
        for name, subject in (("alice", "1"), ("alice", "2"), ("alicia", "1"))
    )
    assert alice and heir and alice == renamed and alice != heir
    long = identity_of(user(assurance="provider", username="a"), "OpenID", "run", None, "oidc:" + "x" * 9000)
    assert long and len(long.username) <= NAME_LIMIT


def test_scopes_differ_wherever_a_part_does() -> None:
    """Each audience, space, person and tab has a scope of its own."""
    spaces = [SALES, Space.run("test", "/sales"), Space.run("prod", "/b"), Space.edit("prod", "/sales")]
    spaces.append(Space.run("prod", "/b", "sales"))
    people = [
        ALICE,
        *(Identity(*parts) for parts in (("L", "hub", "user", "alice"), ("hub", "hub", "service", "alice"))),
    ]
    found = {scope_of("shared", space, None) for space in spaces}
    for space in spaces:
        for who in people:
            found |= {scope_of("visitor", space, who), *(scope_of("session", space, who, tab) for tab in ("t1", "t2"))}
    edit = 1  # in an editor two tabs of one notebook share a session
    assert len(found) == len(spaces) + len(spaces) * len(people) * 3 - edit * len(people)
    assert len({scope.id for scope in found}) == len(found)


def test_the_id_is_the_hash_of_the_parts() -> None:
    """The id is documented, so that a database can be read without the package."""
    parts = ["session", SALES.text, ALICE.text, "t1"]
    expected = hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()
    assert scope_of("session", SALES, ALICE, "t1").id == expected
    assert Scope("shared", "x").id == hashlib.sha256(b'["shared","x"]').hexdigest()


def test_a_name_keeps_the_state_of_a_path() -> None:
    """A dashboard that has a name for its state finds it under another path."""
    assert Space.run("prod", "/old", "sales") == Space.run("prod", "/new", "sales")


def test_preferences_are_of_every_dashboard() -> None:
    """Preferences are the same on each dashboard, others in an editor, and others for each person."""
    other = Identity("hub", "hub", "user", "bob")
    mine = scope_of("preferences", SALES, ALICE)
    assert mine == scope_of("preferences", Space.run("prod", "/b"), ALICE)
    others = [scope_of("preferences", space, ALICE) for space in (Space.edit("prod", "a"), Space.run("test", "/sales"))]
    assert len({mine.id, scope_of("preferences", SALES, other).id, *(scope.id for scope in others)}) == 4


def test_shared_state_knows_neither_person_nor_tab() -> None:
    """All visitors of a dashboard share one scope."""
    assert scope_of("shared", SALES, ALICE, "t1") == scope_of("shared", SALES, None)


@pytest.mark.parametrize("audience", ["session", "visitor", "preferences"])
def test_state_of_a_person_needs_one(audience: str) -> None:
    """Without an identity the error says what works instead."""
    with pytest.raises(errors.NoVisitor, match=r"shared\.state needs no visitor"):
        scope_of(audience, SALES, None, "t1")


@pytest.mark.parametrize("tab", [None, ""])
def test_state_of_a_tab_needs_one(tab: str | None) -> None:
    """In a dashboard the tab must be known; in an editor the open notebook is the session."""
    with pytest.raises(errors.NoVisitor, match="browser tab"):
        scope_of("session", SALES, ALICE, tab)
    assert scope_of("session", Space.edit("prod", "a.ipynb"), ALICE, tab).tab is None


@pytest.mark.parametrize("audience", ["meta", "", "Shared", "sessions"])
def test_an_unknown_audience_is_refused(audience: str) -> None:
    """A kernel cannot name a scope that stores keep for themselves."""
    assert audience not in AUDIENCES
    with pytest.raises(ValueError, match="audiences session, visitor, preferences, shared"):
        scope_of(audience, SALES, ALICE)


@pytest.mark.parametrize(("pattern", "name"), [("sales", None), ("", None), ("/sales", ""), ("/sales", "/b")])
def test_a_bad_name_of_a_space_is_refused(pattern: str, name: str | None) -> None:
    """A name never looks like a path, so that it is not the space of another dashboard."""
    with pytest.raises(ValueError, match="'/'"):
        Space.run("prod", pattern, name)


def test_a_notebook_needs_a_path() -> None:
    """All notebooks without a path would otherwise share their state."""
    with pytest.raises(ValueError, match="no path"):
        Space.edit("prod", "/")


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_identities_and_spaces_are_read_as_they_were_written(one: str, two: str, three: str, four: str) -> None:
    """Both have an inverse, for any text, and the text is ASCII."""
    identity, spaces = Identity(one, two, three, four), [Space(one, "run", two), Space(one, "edit", two)]
    assert Identity.read(identity.text) == identity
    assert [Space.read(space.text) for space in spaces] == spaces
    assert identity.text.isascii()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '["a","b","c",1]', '["a","b"]', "[" * 99999, '"abcd"', "[NaN"]
)
def test_other_texts_are_refused(text: str) -> None:
    """What is not an identity or a space is a ValueError."""
    for kind in (Identity, Space):
        with pytest.raises(ValueError, match="expected a JSON list"):
            kind.read(text)
    with pytest.raises(ValueError, match="not a space"):
        Space.read('["a","watch","c"]')


@given(st.lists(st.tuples(st.sampled_from(["a", '"', ",", "a,"]), st.sampled_from(["", "a", "\\"])), unique=True))
def test_parts_never_run_into_each_other(parts: list[tuple[str, str]]) -> None:
    """Two lists of parts never have the same id."""
    for one, other in combinations(parts, 2):
        assert Scope("visitor", *one).id != Scope("visitor", *other).id
