"""Which names of headers, cookies and user fields are open, and which say credential, identity or address.

A name is compared in its normal form: lower-case, ``_`` as ``-``. The tables hold shell patterns of
normal names; "never" is stronger than any option, "secret" than any pattern of the deployer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from functools import lru_cache

from . import queries
from .errors import PolicyError

NEVER_HEADERS = ("cookie", "cookie2", "set-cookie", "set-cookie2", "sec-websocket-*")
SECRET_HEADERS = tuple(
    """
    *authorization* *authentication* *authenticate auth *[-.:]auth *credential* dpop *bearer* *saml* *assertion*
    *token* *jwt* *session* *sessid* *cookie* *xsrf* *csrf* *secret* *passw* *passphrase* *passcode* *[-.:]pwd
    key *[-.:]key *api?key* *apikey* *signature* *[-.:]sig *[-.:]otp *hmac*
    *client?cert* *clientcert* *certificate* *ssl?client* *tls?client* x-ssl-* *mtls*
    x-amzn-oidc-data x-ms-client-principal
    """.split()
)
IDENTITY_HEADERS = tuple(
    """
    *remote-user* *remote-name* *remote-email* *remote-group* *remote-extra* x-auth-* *authenticated-* x-webauth-*
    *userinfo* x-identity* x-principal* x-user* x-email* x-mail* x-group* x-role* x-account* x-login* from eppn
    oidc-* *shib-* x-vouch-* x-authentik-* x-pomerium-* x-sso-* x-consumer-* tailscale-* x-tailscale-*
    x-ms-client-* x-amzn-oidc-* x-goog-iap-* cf-access-*
    """.split()
)
ADDRESS_HEADERS = tuple(
    """
    forwarded *forwarded-for* *forwarded-host* *forwarded-proto* *forwarded-port *forwarded-server *forwarded-by
    *forwarded-scheme *forwarded-ssl *forwarded-prefix *forwarded-path *forwarded-ur? via remote-addr x-remote-addr
    x-remote-ip x-real-ip x-client-ip x-cluster-client-ip true-client-ip fastly-client-ip cf-connecting-ip*
    x-envoy-external-address
    """.split()
)
URL_HEADERS = ("origin", "referer", "referrer", "*url", "*uri", "*location", "*redirect", "x-*-path", "destination")
OPEN_HEADERS = tuple(
    "accept accept-language user-agent host origin dnt sec-ch-ua* sec-fetch-* x-request-id traceparent".split()
)
NEVER_COOKIES = ("-xsrf", "jupyterhub-*", "service-*", "username-*", "*oauth-state*")
SECRET_COOKIES = tuple(
    """
    *sess* sid ?sid sid[-.:]* *[-.:]sid *apisid* *psid* *token* *auth* *jwt* *saml* *bearer* *csrf* *xsrf*
    *remember* *login* *logged?in* sso sso[-.:]* *[-.:]sso* *identity* *ticket* *credential* *signature* *[-.:]sig
    *secret* *passw* *passphrase* *passcode* *[-.:]pwd *[-.:]otp *hmac* key *[-.:]key *api?key* *apikey*
    --host-* --secure-* -oauth2-proxy* *pomerium* gcp-ia*
    awselb* awsalb* arraffinity* cf[-.]* --cf* -cf* incap-* visid-incap* bigipserver*
    """.split()
)
USER_FIELDS = tuple("username kind assurance is_owner name display_name initials color groups admin".split())
NEVER_USER = frozenset("scope scopes roles session sessions cookie cookies hub-user auth-state avatar-url".split())

_BROWSER_PREFIXES = ("--host-", "--secure-")


def normal(name: str) -> str:
    """Return the form in which names are compared."""
    return queries.dashed(name)


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a normal name matches one of the shell patterns."""
    # Visitors write names: only short ones are remembered, so that they cannot fill the memory.
    return _known(name, patterns) if len(name) <= 64 else _matches(name, patterns)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return _compiled(patterns).match(name) is not None


_known = lru_cache(maxsize=4096)(_matches)


@lru_cache(maxsize=64)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)) or "(?!)")


def never_cookie(key: str) -> bool:
    """Whether a cookie is one of the server's own or of its Hub's, also under a browser's name prefix."""
    for prefix in _BROWSER_PREFIXES:
        key = key.removeprefix(prefix)
    return matches(key, NEVER_COOKIES)


def identity_header(key: str) -> bool:
    """Whether a header is one in which proxies say who the user is."""
    others = key.startswith("x-forwarded-") and not matches(key, ADDRESS_HEADERS)
    return others or matches(key, IDENTITY_HEADERS)


def never_user(name: str, value: object = None) -> bool:
    """Whether a field that an identity provider adds must stay, for its name or for a name inside it."""
    key = normal(name)
    if queries.is_secret(name) or not NEVER_USER.isdisjoint((key, *key.split("-"))):
        return True
    if isinstance(value, Mapping):
        return any(never_user(str(inner), item) for inner, item in value.items())
    return isinstance(value, list | tuple) and any(never_user("", item) for item in value)


def pattern_names(option: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return an option's patterns in normal form; raise PolicyError for one that cannot be."""
    if isinstance(values, str):
        raise PolicyError(option, f"a list of names is needed: [{values!r}].")
    found = tuple(normal(value) for value in values)
    if "" in found:
        raise PolicyError(option, "an empty name is not allowed; remove it.")
    return found


def exact_names(option: str, values: Iterable[str]) -> frozenset[str]:
    """Return an option's exact names in normal form; raise PolicyError for one that never opens anything."""
    for name in (found := pattern_names(option, values)):
        if "*" in name or "?" in name:
            raise PolicyError(option, f"{name!r} is a pattern; this option takes exact names only.")
        if is_never(option.removeprefix("unsafe_"), name):
            raise PolicyError(option, f"{name!r} is never forwarded, under no option; remove it.")
    return frozenset(found)


def user_fields(values: Iterable[str] | None) -> frozenset[str]:
    """Return the fields of the user that cross, None for all; raise PolicyError for an unknown one."""
    found = USER_FIELDS if values is None else tuple(values)
    if unknown := sorted(set(found).difference(USER_FIELDS)):
        raise PolicyError("user_fields", f"unknown field {unknown[0]!r}; the fields are {', '.join(USER_FIELDS)}.")
    return frozenset(found)


def user_header(text: str) -> str:
    """Return the header as its proxy writes it, lower-case: ``X_Forwarded_User`` is another one, any client's."""
    name = text.strip().lower()
    if name and not name.replace("-", "").replace("_", "").isalnum():
        raise PolicyError("user_header", f"{text!r} is not a header name such as X-Forwarded-User.")
    if matches(normal(name), NEVER_HEADERS) or matches(normal(name), SECRET_HEADERS):
        raise PolicyError("user_header", f"{text!r} holds a credential; every cell would see it as the username.")
    return name


def is_never(kind: str, key: str) -> bool:
    """Whether a header, cookie or query parameter of this normal name crosses under no option."""
    if kind == "headers":
        return matches(key, NEVER_HEADERS)
    return never_cookie(key) if kind == "cookies" else key == "session-id"


def remedy(item: str) -> str:
    """Return which option opens a withheld item such as ``headers.referer``, in one sentence."""
    kind, _, name = item.partition(".")
    if kind in ("headers", "cookies", "query") and is_never(kind, normal(name)):
        return "never forwarded"
    if kind in ("headers", "cookies"):
        return _name_remedy(kind, name)
    if kind == "query":
        return f"AppMetaExtension.unsafe_query = [{name!r}]"
    if kind == "client":
        return "AppMetaExtension.trusted_proxies = [the networks of your proxies]"
    return _user_remedy(name) if kind == "user" else "never forwarded"


def _name_remedy(kind: str, name: str) -> str:
    if matches(normal(name), SECRET_HEADERS if kind == "headers" else SECRET_COOKIES):
        return f"a credential: AppMetaExtension.unsafe_{kind} = [{name!r}]"
    return f"AppMetaExtension.{kind}_allow = [{name!r}]"


def _user_remedy(name: str) -> str:
    if name in USER_FIELDS:
        return f"AppMetaExtension.user_fields: add {name!r}, or leave the option unset"
    return "never forwarded" if never_user(name) else "leave AppMetaExtension.user_fields unset"
