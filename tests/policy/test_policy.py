"""What crosses into a kernel and what stays behind: each row of the policy, by default and with its option."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Address

from jupyter_app_meta.errors import PolicyError
from jupyter_app_meta.model import HTTPRequest, User
from jupyter_app_meta.policy import USER_FIELDS, Page, Policy, RawRequest, normal, patterns, remedy
from jupyter_app_meta.policy.names import Scopes

CANARY = "CANARY7c1"
OWNER = User(username="olga", name="Olga", kind="user", assurance="hub", is_authenticated=True, is_owner=True)
GUEST = User(username="gus", name="Gus", kind="user", assurance="hub", is_authenticated=True, is_owner=False)
PROXIES = ["10.0.0.0/8", "2001:db8::/32"]

OPEN_HEADERS = """
    Accept Accept-Language User-Agent Host Origin DNT Sec-Ch-Ua Sec-CH-UA-Platform Sec-Fetch-Site Sec-Fetch-Dest
    X-Request-Id Traceparent
""".split()
NEVER_HEADERS = "Cookie Set-Cookie Sec-WebSocket-Key Sec-WebSocket-Protocol Sec-WebSocket-Extensions".split()
SECRET_HEADERS = """
    Authorization Proxy-Authorization X-XSRFToken X-CSRF-Token X-Auth-Token X-Forwarded-Access-Token
    X-Amzn-Oidc-Accesstoken X-Amzn-Oidc-Data
    Cf-Access-Jwt-Assertion X-Goog-Iap-Jwt-Assertion X-My-Assertion Client-Secret X-Api-Key X-ApiKey
    Ocp-Apim-Subscription-Key X-Hub-Signature X-Original-Authorization X-Registry-Auth X-Auth-Key X-Auth-Session
    X-Client-Cert X-Forwarded-Client-Cert X-Forwarded-Tls-Client-Cert Ssl-Client-S-Dn X-Ssl-Cert X-Arr-Clientcert
    X-Ms-Client-Principal X-Ms-Token-Aad-Access-Token X-Vault-Token X-Jwt-Claim-Sub X-Session-Id X-Original-Cookie DPoP
""".split()
IDENTITY_HEADERS = """
    X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username X-Forwarded-Roles Remote-User
    X-Remote-User X-Remote-Group X-Auth-Request-User X-Auth-Request-Email X-Webauth-User X-Authenticated-User
    X-Goog-Authenticated-User-Email Cf-Access-Authenticated-User-Email Tailscale-User-Login X-Authentik-Username
    X-Pomerium-Claim-Email X-Ms-Client-Principal-Name X-Amzn-Oidc-Identity Oidc-Claim-Sub X-User X-User-Id X-Email From
""".split()
ADDRESS_HEADERS = """
    Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port X-Forwarded-Prefix X-Real-Ip
    X-Client-Ip True-Client-Ip Cf-Connecting-Ip Via
""".split()
SECRET_COOKIES = """
    session my_session PHPSESSID JSESSIONID gh_sess connect.sid sid sid_a token access_token XSRF-TOKEN auth jwt
    csrftoken my_csrf remember_me remember remember-web __Host-theme __Secure-theme _oauth2_proxy _oauth2_proxy_0
    AWSELB AWSELBCORS AWSALB CF_Authorization cf_clearance __cf_bm _cfuvid api_key apikey my.key password id.sig
    .AspNetCore.Identity.Application SAPISID SSID wordpress_logged_in_1 sso last-login my_secret PHPSESSID2
""".split()
NEVER_COOKIES = """
    _xsrf jupyterhub-session-id jupyterhub-user-alice jupyterhub-hub-login service-dashboard username-127-0-0-1-8888
    username-localhost-8888 service-dash-oauth-state-AbC __Host-jupyterhub-user-alice __Host-_xsrf my-client-oauth-state
    __Secure-username-localhost
""".split()
HARMLESS_COOKIES = """
    ab_test sidebar assid consent resident mood _ga cookie_consent lesson keyboard author lastVisited session_count
    rememberLayout loginTheme token_unit auth_banner_dismissed
""".split()
PREFERENCES = """
    theme lang language locale tz timezone django_language NEXT_LOCALE i18next color_scheme preferred_color_mode
""".split()

SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    str.lower,
    str.upper,
    lambda name: name.replace("-", "_"),
    lambda name: name.replace("_", "-"),
)


def ask(policy: Policy | None = None, *, page: Page | None = None, **fields: Any) -> HTTPRequest:
    """Return what a policy lets through of a request with these fields; mappings become pairs."""
    for kind in ("headers", "cookies"):
        if isinstance(fields.get(kind), Mapping):
            fields[kind] = tuple(fields[kind].items())
    raw = RawRequest(**{"method": "GET", "url": "http://h/x", "base_url": "http://h/", **fields})
    return (policy or Policy()).request(raw, page)


def everything(request: HTTPRequest) -> str:
    """Return all that a request holds, in one text."""
    parts: list[Any] = [
        request.method,
        str(request.url),
        str(request.base_url),
        request.headers.items(),
        request.client,
    ]
    parts += [request.query_params.multi_items(), dict(request.cookies), dict(request.user or {}), request.meta]
    return repr([*parts, tuple(request.redacted)])


# --- headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPEN_HEADERS)
def test_common_headers_cross(name: str) -> None:
    """The headers that describe a browser are known to every author."""
    request = ask(headers={name: "value"})
    assert request.headers[name] == "value"
    assert not request.redacted


@pytest.mark.parametrize("name", NEVER_HEADERS)
def test_some_headers_never_cross(name: str) -> None:
    """The raw Cookie header and the WebSocket's own cross under no option, nor can one be set."""
    for spell in SPELLINGS:
        request = ask(Policy.of(headers_allow=["*", spell(name)]), headers={spell(name): CANARY}, user=OWNER)
        assert CANARY not in everything(request)
        assert f"headers.{spell(name).lower()}" in request.redacted
        with pytest.raises(PolicyError, match=r"unsafe_headers.*never forwarded"):
            Policy.of(unsafe_headers=[spell(name)])


@pytest.mark.parametrize("name", SECRET_HEADERS)
def test_credential_headers_need_their_exact_unsafe_name(name: str) -> None:
    """Not even ``headers_allow`` with the very name opens a credential; names were once compared case-sensitively."""
    for spell in SPELLINGS:
        request = ask(Policy.of(headers_allow=["*", name]), headers={spell(name): CANARY})
        assert CANARY not in everything(request), spell(name)
        opened = ask(Policy.of(unsafe_headers=[name.lower()]), headers={spell(name): CANARY})
        assert opened.headers[spell(name)] == CANARY


@pytest.mark.parametrize("name", ["X.Api.Key", "X!Api!Key", "X-Xsrf.Token", "Proxy.Authorization", "X-My.Secret"])
def test_other_separators_hide_no_credential(name: str) -> None:
    """Header names may be separated by more than dashes."""
    assert CANARY not in everything(ask(Policy.of(headers_allow=["*"]), headers={name: CANARY}))


@pytest.mark.parametrize("name", IDENTITY_HEADERS)
def test_identity_headers_need_their_exact_name(name: str) -> None:
    """A pattern does not open what a proxy says about identity, its exact name does."""
    for spell in SPELLINGS:
        assert CANARY not in everything(ask(headers={spell(name): CANARY}))
        assert CANARY not in everything(
            ask(Policy.of(headers_allow=["*", "x-*", "*user*"]), headers={spell(name): CANARY})
        )
        opened = ask(Policy.of(headers_allow=[name]), headers={spell(name): CANARY})
        assert opened.headers[spell(name)] == CANARY


@pytest.mark.parametrize("name", ADDRESS_HEADERS)
def test_address_headers_cross_by_pattern(name: str) -> None:
    """What proxies say about addresses is withheld until a pattern opens it."""
    assert CANARY not in everything(ask(headers={name: CANARY}))
    opened = ask(Policy.of(headers_allow=["x-forwarded-*", "*ip", "forwarded", "via"]), headers={name: CANARY})
    assert opened.headers[name] == CANARY


@pytest.mark.parametrize("name", ADDRESS_HEADERS)
def test_address_headers_are_believed_of_proxies_only(name: str) -> None:
    """Where proxies are named, anybody else's forwarded headers are a forgery."""
    policy = Policy.of(headers_allow=["*"], trusted_proxies=PROXIES)
    assert CANARY in everything(ask(policy, headers={name: CANARY}, client=Address("10.1.2.3", 1)))
    for stranger in (Address("192.168.0.1", 1), None):
        assert CANARY not in everything(ask(policy, headers={name: CANARY}, client=stranger))


def test_referer_is_filtered_like_a_url() -> None:
    """A header that holds a URL is withheld by default, and loses its credentials where it is allowed."""
    referer = f"http://u:{CANARY}@h/lab?token={CANARY}&region=emea&next=%2Fx%3Fcode%3D{CANARY}#{CANARY}"
    assert "headers.referer" in ask(headers={"Referer": referer}).redacted
    request = ask(Policy.of(headers_allow=["referer"]), headers={"Referer": referer})
    assert request.headers["referer"] == "http://h/lab?region=emea&next=%2Fx"


@pytest.mark.parametrize(
    "name", ["Referer", "Origin", "X-Original-Uri", "HX-Current-Url", "X-Forwarded-Uri", "X-Custom"]
)
def test_every_allowed_header_loses_credentials_in_urls(name: str) -> None:
    """A URL may stand in any header: whichever it is, what the URL says of credentials stays behind."""
    value = f"https://u:{CANARY}@h/x?token={CANARY}&a=1"
    request = ask(Policy.of(headers_allow=["*", "x-forwarded-*"]), headers={name: value})
    assert CANARY not in everything(request)
    assert request.headers[name] == "https://h/x?a=1"
    assert request.redacted == (f"headers.{name.lower()}",)  # it was changed


@pytest.mark.parametrize("value", [f"a=1, token={CANARY}", f"see http:u:{CANARY}@h", f"x%3Ftoken%3D{CANARY}"])
def test_header_with_a_credential_in_its_text_is_withheld(value: str) -> None:
    """What cannot be cut out of a value keeps the whole value back."""
    request = ask(Policy.of(headers_allow=["x-*"]), headers={"X-Custom": value})
    assert "headers.x-custom" in request.redacted
    assert CANARY not in everything(request)


def test_referer_in_latin1_bytes_crosses_as_ascii() -> None:
    """Raw bytes in a URL header do not stop the request: they are percent-encoded."""
    request = ask(
        Policy.of(headers_allow=["referer"]), headers={"Referer": "http://h/\xe6\x97\xa5?q=\xe9", "Accept": "\xe9"}
    )
    assert request.headers["referer"] == "http://h/%E6%97%A5?q=%EF%BF%BD"
    assert request.headers["accept"] == "\xe9"


def test_repeated_headers_are_all_kept() -> None:
    """Of a repeated header the first is what ``[]`` gives, and ``getlist`` has all."""
    request = ask(headers=(("Accept", "a"), ("Host", "h"), ("ACCEPT", "b")))
    assert request.headers["accept"] == "a"
    assert request.headers.getlist("accept") == ["a", "b"]


def test_withheld_names_are_listed_once() -> None:
    """An author sees why a value is missing, and once is enough."""
    request = ask(headers=(("X-A", "1"), ("x-a", "2"), ("Authorization", "3")))
    assert request.redacted == ("headers.x-a", "headers.authorization")


@given(st.text(min_size=1), st.text())
def test_no_unknown_header_crosses_by_default(name: str, value: str) -> None:
    """Only listed names cross without an option, not other names that a visitor invents."""
    request = ask(headers={name: value})
    known = any(normal(name).startswith(normal(known)) for known in OPEN_HEADERS)
    assert known or not request.headers.keys()


# --- cookies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NEVER_COOKIES)
def test_own_cookies_never_cross(name: str) -> None:
    """The server's login cookie, the Hub's and the XSRF cookie cross under no option, nor can one be set."""
    for spell in SPELLINGS:
        policy = Policy.of(cookies_allow=["*", name])
        assert CANARY not in everything(ask(policy, cookies={spell(name): CANARY}, user=OWNER)), spell(name)
        with pytest.raises(PolicyError, match=r"unsafe_cookies.*never forwarded"):
            Policy.of(unsafe_cookies=[spell(name)])


def test_configured_login_cookie_never_crosses() -> None:
    """A login cookie with a name of the deployer's own is a login cookie too."""
    policy = Policy.of(cookies_allow=["*"], unsafe_cookies=["my_login"])
    own = frozenset(("My-Login", "dash"))
    request = ask(policy, cookies={"MY_LOGIN": CANARY, "dash": CANARY, "theme": "dark"}, own_cookies=own, user=OWNER)
    assert CANARY not in everything(request)
    assert dict(request.cookies) == {"theme": "dark"}


@pytest.mark.parametrize("name", SECRET_COOKIES)
def test_credential_cookies_need_their_exact_unsafe_name(name: str) -> None:
    """Neither the owner nor a pattern opens a cookie that looks like a credential."""
    for spell in SPELLINGS:
        request = ask(Policy.of(cookies_allow=["*", name]), cookies={spell(name): CANARY}, user=OWNER)
        assert CANARY not in everything(request), spell(name)
        assert f"cookies.{spell(name)}" in request.redacted
        opened = ask(Policy.of(unsafe_cookies=[name]), cookies={spell(name): CANARY}, user=GUEST)
        assert opened.cookies[spell(name)] == CANARY


@pytest.mark.parametrize("user", [OWNER, GUEST, None])
@pytest.mark.parametrize("name", PREFERENCES)
def test_well_known_preferences_are_open_of_everybody(name: str, user: User | None) -> None:
    """A few cookies that can hold nothing but a preference need no option."""
    for spell in SPELLINGS:
        assert ask(cookies={spell(name): "x"}, user=user).cookies[spell(name)] == "x"


@pytest.mark.parametrize("user", [OWNER, GUEST, None])
@pytest.mark.parametrize("name", HARMLESS_COOKIES)
def test_other_cookies_need_to_be_named(name: str, user: User | None) -> None:
    """Every other cookie needs an option, the owner's too: a browser sends those of every service on its host."""
    closed = ask(cookies={name: "x"}, user=user)
    assert (dict(closed.cookies), closed.redacted) == ({}, (f"cookies.{name}",))
    assert remedy(f"cookies.{name}") == f"AppMetaExtension.cookies_allow = ['{name}']"
    for pattern in (name, name.upper(), f"{name[:3]}*", "*"):
        assert ask(Policy.of(cookies_allow=[pattern]), cookies={name: "x"}, user=user).cookies[name] == "x", pattern


def test_patterns_open_what_they_name() -> None:
    """A pattern opens the cookies with a deployer's own prefix, with any rest of the name."""
    cookies = {"ab_test": "1", "ab-x": "2", "ab_zqrtl": "3", "abc": "4"}
    request = ask(Policy.of(cookies_allow=["AB_*"]), cookies=cookies)
    assert dict(request.cookies) == {"ab_test": "1", "ab-x": "2", "ab_zqrtl": "3"}


@pytest.mark.parametrize("name", ["rtFa", "TGC", "zqrtl", "li_at", "datr", "user", "user_id"])
def test_unfamiliar_cookies_need_more_than_a_star(name: str) -> None:
    """A pattern that names nothing does not open cookies whose names cannot be told from a login's."""
    for pattern in ("*", "?*", "[a-z]*", "*[a-z]*"):
        assert CANARY not in everything(ask(Policy.of(cookies_allow=[pattern]), cookies={name: CANARY}))


@pytest.mark.parametrize(
    "value",
    [
        f"1, session={CANARY}",
        f"1,_xsrf={CANARY}",
        f"1, jupyterhub-user-x={CANARY}",
        f"1, connect.sid={CANARY}",
        f"lang=en&auth_token={CANARY}",
        f"https://u:{CANARY}@h/",
        f"%2Flab%3Ftoken%3D{CANARY}",
        f'{{"name": "x", "access_token" : "{CANARY}"}}',
        f"j:%7B%22session%22%3A%22{CANARY}%22%7D",
    ],
)
def test_cookie_with_a_credential_in_its_value_is_withheld(value: str) -> None:
    """A proxy that joins Cookie lines with commas puts one cookie into another's value."""
    request = ask(cookies={"theme": value})
    assert CANARY not in everything(request)
    assert request.redacted == ("cookies.theme",)
    assert ask(Policy.of(unsafe_cookies=["theme"]), cookies={"theme": value}).cookies["theme"] == value


@pytest.mark.parametrize(
    "value", ["a=1,b=2", "GA1.1.2.3", "alice@example.com", "100%", "%7B%22a%22%3A1%7D", "YQ==", "", "\xe9"]
)
def test_cookie_values_cross_as_they_are(value: str) -> None:
    """What is harmless is not touched."""
    assert ask(Policy.of(cookies_allow=["prefs"]), cookies={"prefs": value}).cookies["prefs"] == value


# --- URL and query ---------------------------------------------------------------------------------------------------


def test_url_and_query_say_the_same() -> None:
    """URL, query parameters and path lose the same credentials; their names are listed."""
    url = "http://u:p@h/x?token=1&region=emea&region=apac&session_id=2&next=%2Fy%3Fkey%3D1#top"
    request = ask(url=url, base_url="http://u:p@h/base/")
    assert str(request.url) == "http://h/x?region=emea&region=apac&next=%2Fy"
    assert request.query_params.multi_items() == [("region", "emea"), ("region", "apac"), ("next", "/y")]
    assert str(request.base_url) == "http://h/base/"
    assert request.redacted == ("query.token", "query.session_id", "query.next")


def test_unsafe_query_opens_exact_names() -> None:
    """A deployer may open one parameter, as exactly as it is written."""
    request = ask(Policy.of(unsafe_query=["API_KEY"]), url="http://h/?api-key=1&key=2")
    assert request.query_params.multi_items() == [("api-key", "1")]


def test_scrubbed_log_parameters_are_credentials_too() -> None:
    """What the server scrubs from its log by configuration does not cross either."""
    request = ask(Policy.of(secret_query=["Badge_No"]), url="http://h/?badge_no=1&my-badge-no=2&badge=3")
    assert request.query_params.multi_items() == [("badge", "3")]


def test_page_stands_for_the_socket() -> None:
    """Where the page is known, its URL and path parameters are shown, filtered like any."""
    page = Page("http://h/lab/tree/a.ipynb?region=emea&token=1", {"path": "a.ipynb"})
    request = ask(page=page, url="http://h/api/kernels/1/channels?session_id=1", path_params={"kernel_id": "1"})
    assert (str(request.url), request.via) == ("http://h/lab/tree/a.ipynb?region=emea", "page")
    assert dict(request.path_params) == {"path": "a.ipynb"}
    assert request.redacted == ("query.token",)
    assert ask(path_params={"kernel_id": "1"}).via == "socket"


def test_path_parameters_lose_what_the_path_loses() -> None:
    """A URL in the path, as proxies have it, shows its userinfo neither there nor among the parameters."""
    nested = f"https://u:{CANARY}@h/x;jsessionid={CANARY}"
    request = ask(url=f"http://h/proxy/{nested}", path_params={"url": nested, "name": "token=1@x.ipynb"})
    assert CANARY not in everything(request) + repr(dict(request.path_params))
    assert dict(request.path_params) == {"url": "https://h/x", "name": "token=1@x.ipynb"}


def test_broken_url_is_withheld() -> None:
    """A text that is not a URL is listed, and nothing of it crosses."""
    request = ask(url=f"http://[{CANARY}/?a=1")
    assert (str(request.url), request.redacted) == ("", ("url",))


# --- the user --------------------------------------------------------------------------------------------------------


def test_user_crosses_with_all_fields() -> None:
    """By default a cell sees the whole user, with what an identity provider adds."""
    user = User({**OWNER, "groups": ["a"], "department": "R&D", "profile": {"floor": 3}})
    request = ask(user=user)
    assert request.user == user
    assert not request.redacted


def test_narrowed_user_has_none_in_the_place_of_others() -> None:
    """A narrowed list withholds the other fields, the provider's own too, and lists them."""
    request = ask(Policy.of(user_fields=["username", "kind"]), user=User({**GUEST, "groups": ["a"], "badge": 7}))
    assert request.user is not None
    shown = {name: value for name, value in request.user.items() if value not in (None, ())}
    assert shown == {"is_authenticated": True, "username": "gus", "kind": "user"}
    assert request.user.groups is None
    assert {"user.name", "user.groups", "user.badge", "user.assurance"} <= set(request.redacted)


def test_no_groups_are_told_from_withheld_ones() -> None:
    """A user who is in no group has an empty tuple: None would say that it is not known."""
    for policy in (Policy(), Policy.of(user_fields=["groups"])):
        user = ask(policy, user=User(GUEST)).user
        assert user is not None
        assert user.groups == ()


@pytest.mark.parametrize("assurance", ["hub", "provider", "shared-secret", "none"])
def test_authenticated_means_that_there_is_assurance(assurance: str) -> None:
    """If authentication is off, no user is authenticated, even if a provider claims so."""
    claimed = assurance == "none"
    request = ask(user=User(username="x", assurance=assurance, is_authenticated=claimed))
    assert request.user is not None
    assert request.user["is_authenticated"] is not claimed


@pytest.mark.parametrize(
    "name",
    """
    scope scopes roles hub_roles token_id session_id auth_state auth token access_token api_key apiKey password secret
    jwt cookie hub_user avatar_url credentials clientSecret refreshToken
    """.split(),
)
def test_credentials_of_a_user_never_cross(name: str) -> None:
    """A provider's own field whose name, or a name inside it, says credential stays behind."""
    for extra in (
        {name: CANARY},
        {name.upper(): CANARY},
        {"profile": {"a": [{name: CANARY}]}},
        {"p": [{name: CANARY}]},
    ):
        request = ask(user=User({**OWNER, **extra}))
        assert CANARY not in everything(request), extra
        assert request.redacted == tuple(f"user.{key}" for key in extra)


TOKEN = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.mark.parametrize(
    ("scopes", "crosses"),
    [(Scopes(("read", "write")), True), (Scopes(), True), (Scopes(("read", TOKEN)), False), (["read"], False)],
)
def test_scopes_of_an_asgi_host_cross(scopes: object, crosses: bool) -> None:
    """They are what the host lets the visitor do. A token among them, and those of a Hub, never cross."""
    request = ask(user=User({**OWNER, "scopes": scopes}))
    assert request.user is not None and ("scopes" in request.user) is crosses
    assert request.redacted == (() if crosses else ("user.scopes",))


@pytest.mark.parametrize(
    "name", ["role", "telescope", "department", "keyboard", "author", "email", "tokenizer", "self", ""]
)
def test_other_fields_of_a_user_cross(name: str) -> None:
    """Ordinary names that a provider adds are not mistaken for the Hub's, nor for credentials."""
    request = ask(user=User({**OWNER, name: "x"}))
    assert request.user is not None
    assert request.user[name] == "x"


# --- addresses and proxies -------------------------------------------------------------------------------------------


def client(hops: str | list[str] | None, peer: str = "10.0.0.1", **more: str) -> Address | None:
    """Return the client's address behind our proxies, as told by X-Forwarded-For lines."""
    lines = [hops] if isinstance(hops, str) else hops or []
    headers = (*(("X-Forwarded-For", line) for line in lines), *more.items())
    return ask(Policy.of(trusted_proxies=PROXIES), headers=headers, client=Address(peer, 4711)).client


def test_client_is_withheld_by_default() -> None:
    """An address is personal: it crosses by an option only."""
    request = ask(client=Address("192.168.0.9", 1))
    assert (request.client, request.redacted) == (None, ("client",))
    allowed = ask(Policy.of(headers_allow=["x-forwarded-for"]), client=Address("192.168.0.9", 1))
    assert allowed.client == Address("192.168.0.9", 1)


@pytest.mark.parametrize(
    ("hops", "found"),
    [
        ("192.168.0.9", "192.168.0.9"),
        ("6.6.6.6, 192.168.0.9", "192.168.0.9"),
        ("6.6.6.6, 192.168.0.9, 10.0.0.2", "192.168.0.9"),
        (["6.6.6.6", "192.168.0.9", "10.0.0.2"], "192.168.0.9"),
        ("192.168.0.9:5123", "192.168.0.9"),
        ("[2001:db9::7]:443", "2001:db9::7"),
        ("2001:db9::7, 2001:db8::1", "2001:db9::7"),
        ("::ffff:192.168.0.9", "192.168.0.9"),
        ("10.3.3.3, 10.0.0.2", "10.3.3.3"),
        ("192.168.0.9,, ,10.0.0.2,", "192.168.0.9"),
    ],
)
def test_forwarded_for_is_walked_from_the_right(hops: str, found: str) -> None:
    """The nearest address that is not one of our proxies is the client; what it claims itself stands further left."""
    assert client(hops) == Address(found, 0)


@pytest.mark.parametrize(
    "hops", ["unknown", "6.6.6.6, _hidden", "6.6.6.6, garbage, 10.0.0.2", "1.2.3.4:5:6:7.", "[::1"]
)
def test_doubtful_hop_ends_the_walk(hops: str) -> None:
    """Where a proxy wrote something else than an address, the client is unknown: nothing further left is believed."""
    assert client(hops) in (None, Address("::1", 0))


def test_stranger_cannot_claim_an_address() -> None:
    """The headers of a peer that is not one of our proxies count for nothing."""
    assert client("6.6.6.6", peer="192.168.0.9") == Address("192.168.0.9", 4711)


def test_underscores_do_not_spoof_an_address() -> None:
    """A client's own X_Forwarded_For passes many proxies untouched; it is another header."""
    spoofed = {"X_Forwarded_For": "6.6.6.6", "x-forwarded_for": "6.6.6.6"}
    assert client("192.168.0.9", **spoofed) == Address("192.168.0.9", 0)
    assert client(None, **spoofed) == Address("10.0.0.1", 4711)


@pytest.mark.parametrize("name", ["X-Real-IP", "Forwarded"])
def test_other_address_headers_are_no_proof(name: str) -> None:
    """X-Real-IP may be the client's own; a proxy that tells nothing else leaves the client unknown."""
    assert client(None, **{name: "6.6.6.6"}) is None
    assert client("192.168.0.9", **{name: "6.6.6.6"}) == Address("192.168.0.9", 0)


def test_unix_sockets_have_no_address() -> None:
    """A peer without an address is not a proxy."""
    policy = Policy.of(trusted_proxies=["0.0.0.0/0", "::/0"])
    assert not policy.trusts(None)
    assert ask(policy, headers={"X-Forwarded-For": "6.6.6.6"}).client is None


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [("10.9.9.9", True), ("::ffff:10.0.0.1", True), ("2001:db8::1", True), ("11.0.0.1", False), ("localhost", False)],
)
def test_proxies_are_known_by_network(peer: str, trusted: bool) -> None:
    """A proxy is a peer in one of the deployer's networks, in either notation of its address."""
    assert Policy.of(trusted_proxies=PROXIES).trusts(Address(peer, 1)) is trusted


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"user_fields": ["usrname"]}, "user_fields: unknown field 'usrname'"),
        ({"headers_allow": [""]}, "headers_allow: an empty name"),
        ({"headers_allow": "referer"}, "headers_allow: must be a list of names"),
        ({"cookies_allow": [" "]}, "cookies_allow: an empty name"),
        ({"unsafe_headers": ["x-*"]}, "unsafe_headers: 'x-\\*' is a pattern"),
        ({"unsafe_cookies": ["sess?"]}, "unsafe_cookies: .*pattern"),
        ({"unsafe_query": ["*"]}, "unsafe_query: .*pattern"),
        ({"unsafe_query": ["session_id"]}, "unsafe_query: .*never forwarded"),
        ({"trusted_proxies": ["proxy.local"]}, "trusted_proxies: 'proxy.local' is not an address"),
        ({"trusted_proxies": [""]}, "trusted_proxies: '' is not an address"),
        ({"user_header": "X-User: bob"}, "user_header: .*not a header name"),
        ({"user_header": "Authorization"}, "user_header: .*credential"),
        ({"user_header": "Cookie"}, "user_header: .*credential"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, Any], said: str) -> None:
    """A wrong value is refused at start-up with the option's name and what is wrong with it."""
    with pytest.raises(PolicyError, match=rf"AppMetaExtension.{said}") as caught:
        Policy.of(**options)
    assert caught.value.option == next(iter(options))


def test_array_names_can_be_opened() -> None:
    """A name with brackets is an exact name, not a pattern."""
    assert ask(Policy.of(unsafe_query=["a[token]"]), url="http://h/?a[token]=1").query_params["a[token]"] == "1"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("headers.cookie", "never forwarded"),
        ("headers.sec-websocket-key", "never forwarded"),
        ("headers.referer", "AppMetaExtension.headers_allow = ['referer']"),
        ("headers.x-forwarded-user", "AppMetaExtension.headers_allow = ['x-forwarded-user']"),
        ("headers.authorization", "a credential: AppMetaExtension.unsafe_headers = ['authorization']"),
        ("headers.x-auth-key", "a credential: AppMetaExtension.unsafe_headers = ['x-auth-key']"),
        ("cookies._xsrf", "never forwarded"),
        ("cookies.__Host-_xsrf", "never forwarded"),
        ("cookies.session", "a credential: AppMetaExtension.unsafe_cookies = ['session']"),
        ("cookies.theme", "a credential: AppMetaExtension.unsafe_cookies = ['theme']"),
        ("cookies.mood", "AppMetaExtension.cookies_allow = ['mood']"),
        ("path_params.key", "AppMetaExtension.unsafe_query = ['key']"),
        ("url.path", "never forwarded"),
        ("query.token", "AppMetaExtension.unsafe_query = ['token']"),
        ("query.session_id", "never forwarded"),
        ("user.groups", "AppMetaExtension.user_fields: add 'groups', or leave the option unset"),
        ("user.auth_state", "never forwarded"),
        ("user.department", "leave AppMetaExtension.user_fields unset"),
        ("client", "AppMetaExtension.trusted_proxies = [the networks of your proxies]"),
        ("url", "never forwarded"),
    ],
)
def test_remedy_names_the_option(item: str, said: str) -> None:
    """Each withheld item has one sentence that says what opens it."""
    assert remedy(item) == said


def test_field_with_a_credential_inside_has_no_option() -> None:
    """Of a provider's field that stays for what is inside it, no option is named that would not open it."""
    redacted = ask(user=User({**OWNER, "nested": {"a": 1, "b": [{"password": CANARY}]}, "auth_state": 1})).redacted
    assert redacted == ("user.nested", "user.auth_state")
    assert "contains what looks like a credential, for which there is no option" in remedy("user.nested", redacted)
    assert remedy("user.auth_state", redacted) == "never forwarded"


def test_narrowing_is_told_from_a_credential_inside() -> None:
    """Where the deployer narrowed the user, the option is what opens a provider's own fields."""
    redacted = ask(Policy.of(user_fields=["username"]), user=User({**OWNER, "nested": {"a": 1}, "flat": 1})).redacted
    for item in ("user.nested", "user.flat"):
        assert remedy(item, redacted) == "leave AppMetaExtension.user_fields unset"


@given(st.sampled_from([*SECRET_HEADERS, *IDENTITY_HEADERS, "referer", "x-a"]), st.sampled_from(["headers", "cookies"]))
def test_remedy_is_true(name: str, kind: str) -> None:
    """If the deployer follows the remedy, the value is shown."""
    option, _, _ = remedy(f"{kind}.{name}").rpartition(".")[2].partition(" ")
    policy = Policy.of(**{option: [name]})  # type: ignore[arg-type]  # the option comes from a sentence
    fields: dict[str, Any] = {kind: {name: "value"}}
    assert getattr(ask(policy, **fields), kind)[name] == "value"


JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{CANARY}"
NAMED = {"cookies_allow": ["author", "my-login"], "headers_allow": ["x-note", "referer", "x-real-ip"]}
STRANGER = {**NAMED, "trusted_proxies": PROXIES}
WHY: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "cookies.author": (NAMED, {"cookies": {"author": JWT}}, "['author'], because its value looks like"),
    "cookies.mood": ({}, {"cookies": {"mood": JWT}}, "unsafe_cookies = ['mood'], because its value looks like a"),
    "headers.x-note": (NAMED, {"headers": {"X-Note": f"Bearer {JWT}"}}, "['x-note'], because its value looks"),
    "headers.accept": ({}, {"headers": {"Accept": JWT}}, "unsafe_headers = ['accept'], because its value looks like"),
    "headers.referer": (NAMED, {"headers": {"Referer": f"http://h/?token={CANARY}"}}, "['referer'], because a cred"),
    "query.state": ({}, {"url": f"http://h/?code=a&state={CANARY}"}, "AppMetaExtension.unsafe_query = ['state']"),
    "query.next": ({}, {"url": f"http://h/?next=http://u:{CANARY}@h/"}, "AppMetaExtension.unsafe_query = ['next']"),
}


@pytest.mark.parametrize("item", WHY)
def test_remedy_says_why_and_helps(item: str) -> None:
    """An option that names the item already, and does not help, is not named; the one that is named shows all of it."""
    options, fields, said = WHY[item]
    redacted = ask(Policy.of(**options), **fields).redacted
    text = remedy(item, redacted)
    assert item in tuple(redacted) and said in text
    name, _, rest = text.removeprefix("AppMetaExtension.").partition(" = ")
    policy = Policy.of(**{**options, name: [rest.split("'")[1]]})
    assert CANARY in everything(ask(policy, **fields)) and CANARY not in everything(ask(Policy.of(**options), **fields))


@pytest.mark.parametrize(
    ("item", "fields", "said"),
    [
        ("cookies.my-login", {"cookies": {"my-login": "a"}, "own_cookies": frozenset(["my-login"])}, "never forwarded"),
        ("query.jsessionid", {"url": "http://h/a;jsessionid=A1B2C3?x=1"}, "never forwarded, because it stands in the"),
        ("query.user", {"url": "http://h/?user:token=abc"}, "unsafe_query: add the whole name"),
        ("query.(unnamed)", {"url": "http://h/?:token=abc"}, "unsafe_query: add the whole name"),
        ("headers.x-real-ip", {"headers": {"X-Real-Ip": "1.2.3.4"}}, "a proxy in AppMetaExtension.trusted_proxies"),
    ],
)
def test_remedy_knows_what_no_name_opens(item: str, fields: dict[str, Any], said: str) -> None:
    """Where the name in an option would not help, the sentence says what does, or that nothing does."""
    policy = Policy.of(**STRANGER, unsafe_query=["jsessionid", "user"])  # type: ignore[arg-type]  # mixed options
    redacted = ask(policy, client=Address("203.0.113.9", 1), **fields).redacted
    assert item in tuple(redacted) and said in remedy(item, redacted)


def test_reprs_show_no_value() -> None:
    """Neither what the server knows nor where it came from is shown by a log line or a traceback."""
    raw = RawRequest("GET", f"http://h/?token={CANARY}", "http://h/", (("A", CANARY),), (("b", CANARY),))
    assert CANARY not in repr(raw) + repr(Page(f"http://h/?token={CANARY}"))


def test_long_names_are_not_remembered() -> None:
    """A visitor cannot fill the server's memory with names."""
    before = patterns._known.cache_info().currsize
    ask(headers={f"{'x' * 65}-{number}": "" for number in range(100)})
    assert patterns._known.cache_info().currsize == before


def test_every_user_field_is_a_field_of_the_user() -> None:
    """The option's names are the user's."""
    assert set(USER_FIELDS) == set(User.defaults) - {"is_authenticated"}


@given(
    headers=st.lists(st.tuples(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255)))),
    cookies=st.lists(st.tuples(st.text(), st.text())),
    url=st.text(),
    hops=st.text(st.characters(max_codepoint=255)),
    user=st.none() | st.dictionaries(st.text(), st.text()).map(User),
)
def test_any_request_is_judged(headers: Any, cookies: Any, url: str, hops: str, user: User | None) -> None:
    """No request makes the policy raise an error."""
    lines = (*headers, ("X-Forwarded-For", hops), ("Referer", hops))
    policy = Policy.of(headers_allow=["*"], cookies_allow=["*"], trusted_proxies=PROXIES)
    fields: dict[str, Any] = {
        "headers": lines,
        "cookies": tuple(cookies),
        "user": user,
        "client": Address("10.0.0.1", 1),
    }
    for text in (url, f"http://h/{url}"):
        request = ask(policy, url=text, **fields)
        assert request.headers.keys() is not None
