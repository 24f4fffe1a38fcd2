"""The stamp: what is signed comes back, what was changed is refused, and nothing makes it too long or raise."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, get_args
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.datastructures import Address

from jupyter_app_meta import wire, withheld
from jupyter_app_meta.datastructures import URL, Cookies, Headers, QueryParams
from jupyter_app_meta.errors import BadStamp, UnknownVersion
from jupyter_app_meta.model import AppMeta, HTTPRequest, Names, SessionInfo, User, logins
from jupyter_app_meta.policy import Page, Policy, RawRequest

SECRET = b"the-kernel's-session-key"
KEY = wire.derive_key(SECRET) or b""
LIMITS = (wire.MIN_LIMIT, wire.DEFAULT_LIMIT, wire.MAX_LIMIT)

latin1 = st.text(st.characters(max_codepoint=255), max_size=40)
utf8 = st.text(st.characters(codec="utf-8"), max_size=40)
anything = st.text(st.characters(exclude_categories=()), max_size=40)  # lone surrogates too
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | anything,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(anything, inner, max_size=4),
    max_leaves=8,
)
sessions = st.builds(SessionInfo, *[st.none() | anything] * 4)
users = st.builds(
    User,
    st.dictionaries(anything, json_values, max_size=3),
    username=anything,
    groups=st.lists(anything, max_size=3),
    kind=st.sampled_from(["user", "service", "anonymous"]),
    is_owner=st.sampled_from([True, False, None]),
    assurance=st.sampled_from(["hub", "provider", "shared-secret", "none"]),
)
raw_requests = st.builds(
    RawRequest,
    method=st.sampled_from(["GET", "POST"]),
    url=latin1.map("http://host/{}".format),
    base_url=st.just("http://host/"),
    headers=st.lists(st.tuples(st.sampled_from(["X-A", "x-a", "X-B", "Accept"]), latin1), max_size=6).map(tuple),
    cookies=st.lists(st.tuples(anything, anything), max_size=4).map(tuple),
    path_params=st.dictionaries(anything, anything, max_size=3),
    user=st.none() | users,
    client=st.none() | st.builds(Address, st.sampled_from(["10.0.0.1", "::1"]), st.integers(0, 65535)),
    meta=st.dictionaries(anything, json_values, max_size=3),
)
POLICY = Policy.of(headers_allow=["*"], cookies_allow=["*"], trusted_proxies=["127.0.0.1"])
requests = st.builds(POLICY.request, raw_requests, st.none() | st.builds(Page, latin1.map("http://host/{}".format)))
metas = st.builds(AppMeta, st.none() | requests, st.sampled_from(["edit", "run"]), sessions)


def same(meta: AppMeta) -> Any:
    """Return all that a request says as plain values that can be compared; tuples and lists are one."""
    request = meta.request
    plain = None if request is None else {**request, "headers": request.headers.items(), "url": str(request.url)}
    if request is not None and plain is not None:
        plain |= {"base_url": str(request.base_url), "query_params": request.query_params.multi_items()}
        plain |= {"cookies": dict(request.cookies), "user": request.user and dict(request.user)}
    return json.loads(json.dumps([plain, meta.mode, dict(meta.session)], default=dict))


def build(**fields: Any) -> HTTPRequest:
    """Return a request with these fields."""
    return HTTPRequest(**{"method": "GET", "url": URL("http://host/x"), "base_url": URL("http://host/"), **fields})


def through(meta: AppMeta, limit: int = wire.DEFAULT_LIMIT) -> AppMeta:
    """Return what a kernel sees of a request; it never takes more than the limit."""
    payload = wire.encode(meta, limit)
    assert payload.isascii()
    assert len(payload) <= limit
    return wire.decode(payload)


def received(request: HTTPRequest, limit: int = wire.DEFAULT_LIMIT) -> HTTPRequest:
    """Return what a kernel sees of a request."""
    found = through(AppMeta(request, "edit"), limit).request
    assert found is not None
    return found


def signed(payload: str = "{}", msg_id: str = "id", msg_type: str = "execute_request") -> dict[str, str]:
    """Return a good stamp."""
    return wire.Signer(KEY, payload).stamp(msg_id, msg_type)


# --- keys and signatures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, b""])
def test_no_key_comes_of_an_empty_secret(secret: bytes | None) -> None:
    """A kernel without a Session key, or with an empty one, believes no stamp."""
    assert wire.derive_key(secret) is None
    with pytest.raises(BadStamp, match="no key"):
        wire.verify(wire.derive_key(secret), "id", "execute_request", signed())


@pytest.mark.parametrize("key", [None, b""])
def test_empty_key_believes_not_even_its_own_stamps(key: bytes | None) -> None:
    """A stamp that anybody could have made with the empty key is refused."""
    with pytest.raises(BadStamp, match="no key"):
        wire.verify(key, "id", "execute_request", wire.Signer(b"", "{}").stamp("id", "execute_request"))


def test_key_is_not_the_kernels_own() -> None:
    """The stamps' key is derived: it cannot sign kernel messages."""
    assert KEY != SECRET
    assert wire.derive_key(b"another") != KEY


@given(payload=anything, msg_id=anything, msg_type=anything)
def test_verify_undoes_sign(payload: str, msg_id: str, msg_type: str) -> None:
    """A signed payload comes back for its own message."""
    assert wire.verify(KEY, msg_id, msg_type, signed(payload, msg_id, msg_type)) == payload


@given(first=st.tuples(anything, anything, anything), second=st.tuples(anything, anything, anything))
@example(first=("a", "bc", "d"), second=("ab", "c", "d"))
@example(first=("", "a", "b"), second=("", "", "ab"))
@example(first=("\ud83d\ude00", "", ""), second=("\U0001f600", "", ""))
def test_no_two_messages_share_a_signature(first: tuple[str, str, str], second: tuple[str, str, str]) -> None:
    """What belongs to the payload, the id or the type cannot be moved from one to another."""
    if first != second:
        assert signed(*first)["mac"] != signed(*second)["mac"]


@given(parts=st.lists(anything, max_size=4), others=st.lists(anything, max_size=4))
@example(parts=["a", "b"], others=["ab"])
@example(parts=[""], others=[])
def test_no_two_lists_of_parts_have_the_same_bytes(parts: list[str], others: list[str]) -> None:
    """Each signed part is preceded by its length, so that the version too stays where it is."""
    joined, other = (b"".join(wire._part(part) for part in those) for those in (parts, others))
    assert (joined == other) is (parts == others)


@given(payload=anything, msg_id=anything, other=anything)
def test_copy_on_another_message_is_refused(payload: str, msg_id: str, other: str) -> None:
    """A person who has seen a stamp cannot use it on a message of their own."""
    if other != msg_id:
        with pytest.raises(BadStamp):
            wire.verify(KEY, other, "execute_request", signed(payload, msg_id))
    with pytest.raises(BadStamp):
        wire.verify(KEY, msg_id, f"{other}x", signed(payload, msg_id, other))
    with pytest.raises(BadStamp):
        wire.verify(wire.derive_key(b"another kernel"), msg_id, "execute_request", signed(payload, msg_id))


@given(data=st.data(), payload=anything, part=st.sampled_from(["v", "payload", "mac"]))
def test_any_single_change_is_refused(data: st.DataObject, payload: str, part: str) -> None:
    """Not one character of version, payload or signature can be changed, added or left out."""
    stamp = signed(payload)
    text = stamp[part]
    place = data.draw(st.integers(0, len(text)))
    changed = text[:place] + data.draw(st.text(max_size=1)) + text[place + data.draw(st.integers(0, 1)) :]
    if changed != text:
        with pytest.raises(BadStamp):
            wire.verify(KEY, "id", "execute_request", {**stamp, part: changed})


@given(json_values | st.dictionaries(st.sampled_from(["v", "payload", "mac", "x"]), json_values))
@example({"v": "1.0", "payload": "{}", "mac": "é"})
@example({"v": "1" * 100_000, "payload": "{}", "mac": ""})
@example({"v": "1.0", "payload": "\ud800", "mac": ""})
@example(float("nan"))
def test_verifier_raises_nothing_but_bad_stamp(stamp: object) -> None:
    """Whatever a client wrote in the place of a stamp is refused, and nothing else happens."""
    with pytest.raises(BadStamp):
        wire.verify(KEY, "id", "execute_request", stamp)


@given(msg_id=json_values, msg_type=json_values)
def test_verifier_takes_any_header(msg_id: Any, msg_type: Any) -> None:
    """A message whose id or type is not a string has no stamp that fits."""
    if not (isinstance(msg_id, str) and isinstance(msg_type, str)):
        with pytest.raises(BadStamp):
            wire.verify(KEY, msg_id, msg_type, signed())


def test_unknown_envelope_fields_are_ignored() -> None:
    """A later release may add a field beside ours."""
    assert wire.verify(KEY, "id", "execute_request", {**signed("payload"), "issuer": "x"}) == "payload"


@pytest.mark.parametrize("version", ["2.0", "2", "10.1.7", "0.9"])
def test_unknown_major_version_is_refused_by_name(version: str) -> None:
    """The message says which side is newer and what to do."""
    with pytest.raises(
        UnknownVersion, match=rf"version {version}, but this kernel's reads 1\.0: install the same release"
    ):
        wire.verify(KEY, "id", "execute_request", {**signed(), "v": version})


@pytest.mark.parametrize("version", ["1", "1.1", "1.27.3"])
def test_other_minor_version_is_read(version: str) -> None:
    """A minor version is signed as it is and says nothing that this kernel must know."""
    state = wire._keyed(KEY, version, "payload")
    state.update(wire._part("id") + wire._part("execute_request"))
    stamp = {"v": version, "payload": "payload", "mac": state.hexdigest()}
    assert wire.verify(KEY, "id", "execute_request", stamp) == "payload"


@given(metadata=st.dictionaries(anything.filter(lambda name: name != wire.FIELD), json_values), payload=anything)
@example(metadata={"": float("nan")}, payload="")
def test_spliced_metadata_is_the_json_of_the_stamp(metadata: dict[str, Any], payload: str) -> None:
    """What is put together as bytes is what a JSON encoder would have written."""
    signer = wire.Signer(KEY, payload)
    whole = {**metadata, wire.FIELD: signer.stamp("id", "type")}
    assert signer.splice(json.dumps(metadata).encode(), "id", "type") == json.dumps(whole).encode()


# --- what comes back -------------------------------------------------------------------------------------------------


@given(metas)
def test_decode_undoes_encode(meta: AppMeta) -> None:
    """Any request that fits comes back unchanged."""
    assert same(through(meta, wire.MAX_LIMIT)) == same(meta)


def test_nothing_is_invented() -> None:
    """A message without a request has none on the other side either."""
    meta = AppMeta(None, "edit", SessionInfo("tab", None, "kernel", None))
    assert through(meta) == meta


@pytest.mark.parametrize("mode", ["edit", "run", "test", "script"])
def test_modes_come_back(mode: Any) -> None:
    """The mode of a request crosses."""
    assert through(AppMeta(build(), mode)).mode == mode


@pytest.mark.parametrize("mode", ["admin", "x" * 100_000, None, 7])
def test_unknown_mode_is_a_script(mode: Any) -> None:
    """A mode that this release does not know means the least."""
    assert through(AppMeta(build(), mode)).mode == "script"


@given(json_values)
@example([])
@example({"request": [], "session": {}, "mode": "edit"})
@example({"request": None, "session": {"path": 7}, "mode": []})
def test_decoder_raises_nothing_but_bad_stamp(value: object) -> None:
    """A payload of another form is refused, even if its signature is good."""
    with pytest.raises(BadStamp):
        wire.decode(json.dumps(value))


@given(anything)
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example("9" * 10_000)
@example("NaN")
def test_decoder_takes_any_text(text: str) -> None:
    """A payload that is not JSON is refused as well."""
    with pytest.raises(BadStamp):
        wire.decode(text)


FIELDS = json.loads(wire.encode(AppMeta(build(user=User(username="x"), client=Address("::1", 1)))))["request"]


@given(field=st.sampled_from(sorted([*FIELDS, "why"])), value=json_values)
@example(field="url", value="http://[broken")
@example(field="url", value=None)
@example(field="headers", value=[["name", "日"]])
@example(field="query", value=[["name", "\ud800"]])
@example(field="redacted", value=[1])
@example(field="why", value=[1])
@example(field="why", value={"own": 1})
@example(field="why", value={"own": [[]]})
@example(field="client", value=["::1", "x"])
@example(field="meta", value=json.loads('{"a":' * 400 + "1" + "}" * 400))
def test_decoded_request_is_usable_or_refused(field: str, value: object) -> None:
    """A field of another form is refused when the stamp is read, not later in an author's cell."""
    payload = json.dumps({"mode": "edit", "session": {}, "request": {**FIELDS, field: value}})
    try:
        request = wire.decode(payload).request
    except BadStamp:
        return
    assert request is not None
    use(request)


def use(request: HTTPRequest) -> None:
    """Do what authors do with a request."""
    repr(request)
    _ = request.url.path, request.url.port if ":" not in request.url.netloc else None, request.base_url.hostname
    _ = dict(request.headers.items()), request.query_params.multi_items(), dict(request.cookies)
    _ = "cookie" in request.redacted, "cookie" in request.truncated, dict(request.user or {}), request.client


@given(st.dictionaries(anything.filter(lambda name: name not in FIELDS), json_values))
def test_unknown_payload_fields_are_ignored(more: dict[str, Any]) -> None:
    """A later release may say more of a request, of its session and beside them."""
    session = {**{name: value for name, value in more.items() if name not in SessionInfo()}, "path": "a.ipynb"}
    payload = json.dumps({**more, "mode": "run", "session": session, "request": {**FIELDS, **more}})
    meta = wire.decode(payload)
    assert (meta.session.path, meta.mode) == ("a.ipynb", "run")
    assert meta.request is not None
    assert meta.request.method == "GET"


# --- bounds ----------------------------------------------------------------------------------------------------------


def numbered(count: int, value: str) -> list[tuple[str, str]]:
    """Return pairs with distinct names."""
    return [(f"n{number}", value) for number in range(count)]


GIANTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "1000 query fields": lambda: {"query_params": QueryParams(numbered(1000, "value"))},
    "180 cookies of 4 kB": lambda: {"cookies": Cookies(numbered(180, "x" * 4096))},
    "64 kB of headers": lambda: {"headers": Headers(numbered(64, "\xe9" * 1024))},
    "one header of 64 kB": lambda: {"headers": Headers([("a", "x" * 65536), ("b", "y")])},
    "5000 groups": lambda: {"user": User(username="alice", groups=[f"group-{n}" for n in range(5000)])},
    "giant extras": lambda: {"user": User({"a": "x" * 70_000, "b": ["y"] * 9000}, username="alice")},
    "giant display name": lambda: {"user": User(username="alice", display_name="\U0001f600" * 9000)},
    "giant meta": lambda: {"meta": {"a": {"b": ["c" * 1000] * 100}, "d": 1}},
    "giant path": lambda: {"url": URL("http://host/" + "p" * 70_000), "query_params": QueryParams([("a", "1")])},
    "giant base": lambda: {"base_url": URL("http://host/" + "p" * 70_000)},
    "giant path parameters": lambda: {"path_params": {"a": "p" * 70_000, "b": "q"}},
    "10000 withheld names": lambda: {"redacted": Names(f"cookies.c{number}" for number in range(10_000))},
    "10000 long withheld names": lambda: {"redacted": Names(f"cookies.{'日' * 200}{n}" for n in range(10_000))},
    "truncated before": lambda: {"truncated": Names(f"query.{'q' * 300}{n}" for n in range(10_000))},
}


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("giant", GIANTS)
def test_no_giant_blows_the_limit(giant: str, limit: int) -> None:
    """Oversized items are dropped and listed; who made the request stays known."""
    fields = {"user": User(username="alice", assurance="hub"), **GIANTS[giant]()}
    request = received(build(**fields), limit)
    assert request.user is not None
    assert request.user["username"] == "alice"
    assert request.method == "GET"


@pytest.mark.parametrize("limit", LIMITS)
def test_all_giants_together_stay_below_the_limit(limit: int) -> None:
    """Everything oversized at once still leaves the user, and a list of what is gone."""
    fields: dict[str, Any] = {}
    for make in GIANTS.values():
        fields |= make()
    session = SessionInfo("tab", "session", "kernel", "n" * 10_240)
    meta = through(AppMeta(build(**fields), "edit", session), limit)
    assert meta.user is not None
    assert meta.user["username"] == "alice"
    assert meta.session.kernel_id == "kernel"


sizes = st.integers(0, 9000)
texts = st.builds(
    lambda char, size: char * size, st.sampled_from(["x", "é", "日", "\U0001f600", '"', "\\", "\0"]), sizes
)
items = st.lists(st.tuples(st.text(max_size=3) | texts, texts), max_size=12)
byte_items = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.builds(lambda size: "\xe9" * size, sizes)), max_size=12
)


@given(
    limit=st.integers(wire.MIN_LIMIT, wire.MAX_LIMIT),
    query=items,
    headers=byte_items,
    cookies=items,
    meta=items,
    params=items,
    extras=items,
    username=texts,
    path=texts,
    names=st.lists(texts, max_size=30),
)
def test_payload_never_exceeds_its_limit(
    limit: int,
    query: list[tuple[str, str]],
    headers: list[tuple[str, str]],
    cookies: list[tuple[str, str]],
    meta: list[tuple[str, str]],
    params: list[tuple[str, str]],
    extras: list[tuple[str, str]],
    username: str,
    path: str,
    names: list[str],
) -> None:
    """Whatever is long, the payload is not; what is left of a name is all of it, and what is gone is listed."""
    sent = build(
        query_params=QueryParams(query),
        headers=Headers(headers),
        cookies=Cookies(cookies),
        meta=dict(meta),
        path_params=dict(params),
        user=User(dict(extras), username=username),
        redacted=Names(names),
    )
    session = SessionInfo("tab", None, "kernel", path)
    got = through(AppMeta(sent, "run", session), limit)
    assert got.mode == "run"
    assert got.session.path in (path, None)
    assert got.request is not None
    assert_whole(sent, got.request)


def assert_whole(sent: HTTPRequest, got: HTTPRequest) -> None:
    """Assert that each item came whole or not at all, and that something is listed where one is missing."""
    assert got.query_params.multi_items() == [
        pair for pair in sent.query_params.multi_items() if pair[0] in got.query_params
    ]
    assert all(got.headers.getlist(name) == sent.headers.getlist(name) for name in got.headers)
    for field in ("cookies", "meta", "path_params"):
        assert got[field].items() <= sent[field].items()
        assert len(got[field]) == len(sent[field]) or got.truncated
    assert str(got.url) == "" or got.query_params == QueryParams(got.url.query)


def test_user_is_dropped_last_and_listed() -> None:
    """Only a user who is too big alone is dropped, and then the list says so."""
    request = received(build(user=User(username="u" * 20_000), cookies=Cookies({"a": "b"})))
    assert request.user is None
    assert request.truncated[0] == "user"
    assert dict(request.cookies) == {"a": "b"}


def test_groups_are_dropped_before_the_user() -> None:
    """A person in thousands of groups is still known, and the list says that the groups are missing."""
    request = received(build(user=User(username="alice", admin=True, groups=[f"g{n}" for n in range(5000)])))
    assert request.user is not None
    assert (request.user["username"], request.user["admin"], request.user["groups"]) == ("alice", True, None)
    assert request.truncated == ("user.groups",)


MEMBER = User(username="alice", assurance="hub", groups=[f"group-{n}" for n in range(250)], department="Research")


@pytest.mark.parametrize(
    "fields",
    [
        {"url": URL("http://host/" + "p" * 13_500)},
        {"query_params": QueryParams([("q", "x" * 13_500)])},
        {"query_params": QueryParams([(f"q{n}", "x" * 100) for n in range(130)])},
        {"base_url": URL("http://host/" + "p" * 13_500)},
        {"method": "X" * 13_500},
        {"path_params": {"path": "p" * 13_500}},
        {"headers": Headers([("a", "x" * 13_500)])},
        {"user": User(MEMBER, display_name="x" * 13_500)},
    ],
    ids=["url", "query", "many queries", "base", "method", "path parameter", "header", "chosen name"],
)
def test_no_text_of_the_visitor_crowds_out_the_user(fields: dict[str, Any]) -> None:
    """Groups, a provider's fields and the deployer's stay, however long the address of the page is."""
    sent = build(**{"user": User(MEMBER), "meta": {"plan": "p" * 900}, **fields})
    request = received(sent)
    assert request.user is not None
    assert (request.user["groups"], request.user["department"]) == (MEMBER["groups"], "Research")
    assert dict(request.meta) == {"plan": "p" * 900}
    assert not [name for name in request.truncated if name.startswith(("user.groups", "user.dep", "meta"))]


def test_no_session_name_crowds_out_the_user() -> None:
    """The name of a notebook and the id that a browser made up are texts of the visitor's too."""
    for session in (SessionInfo("tab", "s" * 13_500, "kernel", "a"), SessionInfo("tab", "s", "kernel", "n" * 13_500)):
        meta = through(AppMeta(build(user=User(MEMBER)), "edit", session), wire.DEFAULT_LIMIT)
        assert meta.user is not None
        assert meta.user["groups"] == MEMBER["groups"]
        assert (meta.session.client_id, meta.session.kernel_id) == ("tab", "kernel")


@pytest.mark.parametrize("groups", [None, (), ("editors",)])
def test_no_groups_are_told_from_unknown_ones(groups: tuple[str, ...] | None) -> None:
    """Groups that the server withholds are None in the kernel too, and no groups are none."""
    user = received(build(user=User(username="alice", groups=groups))).user
    assert user is not None
    assert user["groups"] == groups


def test_least_important_goes_first() -> None:
    """Cookies make room for headers, headers for the query, and all of them for the page."""
    big = "x" * 6000
    fields: dict[str, Any] = {"headers": Headers([("a", big)]), "cookies": Cookies({"c": big})}
    request = received(build(url=URL("http://host/" + big), query_params=QueryParams([("q", big)]), **fields))
    assert request.truncated == ("headers.a", "cookies.c")
    assert str(request.url) == f"http://host/{big}?q={big}"


def test_small_items_follow_a_big_one() -> None:
    """One oversized item costs only itself."""
    request = received(build(cookies=Cookies({"a": "1", "b": "x" * 20_000, "c": "3"})))
    assert dict(request.cookies) == {"a": "1", "c": "3"}
    assert request.truncated == ("cookies.b",)


def test_values_of_a_repeated_name_go_together() -> None:
    """Half of a repeated parameter or header would be a wrong answer: all its values cross, or none."""
    query = QueryParams([("a", "1"), ("b", "2"), ("a", "x" * 20_000), ("b", "3")])
    headers = Headers([("x", "1"), ("y", "2"), ("X", "x" * 20_000), ("y", "3")])
    request = received(build(query_params=query, headers=headers))
    assert request.query_params.multi_items() == [("b", "2"), ("b", "3")]
    assert request.headers.items() == [("y", "2"), ("y", "3")]
    assert request.truncated == ("query.a", "headers.x")
    assert request.url.query == "b=2&b=3"


def test_dropped_url_leaves_no_half_of_it() -> None:
    """A page whose path does not fit has no URL at all; its parameters are still there."""
    request = received(build(url=URL("http://host/" + "p" * 20_000), query_params=QueryParams([("a", "1")])))
    assert (str(request.url), request.query_params["a"], request.truncated) == ("", "1", ("url",))


def test_nameless_parameter_is_an_item() -> None:
    """``?=value`` has an empty name, and is not mistaken for the whole query."""
    params = QueryParams([("", "1"), ("a", "2"), ("", "3")])
    assert received(build(query_params=params)).query_params == params
    full = received(build(query_params=params, cookies=Cookies({"c": "x" * 20_000})))
    assert full.query_params == params


def test_names_are_bounded_and_the_rest_is_counted() -> None:
    """A list of ten thousand withheld names becomes a short one that says how many are missing."""
    request = received(build(redacted=Names(f"cookies.c{number}" for number in range(10_000))))
    *names, last = request.redacted
    assert names == [f"cookies.c{number}" for number in range(len(names))]
    assert last == f"(and {10_000 - len(names)} more)"
    assert len(json.dumps(request.redacted)) <= wire.DEFAULT_LIMIT // 8 + len(names)


@pytest.mark.parametrize("limit", LIMITS)
def test_names_keep_why_they_are_withheld(limit: int) -> None:
    """A kernel is told why an item is withheld, within the limit however many there are."""
    names = [withheld.Reasoned.of(f"cookies.c{number}", "value") for number in range(1000)]
    found = received(build(redacted=Names([*names[:2], "cookies.plain", *names])), limit).redacted
    assert list(map(withheld.reason_of, found[:4])) == ["value", "value", None, "value"]
    assert withheld.reason_of("cookies.c1", found) == "value" and withheld.reason_of("cookies.plain", found) is None


def test_unknown_reason_is_ignored() -> None:
    """A later release may know more reasons than this one."""
    plain = json.loads(wire.encode(AppMeta(build(redacted=Names(["cookies.a"])), "edit")))
    plain["request"]["why"] = {"later": [0], "own": [7]}
    request = wire.decode(json.dumps(plain)).request
    assert request and request.redacted == ("cookies.a",) and withheld.reason_of(request.redacted[0]) is None


def test_long_names_are_clipped() -> None:
    """A name of a whole page is told from others by its first hundred characters."""
    request = received(build(redacted=Names(["cookies." + "x" * 500, "cookies.a"])))
    assert [len(name) for name in request.redacted] == [100, 9]
    assert request.redacted[0].endswith("x…")


def test_long_path_does_not_cost_the_request() -> None:
    """A visitor who names a notebook with ten thousand characters loses its path, nothing else."""
    meta = through(AppMeta(build(), "edit", SessionInfo("tab", "s", "k", "n" * 20_000)))
    assert meta.session == SessionInfo("tab", "s", "k", None)
    assert meta.request is not None
    assert meta.request.truncated == ("session.path",)
    assert through(AppMeta(None, "edit", SessionInfo("tab", "s", "k", "n" * 20_000))).session.path is None


# --- claims ----------------------------------------------------------------------------------------------------------

CLAIMS: tuple[wire.Claim, ...] = get_args(wire.Claim)
POSES = tuple(f',"claim":"{kind}{end}' for kind in CLAIMS for end in ("", '"', '"}', '"}}'))
posing = st.builds("{}{}".format, st.sampled_from(["", '"', "x"]), st.sampled_from(POSES))


def posed(text: str) -> AppMeta:
    """Return a request that says of itself, wherever a text can stand, that it is a claim."""
    user = User({text: text}, username=text, name=text, groups=[text])
    return AppMeta(
        HTTPRequest(
            method=text,
            url=URL(f"http://host/{text}?{urlencode([(text, text)])}"),
            base_url=URL(text),
            headers=Headers([("x", text), (text, text)]),
            query_params=QueryParams([(text, text)]),
            path_params={text: text},
            cookies=Cookies({text: text}),
            user=user,
            client=Address(text, 1),
            meta={text: {"claim": "given", text: [text]}, "claim": "given"},
            redacted=Names([text]),
            truncated=Names([text]),
        ),
        "run",
        SessionInfo(text, text, text, text),
    )


@given(meta=metas, kind=st.sampled_from(CLAIMS))
def test_claim_comes_back_with_its_request(meta: AppMeta, kind: wire.Claim) -> None:
    """What a payload says of a claim, and of the request, is what was put in."""
    payload = wire.encode(meta, wire.MAX_LIMIT, kind)
    assert wire.claim(payload) == kind
    assert same(wire.decode(payload)) == same(meta)


@given(metas)
def test_request_is_no_claim(meta: AppMeta) -> None:
    """A payload that was not made as a claim is none."""
    assert wire.claim(wire.encode(meta)) is None
    assert wire.claim(wire.encode(meta, wire.MIN_LIMIT)) is None


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("pose", POSES)
def test_no_text_poses_as_a_claim(pose: str, limit: int) -> None:
    """A visitor named ``,"claim":"given"}``, in any field, is a visitor like others, in claims as well."""
    meta = posed(pose)
    assert wire.claim(wire.encode(meta, limit)) is None
    assert wire.claim(wire.encode(AppMeta(None, "run", meta.session), limit)) is None
    for kind in CLAIMS:
        payload = wire.encode(meta, limit, kind)
        assert wire.claim(payload) == kind
        assert json.loads(payload)["claim"] == kind
        assert wire.decode(payload).user is not None
    assert same(through(meta, wire.MAX_LIMIT)) == same(meta)


@given(
    text=posing,
    limit=st.integers(wire.MIN_LIMIT, wire.MIN_LIMIT + 400),
    padding=st.integers(0, 1200),
    kind=st.none() | st.sampled_from(CLAIMS),
)
def test_what_is_dropped_poses_as_no_claim(text: str, limit: int, padding: int, kind: wire.Claim | None) -> None:
    """The list of what did not fit ends a payload; it makes no claim of it, and the limit counts the claim too."""
    request = build(cookies=Cookies({f"{text}{number}": "x" * padding for number in range(4)}), user=User(username="a"))
    payload = wire.encode(AppMeta(request, "run", SessionInfo(kernel_id="kernel")), limit, kind)
    assert len(payload) <= limit and payload.isascii()
    assert wire.claim(payload) == kind
    assert wire.decode(payload).session.kernel_id == "kernel"


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("giant", GIANTS)
def test_no_giant_costs_a_claim_its_kernel(giant: str, limit: int) -> None:
    """The limit holds for a claim as for every stamp, and a claim keeps the kernel that it is for."""
    fields = {"user": User(username="alice", assurance="hub"), **GIANTS[giant]()}
    payload = wire.encode(AppMeta(build(**fields), "run", SessionInfo(kernel_id="kernel")), limit, "given")
    assert len(payload) <= limit
    meta = wire.decode(payload)
    assert wire.claim(payload) == "given"
    assert (meta.mode, meta.session.kernel_id, meta.user and meta.user.username) == ("run", "kernel", "alice")


@given(anything)
@example(',"claim":"given"')
@example('{"request":null,"claim":"GIVEN"}')
@example('{"claim":"given","request":null}')
@example('{"request":{"x":",\\"claim\\":\\"given\\""}}')
@example('{"request":null,"claim":"given" }')
def test_text_of_another_form_is_no_claim(text: str) -> None:
    """Whatever a payload is, asking what it claims raises nothing, and a claim is written in one way only."""
    expected = next((kind for kind in CLAIMS if text.endswith(f',"claim":"{kind}"}}')), None)
    assert wire.claim(text) == expected


def test_kernel_without_this_release_ignores_the_claim() -> None:
    """A field beside the others is ignored: a pending stamp says mode and kernel, and no request."""
    pending = AppMeta(None, "run", SessionInfo(kernel_id="kernel"))
    assert wire.decode(wire.encode(pending, claim="pending")) == pending


TOKEN = "eyJ2IjoxfQ.bWFj-_"


@given(meta=metas, kind=st.none() | st.sampled_from(CLAIMS))
def test_grant_comes_back_with_its_request(meta: AppMeta, kind: wire.Claim | None) -> None:
    """Kernels of earlier releases ignore it: the request and the claim are what they are without it."""
    payload = wire.encode(meta, wire.MAX_LIMIT, kind, TOKEN)
    assert (wire.grant(payload), wire.claim(payload)) == (TOKEN, kind)
    assert same(wire.decode(payload)) == same(meta)
    assert wire.grant(wire.encode(meta, wire.MAX_LIMIT, kind)) is None


@pytest.mark.parametrize("limit", [*LIMITS, wire.MIN_LIMIT + 4200])
@pytest.mark.parametrize("giant", GIANTS)
def test_the_limit_counts_the_grant(giant: str, limit: int) -> None:
    """A grant that would leave too little for the request and its user is left out."""
    fields = {"user": User(username="alice", assurance="hub"), **GIANTS[giant]()}
    token = "g" * 4096
    payload = wire.encode(AppMeta(build(**fields), "run", SessionInfo(kernel_id="kernel")), limit, "given", token)
    assert len(payload) <= limit
    assert wire.grant(payload) == (token if limit > wire.MIN_LIMIT else None)
    meta = wire.decode(payload)
    assert (meta.session.kernel_id, meta.user and meta.user.username) == ("kernel", "alice")


@pytest.mark.parametrize("text", [f'{{"grant":"{TOKEN}"', f'"grant":"{TOKEN}",', TOKEN])
def test_no_text_poses_as_a_grant(text: str) -> None:
    """A visitor of that name, in any field, is a visitor like others."""
    payload = wire.encode(posed(text))
    assert wire.grant(payload) is None
    assert wire.grant(wire.encode(posed(text), grant=TOKEN)) == TOKEN


@pytest.mark.parametrize("via", ["page", "socket"])
@pytest.mark.parametrize(("has_login", "has_logout"), [(True, True), (True, False), (False, True), (False, False)])
def test_logins_are_addresses_of_the_pages_server(via: Any, has_login: bool, has_logout: bool) -> None:
    """Where the page is known, the login comes back to it; an address of another host is never among them."""
    query = QueryParams("x=1&y=2")
    request = build(
        url=URL(f"http://h/apps/sales?{query}"), base_url=URL("http://h/apps/"), query_params=query, via=via
    )
    doors = logins(request, has_login=has_login, has_logout=has_logout)
    got = through(AppMeta(request, "run", SessionInfo(), **doors))
    back = "?next=%2Fapps%2Fsales%3Fx%3D1%26y%3D2" if via == "page" else ""
    assert got.login_url == (f"/apps/login{back}" if has_login else None)
    assert got.logout_url == ("/apps/logout" if has_logout else None)
    assert through(AppMeta(None, "run")).login_url is None
