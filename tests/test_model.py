from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from pprint import pformat
from reprlib import repr as short_repr
from traceback import TracebackException
from typing import Any

import pytest
from starlette import datastructures as starlette

import jupyter_app_meta
from jupyter_app_meta import (
    URL,
    AppMeta,
    Cookies,
    Headers,
    HTTPRequest,
    NotAuthenticated,
    NotPicklable,
    QueryParams,
    SessionInfo,
    User,
    session,
)
from jupyter_app_meta.model import Names
from jupyter_app_meta.testing import fake_request

USER = User(is_authenticated=True, username="alice", name="Alice", groups=["editors"], assurance="hub", team={"id": 1})


def make_request() -> HTTPRequest:
    """Return a request each value of which says SECRET."""
    return HTTPRequest(
        method="GET",
        url=URL("http://hub/lab?q=SECRET-1&q=SECRET-2"),
        base_url=URL("http://hub/"),
        headers=Headers([("X-Tag", "SECRET-1"), ("x-tag", "SECRET-2"), ("accept", "SECRET")]),
        query_params=QueryParams([("q", "SECRET-1"), ("q", "SECRET-2")]),
        path_params={"id": "7"},
        cookies=Cookies({"theme": "SECRET-dark"}),
        user=USER,
        client=starlette.Address("203.0.113.9", 1),
        meta={"tenant": {"name": "acme", "tags": ["a"]}},
        via="page",
        redacted=Names(["headers.cookie", "query.token"]),
    )


REQUEST = make_request()
META = AppMeta(REQUEST, "edit", SessionInfo("tab-1", "s1", "k1", "x.ipynb"))
CONFINED = [META, REQUEST, REQUEST.headers, REQUEST.query_params, REQUEST.url, REQUEST.cookies, META.session]


def name_of(value: object) -> str:
    """Return the name of a value's type, for the ids of tests."""
    return type(value).__name__


# Access


@pytest.mark.parametrize("value", [META, REQUEST, META.session, REQUEST.url], ids=name_of)
def test_items_are_attributes(value: Any) -> None:
    """Each name is both an attribute and an item."""
    assert all(value[name] is getattr(value, name) or value[name] == getattr(value, name) for name in value)


def test_access_of_both_kinds_down_to_the_value() -> None:
    """The two ways of access can be mixed, as marimo's and FastAPI's users are used to."""
    assert META["request"]["url"]["path"] == META.request.url.path == "/lab"  # type: ignore[union-attr]  # it is there
    assert REQUEST["headers"]["accept"] == REQUEST.headers["Accept"]
    assert REQUEST["user"]["team"]["id"] == USER.team["id"] == 1
    assert META["user"] is META.user is REQUEST.user
    assert META["cookies"] is META.cookies is REQUEST.cookies
    assert META["meta"] is META.meta is REQUEST.meta


@pytest.mark.parametrize(
    "value", [META, REQUEST, META.session, REQUEST.url, USER, REQUEST.headers, REQUEST.cookies], ids=name_of
)
def test_unknown_item_is_a_key_error(value: Any) -> None:
    """A name that is not there is a KeyError for ``[]``, also where a method has that name."""
    for name in ("nothing", "keys", "__class__", ""):
        with pytest.raises(KeyError):
            value[name]


@pytest.mark.parametrize("value", [META, REQUEST, META.session, REQUEST.url, USER], ids=name_of)
def test_records_are_mappings(value: Any) -> None:
    """Every operation of a mapping works, with names as keys; the value is not a sequence."""
    plain = dict(value)
    assert isinstance(value, Mapping)
    assert list(plain) == list(value) == list(value.keys())
    assert list(plain.items()) == list(value.items())
    assert list(plain.values()) == list(value.values())
    assert len(plain) == len(value)
    assert all(name in value for name in plain)
    assert [name in value for name in ("nothing", "keys", "", 0, None)] == [False] * 5
    assert value.get("nothing", "default") == "default"


def test_patterns_match_the_fields() -> None:
    """``match`` takes them apart, at every depth, as mappings and as classes."""
    match META:
        case {"request": {"method": method, "url": {"path": path}, "user": {"username": username}}}:
            assert (method, path, username) == ("GET", "/lab", "alice")
        case _:
            pytest.fail("a mapping of patterns does not match")
    assert [_pattern(meta) for meta in (META, AppMeta())] == ["somebody", "nobody"]


def _pattern(meta: AppMeta) -> str:
    match meta:
        case {"user": User()}:
            return "somebody"
        case AppMeta(request=None):
            return "nobody"
    return "neither"


def test_records_stay_what_they_are() -> None:
    """As mappings they equal their like only, can be hashed where they could, and are true without a value."""
    assert META.session == SessionInfo(**META.session) != dict(META.session)
    assert hash(META.session) == hash(SessionInfo(**META.session))
    assert REQUEST == make_request() != dict(REQUEST)
    assert replace(REQUEST, method="POST") != REQUEST
    assert REQUEST.url == str(REQUEST.url) == URL(str(REQUEST.url))
    assert {REQUEST.url: 1}[URL(str(REQUEST.url))] == 1
    assert all((SessionInfo(), AppMeta(), URL("")))
    assert (REQUEST.url.get("path"), REQUEST.url.get("nothing")) == ("/lab", None)


def test_get_gives_the_default_for_what_is_none() -> None:
    """``get`` answers its default where a field is not known."""
    assert SessionInfo(client_id="tab").get("path", "unknown") == "unknown"
    assert SessionInfo(client_id="tab").get("client_id", "unknown") == "tab"


def test_user_has_attributes_for_its_items() -> None:
    """A user is a dict with attributes, each of which completion can offer; an unknown one lists the others."""
    assert set(User.defaults) <= set(dir(USER))
    assert USER.groups == ("editors",)
    with pytest.raises(AttributeError, match=r"the user has no 'nme', only: is_authenticated, username"):
        USER.nme  # noqa: B018  # the access is what is tested
    assert not hasattr(USER, "nme")


def test_unknown_groups_are_not_none_at_all() -> None:
    """``"banned" not in user.groups`` must fail loudly where the groups are not known."""
    assert (User().groups, User(groups=[]).groups, User(groups=None).groups) == ((), (), None)
    with pytest.raises(TypeError, match="not iterable"):
        assert "banned" not in User(groups=None).groups


def test_withheld_names_are_found_with_and_without_their_kind() -> None:
    """``"cookie" in request.redacted`` answers as ``"headers.cookie"`` does."""
    assert "headers.cookie" in REQUEST.redacted
    assert "cookie" in REQUEST.redacted
    assert "headers" not in REQUEST.redacted


def test_types_are_those_that_fastapi_users_know() -> None:
    """Headers, query and URL are Starlette's own types, the cookies a mapping of text."""
    assert isinstance(REQUEST.headers, starlette.Headers)
    assert isinstance(REQUEST.query_params, starlette.QueryParams)
    assert isinstance(REQUEST.url, starlette.URL)
    assert isinstance(REQUEST.cookies, Mapping)


# Repeated items


def test_repeated_header_gives_the_first() -> None:
    """Docs that said the last repeated header and code that gave the first are a trap: here it is the first."""
    assert REQUEST.headers["x-tag"] == "SECRET-1"
    assert REQUEST.headers.getlist("X-Tag") == ["SECRET-1", "SECRET-2"]
    assert "first" in (Headers.__doc__ or "")


def test_repeated_parameter_gives_the_last() -> None:
    """The other half of that trap: of a repeated query parameter it is the last, as the docs say."""
    assert REQUEST.query_params["q"] == "SECRET-2"
    assert REQUEST.query_params.getlist("q") == ["SECRET-1", "SECRET-2"]
    assert "last" in (QueryParams.__doc__ or "")


def test_cookies_give_values() -> None:
    """A dict of the cookies that had morsels and lost the values is a trap: here it is names and values."""
    assert dict(REQUEST.cookies) == {**REQUEST.cookies} == {"theme": "SECRET-dark"}
    assert json.dumps(dict(REQUEST.cookies)) == '{"theme": "SECRET-dark"}'


# Frozen


@pytest.mark.parametrize("value", [META, REQUEST, META.session], ids=name_of)
def test_fields_cannot_be_set(value: Any) -> None:
    """A snapshot stays what it was: no field can be set or deleted."""
    for name in (*value, "new", "__class__"):
        with pytest.raises(
            FrozenInstanceError, match=rf"{name_of(value)} is read-only, '{name}' cannot be set: .*replace"
        ):
            setattr(value, name, None)
        with pytest.raises(FrozenInstanceError, match="is read-only"):
            delattr(value, name)


@pytest.mark.parametrize(
    "change",
    [
        "user.update(username='root')",
        "user.pop('username')",
        "user.popitem()",
        "user.clear()",
        "user.setdefault('x', 1)",
        "user['username'] = 'root'",
        "del user['username']",
        "user |= {'username': 'root'}",
        "user.username = 'root'",
        "del user.username",
        "user.groups.append('admins')",
        "user.groups[0] = 'admins'",
        "request.headers['accept'] = 'x'",
        "request.headers.mutablecopy()",
        "request.query_params['q'] = 'x'",
        "request.cookies['theme'] = 'x'",
        "request.path_params['id'] = '8'",
        "request.meta['tenant']['name'] = 'x'",
        "request.meta['tenant']['tags'].append('b')",
        "request.url['path'] = '/x'",
    ],
)
def test_contents_cannot_be_changed(change: str) -> None:
    """What lies inside is read-only too, at every depth."""
    request = make_request()
    with pytest.raises((TypeError, AttributeError)):
        exec(change, {"request": request, "user": request.user})
    assert request == make_request()
    assert request.user == USER == {**USER, "username": "alice", "groups": ("editors",)}


def test_copy_of_the_user_can_be_changed() -> None:
    """``dict(user)`` is the author's own."""
    own = dict(USER)
    own["username"] = "root"
    assert USER.username == "alice"


def test_pattern_tells_nobody_from_somebody() -> None:
    """If no user is known, the pattern for no user matches, and not the one for everything else."""
    found = []
    for meta in (META, AppMeta()):
        match meta:
            case {"user": None}:
                found.append("nobody")
            case {"user": {"username": name}}:
                found.append(name)
    assert found == ["alice", "nobody"]


def test_fields_of_the_deployer_are_plain_json() -> None:
    """They, and the path's parameters, are dicts that ``json.dumps`` takes at every depth, and may be pickled."""
    assert json.loads(json.dumps(REQUEST.meta)) == {"tenant": {"name": "acme", "tags": ["a"]}}
    assert json.dumps(dict(REQUEST.meta)["tenant"]) == '{"name": "acme", "tags": ["a"]}'
    assert json.dumps(REQUEST.path_params) == '{"id": "7"}'
    assert pickle.loads(pickle.dumps(REQUEST.meta)) == REQUEST.meta == copy.deepcopy(REQUEST.meta)


# Nothing shows a value


@pytest.mark.parametrize("show", [repr, str, ascii, format, pformat, short_repr, "{!r:.2000}".format])
@pytest.mark.parametrize("value", CONFINED, ids=name_of)
def test_printers_show_names_only(value: object, show: Callable[[object], str]) -> None:
    """Outputs and logs are kept: however a value is printed, names are shown and values are not."""
    asked_for = isinstance(value, URL | QueryParams) and show in (str, format)  # as text, they are an address
    assert asked_for or "SECRET" not in show(value)


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"value": v}, lambda v: (v, {"deep": [v]})])
def test_containers_show_names_only(wrap: Callable[[object], object]) -> None:
    """A value inside a list or dict is masked by every printer as well."""
    shown = [show(wrap(value)) for value in CONFINED for show in (repr, pformat)]
    assert not [text for text in shown if "SECRET" in text]


@pytest.mark.parametrize("value", [META, REQUEST, META.session], ids=name_of)
@pytest.mark.parametrize("view", [dict, lambda v: v.items(), lambda v: list(v.values()), lambda v: v.keys()])
def test_views_show_names_only(value: Any, view: Callable[[Any], object]) -> None:
    """A dict or view of a record has masked values in it."""
    assert not [text for text in (show(view(value)) for show in (repr, pformat)) if "SECRET" in text]


def test_repr_has_the_names() -> None:
    """A masked repr still tells what is there."""
    assert repr(REQUEST.headers) == "Headers({'x-tag': '***', 'x-tag': '***', 'accept': '***'})"
    assert repr(REQUEST.query_params) == "QueryParams({'q': '***', 'q': '***'})"
    assert repr(REQUEST.cookies) == "Cookies({'theme': '***'})"
    assert repr(REQUEST.url) == "URL('http://hub/lab?q=***&q=***')"
    assert repr(REQUEST).startswith("HTTPRequest(method='GET', url=URL('http://hub/lab?q=***&q=***'), user='alice'")


VERBOSE = {
    "values in a variable": "r = request; x = r.headers, r.cookies, r.query_params, r.url\nlen(x) / 0",
    "the request": "request.missing",
    "the whole": "meta['missing']",
    "a header": "request.headers['missing']",
    "a cookie": "request.cookies['missing']",
    "a parameter": "request.query_params['missing']",
    "a part of the URL": "request.url['missing']",
    "pickling": "import pickle; pickle.dumps(request.cookies)",
    "JSON": "import json; json.dumps(request.headers)",
    "authentication": "meta.require_user()",
}

VERBOSE_SCRIPT = """
import contextlib, io, json, sys
from IPython.core.interactiveshell import InteractiveShell
from jupyter_app_meta.testing import fake_request
shell = InteractiveShell.instance()
shell.run_line_magic("xmode", "Verbose")
cells, shown = json.loads(sys.argv[1]), {}
with fake_request(headers={"h": "SECRET"}, cookies={"c": "SECRET"}, query={"q": "SECRET"}) as meta:
    shell.user_ns.update(meta=meta, request=meta.request)
    for name, cell in cells.items():
        with contextlib.redirect_stdout(io.StringIO()) as output:
            assert not shell.run_cell(cell).success
        shown[name] = output.getvalue()
sys.stdout.write(json.dumps(shown))
"""


@pytest.fixture(scope="module")
def tracebacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What ``%xmode Verbose`` shows of cells that fail with a request at hand."""
    package = str(Path(jupyter_app_meta.__file__).parents[1])
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {package!r})\n{VERBOSE_SCRIPT}",
        json.dumps(VERBOSE),
    ]
    home = tmp_path_factory.mktemp("ipython")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=home)
    shown: dict[str, str] = json.loads(done.stdout[done.stdout.index("{") :])
    return shown


@pytest.mark.parametrize("cell", VERBOSE)
def test_verbose_tracebacks_show_names_only(tracebacks: dict[str, str], cell: str) -> None:
    """A verbose traceback prints the variables of each frame, ours included: none of them shows a value."""
    assert "Traceback" in tracebacks[cell]
    assert "SECRET" not in tracebacks[cell]


@pytest.mark.parametrize("part", ["headers", "cookies", "query_params"])
@pytest.mark.parametrize("name", ["missing", "", "\xe9"])
def test_failed_lookup_leaves_no_value_in_a_variable(part: str, name: str) -> None:
    """Tools that print all variables of each frame show names only as well."""
    with pytest.raises(KeyError) as caught:
        REQUEST[part][name]
    shown = TracebackException.from_exception(caught.value, capture_locals=True).format()
    assert "SECRET" not in "".join(shown)


# Copies and pickles


@pytest.mark.parametrize("value", [*CONFINED, USER], ids=name_of)
def test_copies_are_the_same_value(value: object) -> None:
    """What cannot change needs no second one: copies, deep ones too, are the value itself."""
    assert copy.copy(value) is value
    assert copy.deepcopy(value) is value
    assert copy.deepcopy([value])[0] is value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", CONFINED, ids=name_of)
def test_pickling_names_the_remedy(value: object, protocol: int) -> None:
    """A request stays in its process: pickling raises, and says what to pass instead."""
    with pytest.raises(NotPicklable, match=rf"{name_of(value)} cannot be pickled.*dict\(request\.user\)"):
        pickle.dumps({"deep": [value]}, protocol)


def test_user_can_be_pickled() -> None:
    """The user, which the remedy names, crosses to another process."""
    again = pickle.loads(pickle.dumps(USER))
    assert (again, type(again)) == (USER, User)
    assert pickle.loads(pickle.dumps(dict(USER))) == dict(USER)


def test_user_is_json() -> None:
    """``json.dumps(user)`` works as it is."""
    plain = json.loads(json.dumps(USER))
    assert (plain["username"], plain["groups"], plain["team"]) == ("alice", ["editors"], {"id": 1})


# Nobody


def test_missing_context_is_none() -> None:
    """Missing context that answered ``{}`` or ``""`` is a trap, for it passes ``!= "admin"``: here it is None."""
    nobody = AppMeta()
    assert (nobody.request, nobody.user, nobody.cookies, nobody.mode) == (None, None, None, "script")
    assert [nobody[name] for name in ("request", "user", "cookies", "meta")] == [None] * 4
    assert nobody.session == SessionInfo(None, None, None, None)
    assert session.get("client_id") is None


def test_unknown_owner_is_none() -> None:
    """Whether the visitor is the owner has three answers, and the unknown one is not False."""
    assert User().is_owner is None
    assert User().is_authenticated is False


@pytest.mark.parametrize(
    ("meta", "remedies"),
    [
        (AppMeta(), ("jupyter app-meta check", "fake_request(user=...)")),
        (AppMeta(HTTPRequest("GET", URL("/"), URL("/"))), ("identity provider", "request.truncated")),
        (
            AppMeta(HTTPRequest("GET", URL("/"), URL("/"), user=User())),
            ("Set a token, a password or an identity provider",),
        ),
    ],
)
def test_require_user_names_the_remedy(meta: AppMeta, remedies: tuple[str, ...]) -> None:
    """Each reason for having no authenticated user has its own words and its own remedy."""
    with pytest.raises(NotAuthenticated) as caught:
        meta.require_user()
    assert isinstance(caught.value, PermissionError)
    assert all(remedy in str(caught.value) for remedy in remedies)


def test_require_user_returns_the_user() -> None:
    """If a user is authenticated, that user is returned."""
    assert META.require_user() is USER
    with fake_request(user="bob") as meta:
        assert meta.require_user().username == "bob"
