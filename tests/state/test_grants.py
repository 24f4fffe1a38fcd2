"""The right of one kernel to ask for one visitor's state."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta.state import grants
from jupyter_app_meta.state.grants import LIFETIME, BadGrant, Claims, derive_key, mint, read
from jupyter_app_meta.state.keys import Identity, Space

KEY = derive_key(b"a secret that servers share")
NOW = 1_800_000_000.25
ALICE = Identity("hub", "hub", "user", "alice")
CLAIMS = Claims("k-1", Space.run("prod", "/sales"), ALICE, "tab-1", "link-1")
TOKEN = mint(KEY, CLAIMS, NOW)


def signed(fields: object) -> str:
    """Return a token with any content that has a good MAC."""
    body = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
    mac = base64.urlsafe_b64encode(hmac.digest(KEY, body.encode(), "sha256")).decode().rstrip("=")
    return f"{body}.{mac}"


def fields(**changed: Any) -> dict[str, Any]:
    """Return the content of a good token, with changes."""
    body = TOKEN.partition(".")[0]
    return {**json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))), **changed}


def refused(token: object, kernel_id: str = "k-1", now: float = NOW, key: bytes = KEY) -> str:
    """Return why a token is refused."""
    with pytest.raises(BadGrant) as caught:
        read(key, token, kernel_id, now)
    return caught.value.reason


@given(st.text(), st.text(), st.text(), st.none() | st.text(), st.booleans())
def test_a_token_is_read_as_it_was_made(kernel: str, name: str, link: str, tab: str | None, known: bool) -> None:
    """All claims come back, for any text."""
    identity = Identity("hub", "hub", "user", name) if known else None
    claims = Claims(kernel, Space("prod", "run", name), identity, tab, link, NOW + LIFETIME)
    token = mint(KEY, claims, NOW)
    if len(token) <= grants.LIMIT:
        assert read(KEY, token, kernel, NOW) == claims


def test_a_token_is_as_short_as_it_can_be() -> None:
    """It travels in each stamp."""
    realistic = replace(CLAIMS, kernel_id="k" * 36, tab="t" * 22, link="l" * 22)
    assert len(mint(KEY, realistic, NOW)) <= 330


def test_a_token_is_good_for_one_kernel() -> None:
    """From another kernel's link it is refused."""
    assert read(KEY, TOKEN, "k-1", NOW).identity == ALICE
    assert refused(TOKEN, "k-2") == "of another kernel"
    assert refused(TOKEN, "") == "of another kernel"


def test_a_token_expires() -> None:
    """It is good for 24 hours, and due to be made anew after 12."""
    assert read(KEY, TOKEN, "k-1", NOW + LIFETIME - 1).tab == "tab-1"
    assert refused(TOKEN, now=NOW + LIFETIME) == "expired"
    claims = read(KEY, TOKEN, "k-1", NOW)
    assert not claims.is_due(NOW + LIFETIME / 2 - 1)
    assert claims.is_due(NOW + LIFETIME / 2)


def test_no_token_is_good_for_longer() -> None:
    """A token from the far future is refused, so that revocation can tell when a token was made."""
    assert read(KEY, TOKEN, "k-1", NOW - 60).tab == "tab-1"
    assert refused(TOKEN, now=NOW - 3600) == "expired"


@pytest.mark.parametrize(("moment", "good"), [(None, True), (NOW - 0.001, True), (NOW, False), (NOW + 1, False)])
def test_a_revoked_token_is_refused(moment: float | None, good: bool) -> None:
    """What was made before the revocation is refused, and what is made after it is good at once."""
    claims = read(KEY, TOKEN, "k-1", NOW)
    asked: list[Identity] = []

    def not_before(identity: Identity) -> float | None:
        asked.append(identity)
        return moment

    if good:
        claims.check_revoked(not_before)
    else:
        with pytest.raises(BadGrant, match="revoked"):
            claims.check_revoked(not_before)
    assert asked == [ALICE]


def test_without_a_person_nothing_is_revoked() -> None:
    """A kernel that waits for its visitor has a token for what is shared."""
    claims = read(KEY, mint(KEY, replace(CLAIMS, identity=None), NOW), "k-1", NOW)
    claims.check_revoked(lambda identity: pytest.fail("there is no identity"))


@pytest.mark.parametrize("place", range(0, len(TOKEN), 7))
def test_a_changed_token_is_refused(place: int) -> None:
    """One character is enough."""
    other = "A" if TOKEN[place] != "A" else "B"
    changed = TOKEN[:place] + other + TOKEN[place + 1 :]
    assert refused(changed) == "forged"


def test_another_key_signs_nothing() -> None:
    """Neither another secret nor the secret itself is the key."""
    assert refused(TOKEN, key=derive_key(b"another secret of servers")) == "forged"
    assert refused(TOKEN, key=b"a secret that servers share") == "forged"
    with pytest.raises(ValueError, match="at least 16 bytes"):
        derive_key(b"")


@pytest.mark.parametrize(
    "token",
    [None, 5, b"x", {}, "", ".", "a", "a.", ".a", TOKEN + "A", TOKEN + "=", "é.é", TOKEN.partition(".")[0], "x" * 5000],
)
def test_what_is_not_a_token_is_refused(token: object) -> None:
    """Each is a BadGrant that repeats nothing of it."""
    assert refused(token) in ("forged", "not read")


@pytest.mark.parametrize(
    "content",
    [
        *(
            [],
            "text",
            None,
            {},
            fields(v=2),
            fields(v="1"),
            fields(more=1),
            fields(k=None),
            fields(k=1),
            fields(l=None),
        ),
        *(fields(e="soon"), fields(e=True), fields(e=1.5), fields(t=1), fields(i=5), fields(i="alice"), fields(n="/")),
        *(fields(i='["hub","hub","user"]'), fields(n='["prod","watch","/"]'), fields(n=None)),
    ],
)
def test_what_a_newer_server_means_is_not_guessed(content: object) -> None:
    """A content that is not understood is refused, although its MAC is good."""
    assert refused(signed(content)) == "not read"


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    """There is no text that raises anything else."""
    assert refused(text) in ("forged", "not read")
    assert refused(f"{text}.{TOKEN.partition('.')[2]}") in ("forged", "not read")
