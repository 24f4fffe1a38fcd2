"""Which headers are open, and which ones hold a credential, an identity or an address.

1. A header that carries the cookies or the WebSocket itself crosses under no option.
2. A header whose words say credential, or that is known as a product's, needs its exact name in ``unsafe_headers``.
3. A header that says who the user is needs its exact name in ``headers_allow``.
4. A header that says where the client is needs its exact name there too, or a pattern for such headers: not ``*`` or
   ``x-*``.
"""

from __future__ import annotations

from . import nouns, words
from .lexicon import CREDENTIALS
from .nouns import Level
from .patterns import matches, remembered

NEVER = ("cookie", "cookie2", "set-cookie", "set-cookie2", "sec-websocket-*")
OPEN = tuple(
    "accept accept-language user-agent host origin dnt sec-ch-ua* sec-fetch-* x-request-id traceparent".split()
)
URLS = ("origin", "referer", "referrer", "*url", "*uri", "*location", "*redirect", "x-*-path", "destination")
CREDENTIAL = tuple(  # headers of products, and names that say credential only as a whole
    """
    authorization *-authorization *[-.:]auth dpop *client?cert* *clientcert* *ssl?client* *tls?client* x-ssl-* *mtls*
    *certificate *certificates x-client-verify* x-amzn-oidc-data x-ms-client-principal x-grafana-id
    x-grafana-device-id x-jfrog-art-api *-api cf-access-client-* x-honeycomb-team *crumb x-spiffe-id *svid*
    x-endpoint-api-userinfo x-apigateway-api-userinfo x-forwarded-access* x-vouch-idp* x-original-cookie* x-jenkins*
    x-wp-nonce x-shopify-hmac* x-*-canary x-owa-canary x-requestdigest x-ms-*-token* x-goog-iap-jwt* x-xsrf* x-csrf*
    *-macaroon* x-biscuit* x-appengine-inbound-appid x-devtools-emulate* x-pm-* x-mashape-* x-rapidapi-*key
    x-rapidapi-*secret x-ig-app-id x-fb-*token x-discord-* x-super-properties
    """.split()
)
IDENTITY = tuple(
    """
    *remote-user* *remote-name* *remote-email* *remote-group* *remote-extra* *remoteuser* x-auth-* *authenticated-*
    x-webauth-* *userinfo* x-identity* x-principal* x-email* x-mail* x-account* x-login-name x-whoami* from eppn eptid
    affiliation unscoped-affiliation entitlement persistent-id targeted-id pairwise-id oidc-* *shib-* shibboleth-*
    saml-* mellon-* x-vouch-* x-authentik-* authentik-* x-authelia-* authelia-* x-pomerium-* x-sso-* sso-*
    x-consumer-* tailscale-* x-tailscale-* x-ms-client-principal* x-amzn-oidc-* x-goog-iap-* cf-access-* impersonate-*
    x-impersonate* kubeflow-* sm-user* sm-server* sm-auth* smuser* sudo on-behalf-of x-on-behalf-of x-act-as*
    x-run-as* x-su x-as-user x-sudo* sn cn dn ou uid displayname givenname surname fullname initials telephonenumber
    employee* memberof title-person isfacultystaff edupersons* eduperson* schac* ismemberof org-dn subject-dn
    x-scope-orgid x-grafana-org-id x-grafana-user* x-webauth* x-kubernetes-*user* x-warrant-* x-hasura-* x-zitadel-*
    x-keycloak-* x-okta-* x-auth0-* x-clerk-* x-supabase-* x-stytch-* x-descope-* x-traefik-*user* x-nginx-*user*
    x-plex-user* x-ldap-* ldap-* ad-user*
    """.split()
)
ADDRESS = tuple(
    """
    forwarded *forwarded-for* *forwarded-host* *forwarded-proto* *forwarded-port *forwarded-server *forwarded-by
    *forwarded-scheme *forwarded-ssl *forwarded-prefix *forwarded-path *forwarded-ur? via remote-addr remote-host
    x-remote-addr x-remote-host x-coming-from x-real-ip x-client-ip x-cluster-client-ip true-client-ip
    fastly-client-ip cf-connecting-ip* x-real-port x-client-port x-host x-original-host x-envoy-external-address
    cf-pseudo-ip* forwarded-for-ip http-client-ip
    """.split()
)
NOUNS_OF_CREDENTIALS = frozenset("api crumb cert certificate certificates authenticate".split())
PERSONS = frozenset(
    """
    user users userid username usernames uid login principal subject sub dn upn eppn group groups role roles member
    members memberof person employee account owner actor caller nickname givenname surname firstname lastname fullname
    displayname displayed mail email emails emailaddress phone affiliation entitlement entitlements claims claim scope
    scopes permission permissions privileges identity identities idp tenant org orgid organization organisation
    customer consumer impersonate impersonated impersonator whoami userinfo
    """.split()
)
_OF_PERSON = frozenset("id ids uid name names number pic picture dn hash type status level domain".split())
_NOT_OF_PERSON = frozenset("agent timezone language lang locale theme timing interface".split())
_WHO = frozenset("auth oauth oidc sso saml openid authn kerberos".split())  # words that also stand before a name
_ADDRESSES = frozenset("ip ips ipv ipaddress addr address addresses".split())


@remembered
def is_credential(key: str) -> bool:
    """Whether a header of this normal name is a credential."""
    level = nouns.judge(key)
    if level is Level.CREDENTIAL or matches(key, CREDENTIAL):
        return True
    found = words.split(key)
    if found and found[-1] in NOUNS_OF_CREDENTIALS:
        return True
    # X-Auth-Request-User says who the user is; X-Jwt-Claim-Sub is a piece of the credential.
    return level is Level.DOUBTFUL and not (is_identity(key) and CREDENTIALS.isdisjoint(set(found) - _WHO))


@remembered
def is_identity(key: str) -> bool:
    """Whether a header is one in which proxies say who the user is."""
    if key.startswith("x-forwarded-") and not matches(key, ADDRESS):
        return True
    found = words.split(key)
    if not found or found[-1] in _NOT_OF_PERSON:
        return False
    if matches(key, IDENTITY) or found[-1] in PERSONS:
        return True
    return found[-1] in _OF_PERSON and not PERSONS.isdisjoint(found)


@remembered
def is_address(key: str) -> bool:
    """Whether a header says where the client is, or where a proxy in front of the server is."""
    found = words.split(key)
    return matches(key, ADDRESS) or bool(found and found[-1] in _ADDRESSES)
