"""Corners of the pure core, each with an example: properties reach them by luck only."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jupyter_app_meta import wire
from jupyter_app_meta.datastructures import URL
from jupyter_app_meta.errors import BadStamp, UnknownVersion
from jupyter_app_meta.model import AppMeta, HTTPRequest, Names, SessionInfo, User
from jupyter_app_meta.policy import Policy, RawRequest, headers, urls, values

KEY = wire.derive_key(b"a kernel's session key") or b""
PAYLOAD = wire.encode(AppMeta(), 16_384)
HOME = URL("http://example.org/")
DIGEST = "9fceb02d0ae598e95dc970b74767f19372d61af89fceb02d0ae598e95dc970b7"


def stamp(**changes: object) -> dict[str, object]:
    """Return a good stamp of the message ``id``, but for these changes."""
    return {**wire.Signer(KEY, PAYLOAD).stamp("id", "execute_request"), **changes}


def payload(**changes: object) -> str:
    """Return a good payload, but for these changes."""
    return json.dumps({**json.loads(PAYLOAD), **changes})


@pytest.mark.parametrize("key", [None, b""])
def test_without_a_key_no_stamp_is_believed(key: bytes | None) -> None:
    """A kernel without a key believes nothing, not even a stamp signed with an empty key."""
    with pytest.raises(BadStamp, match="no key"):
        wire.verify(key, "id", "execute_request", stamp())


@pytest.mark.parametrize(
    "given", ["text", None, stamp(v=1), stamp(payload=None), stamp(mac=b""), stamp(v="one"), stamp(mac="é")]
)
def test_a_stamp_of_another_form_is_refused(given: object) -> None:
    """A stamp that is not an object, lacks a part or has an impossible one is bad, never an error of another kind."""
    with pytest.raises(BadStamp):
        wire.verify(KEY, "id", "execute_request", given)


def test_a_stamp_of_another_major_version_says_what_to_do() -> None:
    """The message names both versions and the remedy."""
    with pytest.raises(UnknownVersion, match="install the same release"):
        wire.verify(KEY, "id", "execute_request", stamp(v="9.0"))


@pytest.mark.parametrize(("msg_id", "msg_type"), [(None, "execute_request"), ("id", 5), ("other", "execute_request")])
def test_a_message_without_text_for_its_id_or_type_is_no_message(msg_id: Any, msg_type: Any) -> None:
    """A stamp belongs to one message; a header that is not text belongs to none."""
    with pytest.raises(BadStamp, match="not signed"):
        wire.verify(KEY, msg_id, msg_type, stamp())


@pytest.mark.parametrize(
    "given",
    [
        "",
        "[]",
        "{}",
        payload(session={"path": 5}),
        payload(request={}),
        payload(request={"query": 1}),
        payload(session=5),
    ],
)
def test_a_payload_of_another_form_is_refused(given: str) -> None:
    """What is signed and cannot be read is a bad stamp."""
    with pytest.raises(BadStamp, match="expected form"):
        wire.decode(given)


@pytest.mark.parametrize("field", ["path_params", "meta", "user"])
def test_an_object_of_another_kind_is_refused(field: str) -> None:
    """A list in the place of an object is a bad stamp."""
    whole = json.loads(wire.encode(AppMeta(HTTPRequest("GET", HOME, HOME, user=User(username="a"))), 16_384))
    whole["request"][field] = ["a"]
    with pytest.raises(BadStamp, match="expected form"):
        wire.decode(json.dumps(whole))


def test_a_mode_that_is_not_known_is_a_script() -> None:
    """A newer server may know another mode: the safe answer is the one that promises nothing."""
    assert wire.decode(payload(mode="newest")).mode == "script"


def test_metadata_gets_a_stamp_without_being_read() -> None:
    """A stamp is spliced into metadata that is empty, and into metadata that has something; the payload stays known."""
    signer = wire.Signer(KEY, PAYLOAD)
    assert signer.payload == PAYLOAD
    for metadata, more in ((b"{}", {}), (b'{"a": 1}', {"a": 1})):
        spliced = json.loads(signer.splice(metadata, "id", "execute_request"))
        assert wire.verify(KEY, "id", "execute_request", spliced.pop(wire.FIELD)) == PAYLOAD
        assert spliced == more
    assert signer.payload == PAYLOAD
    assert wire.verify(KEY, "id", "execute_request", signer.stamp("id", "execute_request")) == PAYLOAD


@pytest.mark.parametrize("size", [1, 300, 600, 900])
def test_a_stamp_gives_things_up_until_it_fits(size: int) -> None:
    """What does not fit is dropped whole and named, the user last; the payload never exceeds its limit."""
    long = HTTPRequest("GET", HOME, HOME, user=User(username="u" * 500), meta={"m": "x" * size})
    found = wire.decode(wire.encode(AppMeta(long, session=SessionInfo(path="p" * size)), 1024))
    assert found.request is not None
    assert isinstance(found.request.truncated, Names)
    assert len(wire.encode(AppMeta(long, session=SessionInfo(path="p" * size)), 1024)) <= 1024


@pytest.mark.parametrize("user", [None, User(username="a", groups=["staff"], admin=True, mail="a@example.org")])
@pytest.mark.parametrize("policy", [Policy(), Policy.of(user_fields=["username"]), Policy().of_deployer()])
def test_the_user_alone_is_that_of_the_whole_request(policy: Policy, user: User | None) -> None:
    """No more and no less is known of a user where the rest of the request is not asked for."""
    raw = RawRequest("GET", str(HOME), str(HOME), user=user)
    assert policy.user(raw) == policy.request(raw).user


def test_the_deployers_own_functions_know_the_whole_user() -> None:
    """``user_fields`` narrows what kernels see, not what hooks see."""
    narrow = Policy.of(user_fields=["username"])
    assert "groups" not in narrow.user_fields
    assert "groups" in narrow.of_deployer().user_fields


@pytest.mark.parametrize("name", ["x-site-crumb", "x-www-authenticate", "x-blue-cert", "api"])
def test_a_header_that_ends_in_a_credentials_noun_is_one(name: str) -> None:
    """The last word is the noun."""
    assert headers.is_credential(name)


@pytest.mark.parametrize(("address", "stays"), [(f"/commits/sha/{DIGEST}", True), (f"/reset/{DIGEST}", False)])
def test_a_digest_after_its_own_noun_is_an_address(address: str, stays: bool) -> None:
    """A hash that the address names as such is not a credential; after ``reset`` it is."""
    [url, *_] = urls.split(f"http://example.org{address}")
    assert (DIGEST in str(url)) is stays


@pytest.mark.parametrize(
    "text",
    [
        "a=" * 3000,  # more than is read
        '{"\\u0074oken": "x",',  # nearly JSON, with an escape that hides a name
        "[" * 100_000 + ":",  # deeper than the parser goes
        "%252525252525252520, and so that it is long",  # encoded more often than any client does
    ],
)
def test_a_value_that_cannot_be_judged_stays_behind(text: str) -> None:
    """In doubt a value is withheld."""
    assert urls.cleaned(text) is None


@pytest.mark.parametrize(
    ("text", "is_token"), [("Basic YWxpY2U6cHc=", True), ("Basic YWxpY2", False), ("Basic YWxpY", False)]
)
def test_basic_credentials_are_told_by_their_colon(text: str, is_token: bool) -> None:
    """``Basic`` and base64 of a name, a colon and a password is a credential; other words after ``Basic`` are not."""
    assert values.is_token(text) is is_token


def test_a_name_that_latin_1_does_not_have_is_kept() -> None:
    """Only what HTTP read as latin-1 is repaired."""
    assert urls.split("http://example.org/?stadt=東京")[1] == [("stadt", "東京")]


def test_addresses_are_read_four_deep() -> None:
    """An address in an address in an address is read; what stands deeper is withheld."""
    assert "down" in (urls.cleaned("/x?a=" * 3 + "deep/down") or "")
    assert "down" not in (urls.cleaned("/x?a=" * 6 + "deep/down") or "")
