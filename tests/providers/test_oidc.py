"""OpenID Connect over HTTP, against a provider that lies: each lie is refused, and the truth logs in."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from authority import CLIENT, SECRET, Authority, running
from joserfc.jwk import RSAKey
from stage import served, write

from jupyter_app_meta.dashboards import DashboardError, create_app
from jupyter_app_meta.providers import OpenIDProvider
from jupyter_app_meta.providers.oidc.metadata import PAUSE, Provider


@asynccontextmanager
async def serving(folder: Path, authority: Authority, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a page for sales below ``/apps/``, whose visitors log in at this provider."""
    (folder / "secret").write_text(f"{SECRET}\n")
    own = {"issuer": authority.issuer, "client_id": CLIENT, "client_secret_file": str(folder / "secret"), **options}
    builder = create_app(identity_provider=OpenIDProvider, base_url="/apps/", config={"OpenIDProvider": own})
    builder = builder.with_app(
        path="/sales", root=write(folder / "sales.ipynb", "1"), authorize=lambda user, request: "sales" in user.groups
    )
    async with served(builder.with_index()) as client:
        yield client


@pytest.fixture
async def authority() -> AsyncIterator[Authority]:
    """A provider."""
    async with running("/realms/team/") as authority:
        yield authority


async def begin(client: httpx.AsyncClient, wanted: str = "/apps/sales") -> tuple[str, dict[str, str]]:
    """Begin a login; return the address at the provider, and its query."""
    answer = await client.get("/apps/login", params={"next": wanted})
    assert answer.status_code == 302, answer.text
    query = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
    return answer.headers["Location"], query


async def log_in(
    client: httpx.AsyncClient, authority: Authority, wanted: str = "/apps/sales", **more: str
) -> httpx.Response:
    """Log in at the provider and come back with its answer."""
    address, query = await begin(client, wanted)
    return await client.get(
        "/apps/login/callback", params={"code": authority.code(address), "state": query["state"], **more}
    )


def is_known(answer: httpx.Response) -> bool:
    """Whether an answer logs in."""
    return any("username-app-meta" in line for line in answer.headers.get_list("Set-Cookie"))


async def test_visitor_logs_in(tmp_path: Path, authority: Authority) -> None:
    """The page leads to the provider, which leads back to the page; claims become the user."""
    async with serving(tmp_path, authority) as client:
        assert (await client.get("/apps/sales")).headers["Location"].startswith("/apps/login?")
        address, query = await begin(client)
        assert address.startswith(f"{authority.issuer.rstrip('/')}/authorize?") and query["scope"] == "openid profile"
        assert query["code_challenge_method"] == "S256" and query["redirect_uri"].endswith("/apps/login/callback")
        answer = await log_in(client, authority, "/apps/sales?region=emea", iss=authority.issuer)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/apps/sales?region=emea"), answer.text
        assert (await client.head("/apps/sales")).status_code == 200
        assert "Alice Example" in (await client.get("/apps/")).text
        assert authority.asked.count("/realms/team/keys") == 1 and "/realms/team/userinfo" not in authority.asked


LIES: dict[str, dict[str, Any]] = {
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "another audience": {"claims": {"aud": "another"}},
    "audiences without a party": {"claims": {"aud": ["another", CLIENT]}},
    "another party": {"claims": {"aud": [CLIENT], "azp": "another"}},
    "no audience": {"claims": {"aud": None}},
    "another nonce": {"claims": {"nonce": "forged"}},
    "no nonce": {"claims": {"nonce": None}},
    "expired": {"claims": {"exp": int(time.time()) - 600}},
    "no expiry": {"claims": {"exp": None}},
    "expiry as a text": {"claims": {"exp": "9999999999"}},
    "issued in the future": {"claims": {"iat": int(time.time()) + 3600}},
    "not valid yet": {"claims": {"nbf": int(time.time()) + 3600}},
    "no subject": {"claims": {"sub": None}},
    "subject as a number": {"claims": {"sub": 7}},
    "another token's hash": {"claims": {"at_hash": "AAAA"}},
    "another's key": {"form": "stranger"},
    "no signature": {"form": "none"},
    "public key as a secret": {"form": "hmac"},
    "cut signature": {"form": "cut"},
    "no token": {"form": "x"},
    "an unknown key": {"header": {"kid": "never"}},
    "a key that is a secret": {"header": {"kid": "odd"}},
    "another's userinfo": {"claims": {"groups": None}, "userinfo": {"sub": "5678"}},
}


async def test_each_lie_is_refused(tmp_path: Path, authority: Authority) -> None:
    """No visitor is known after it, the page does not quote it, and the next honest login goes through."""
    async with serving(tmp_path, authority) as client:
        for name, lie in {**LIES, "no slash": {"claims": {"iss": authority.issuer.rstrip("/")}}}.items():
            with authority.lying(**lie):
                answer = await log_in(client, authority)
            assert answer.status_code in (400, 403) and not is_known(answer), name
            assert "Please log in again" in answer.text and "evil" not in answer.text, name
        assert (await client.get("/apps/")).status_code == 302
        assert is_known(await log_in(client, authority))


@pytest.mark.parametrize(
    ("options", "claim", "seconds", "is_accepted"),
    [
        ({}, "exp", -30, True),
        ({}, "exp", -90, False),
        ({}, "nbf", 30, True),
        ({}, "nbf", 90, False),
        ({"clock_skew": 0}, "exp", -30, False),
        ({"clock_skew": 120}, "exp", -90, True),
    ],
)
async def test_clocks_may_differ(
    tmp_path: Path, authority: Authority, options: Any, claim: str, seconds: int, *, is_accepted: bool
) -> None:
    """A token counts until ``clock_skew`` seconds after its end, and as long before its beginning."""
    async with serving(tmp_path, authority, **options) as client:
        with authority.lying(claims={claim: int(time.time()) + seconds}):
            assert is_known(await log_in(client, authority)) is is_accepted


async def test_answer_that_was_not_asked_for_is_refused(tmp_path: Path, authority: Authority) -> None:
    """State, code and issuer of the answer must be those of this browser's own attempt, which counts once."""
    async with serving(tmp_path, authority) as client, serving(tmp_path, authority) as other:
        address, query = await begin(client)
        good = {"code": authority.code(address), "state": query["state"]}
        forged: list[Any] = [
            {**good, "state": "forged"}, {"code": good["code"]}, {"state": good["state"][:-1], "code": "x"},
            [*good.items(), ("state", "second")], {**good, "state": "é"}, {**good, "state": ""},
        ]  # fmt: skip
        for params in forged:
            answer = await client.get("/apps/login/callback", params=params)
            assert answer.status_code == 400 and not is_known(answer), params
        assert (await other.get("/apps/login/callback", params=good)).status_code == 400  # another browser
        assert is_known(await client.get("/apps/login/callback", params=good))
        client.cookies.clear()
        assert (await client.get("/apps/login/callback", params=good)).status_code == 400  # a second time
        for more, status in (({"iss": "https://evil.example"}, 400), ({"code": ""}, 400), ({"error": "<b>x"}, 403)):
            answer = await log_in(client, authority, **more)
            assert answer.status_code == status and not is_known(answer) and "<b>x" not in answer.text


async def test_code_of_another_attempt_is_refused(tmp_path: Path, authority: Authority) -> None:
    """A code that was made for another attempt fails its proof: by the challenge, or by the nonce."""
    async with serving(tmp_path, authority) as client:
        _, query = await begin(client)
        his, _ = await begin(client)
        code = authority.code(his)
        answer = await client.get("/apps/login/callback", params={"code": code, "state": query["state"]})
        assert answer.status_code == 403 and not is_known(answer)


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example/apps/", "/\\evil.example", "/elsewhere"])
async def test_login_never_leads_to_another_site(tmp_path: Path, authority: Authority, wanted: str) -> None:
    """A forged address leads to the start page."""
    async with serving(tmp_path, authority) as client:
        assert (await log_in(client, authority, wanted)).headers["Location"] == "/apps/"


async def test_several_tabs_log_in_at_once(tmp_path: Path, authority: Authority) -> None:
    """Five attempts are kept, and each finishes where it began; a sixth drops the oldest."""
    async with serving(tmp_path, authority) as client:
        begun = [await begin(client, f"/apps/sales?tab={number}") for number in range(6)]
        assert sum(cookie.name.startswith("app-meta-login-") for cookie in client.cookies.jar) == 5
        answers = [
            await client.get("/apps/login/callback", params={"code": authority.code(address), "state": query["state"]})
            for address, query in begun
        ]
        assert [answer.status_code for answer in answers] == [400, *[302] * 5]
        assert answers[3].headers["Location"] == "/apps/sales?tab=3"
        assert not any(cookie.name.startswith("app-meta-login-") for cookie in client.cookies.jar)


async def test_key_is_fetched_again_when_it_is_new(authority: Authority) -> None:
    """A new key is found by its id, and unknown ids ask the provider once in a while, not each time."""
    now = [0.0]
    provider = Provider(authority.issuer, clock=lambda: now[0])
    assert [key.kid for key in (await provider.keys("first")).keys] == ["first"]
    new = [*authority.keys, RSAKey.generate_key(2048, {"kid": "second", "use": "sig"})]
    with authority.lying(keys=new):
        assert len((await provider.keys("second")).keys) == 1
        now[0] = 2 * PAUSE
        assert len((await provider.keys("second")).keys) == 2
        for _ in range(5):
            await provider.keys("never")
    assert authority.asked.count("/realms/team/keys") == 2


async def test_groups_and_userinfo(tmp_path: Path, authority: Authority) -> None:
    """Groups come from the token or the userinfo; those who are in none of the allowed ones stay outside."""
    async with serving(tmp_path, authority, allowed_groups=["from-userinfo"]) as client:
        answer = await log_in(client, authority)
        assert answer.status_code == 403 and "You may not enter" in answer.text and not is_known(answer)
        with authority.lying(claims={"groups": None}):
            assert is_known(await log_in(client, authority))
        assert (await client.head("/apps/sales")).status_code == 403


@pytest.mark.parametrize(
    ("options", "claims", "status"),
    [
        ({}, {"preferred_username": None}, 403),
        ({}, {"preferred_username": ["alice"]}, 403),
        ({"username_claim": "email"}, {"email": "a@b.c"}, 403),
        ({"username_claim": "email"}, {"email": "a@b.c", "email_verified": "true"}, 403),
        ({"username_claim": "email"}, {"email": "a@b.c", "email_verified": True}, 302),
        ({"username_claim": "sub"}, {}, 302),
        ({}, {"groups": [f"group-{n}" for n in range(500)]}, 403),
        ({"groups_wanted": ["group-1*"]}, {"groups": [f"group-{n}" for n in range(150)]}, 302),
        ({}, {"groups": "sales"}, 302),
    ],
)
async def test_claims(tmp_path: Path, authority: Authority, options: Any, claims: Any, status: int) -> None:
    """A name that is not there, not a text or not verified does not log in."""
    async with serving(tmp_path, authority, **options) as client:
        with authority.lying(claims=claims):
            answer = await log_in(client, authority)
        assert answer.status_code == status and is_known(answer) == (status == 302)


async def test_provider_is_away(tmp_path: Path, authority: Authority) -> None:
    """The page says so with 503, before the login and after it; when the provider is back, visitors log in."""
    async with serving(tmp_path, authority) as client:
        with authority.lying(is_away=True):
            answer = await client.get("/apps/login")
            assert answer.status_code == 503 and "The login is not available" in answer.text
            assert answer.headers["Retry-After"] == "10"
        address, query = await begin(client)
        with authority.lying(is_away=True):
            params = {"code": authority.code(address), "state": query["state"]}
            assert (await client.get("/apps/login/callback", params=params)).status_code == 503
        assert is_known(await log_in(client, authority))


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://user:pass@evil.example/"},
    ],
)
async def test_document_that_cannot_be_used(tmp_path: Path, authority: Authority, document: Any) -> None:
    """A document of another issuer, or with an address that is not https, logs no visitor in."""
    async with serving(tmp_path, authority) as client:
        with authority.lying(document=document):
            assert (await client.get("/apps/login")).status_code == 503


async def test_logout_leads_to_the_providers_own(tmp_path: Path, authority: Authority) -> None:
    """The session ends here, and the provider is told whose."""
    async with serving(tmp_path, authority) as client:
        await log_in(client, authority)
        kept = dict(client.cookies)
        await client.get("/apps/logout")
        answer = await client.post("/apps/logout", data={"_xsrf": client.cookies["_xsrf"]})
        assert answer.status_code == 303
        place, _, query = answer.headers["Location"].partition("?")
        told = parse_qs(query)
        assert place == f"{authority.issuer.rstrip('/')}/logout" and told["client_id"] == [CLIENT]
        assert told["post_logout_redirect_uri"][0].endswith("/apps/") and re.match("ey", told["id_token_hint"][0])
        client.cookies.update(kept)
        assert (await client.get("/apps/")).status_code == 302


GOOD = {"issuer": "https://login.example.org", "client_id": CLIENT}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"issuer": "http://login.example.org"}, "must be an https URL"),
        ({"issuer": "login.example.org"}, "must be an https URL"),
        ({"client_id": ""}, r"\(--oidc-client-id\) is missing"),
        ({"client_secret_file": "/gone"}, r"/gone cannot be read \(No such file"),
        ({"client_secret_file": "/dev/null"}, "is empty"),
        ({"scopes": ["profile"]}, "must contain 'openid'"),
        ({"redirect_uri": "https://example.org/x"}, "ends with /login/callback"),
    ],
)
def test_option_is_refused_with_its_fix(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    """The message names the option, and never the secret."""
    builder = create_app(identity_provider=OpenIDProvider, config={"OpenIDProvider": {**GOOD, **options}})
    with pytest.raises(DashboardError, match=said):
        builder.with_app(path="/x", root=write(tmp_path / "x.ipynb", "1")).check()
