"""OpenID Connect at a provider that is certified and has another author: npm's oidc-provider, over HTTP."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import httpx
import pytest
from harness import NO_TLS, free_port
from stage import eventually, served, write

from jupyter_app_meta.dashboards import create_app
from jupyter_app_meta.providers import OpenIDProvider

LIBRARY = Path(sys.prefix) / "node/node_modules/oidc-provider/lib/index.js"
CLAIMS = {"name": "Alice Example", "preferred_username": "alice", "groups": ["sales"]}
SECRET = "s3cret-canary/+"


@contextmanager
def provider(home: Path, port: int, place: str) -> Iterator[str]:
    """Run the provider for the server at this place; yield its issuer."""
    node = shutil.which("node")
    if node is None or not LIBRARY.is_file():
        pytest.skip("there is no oidc-provider: tools/ensure-oidc-provider.sh installs it")
    client = {
        "client_id": "dashboards",
        "client_secret": SECRET,
        "redirect_uris": [f"{place}login/callback"],
        "post_logout_redirect_uris": [place],
    }
    issuer, told = f"http://127.0.0.1:{port}", json.dumps({"client": client, "claims": CLAIMS})
    script = str(Path(__file__).with_name("certified.mjs"))
    with (home / "node.log").open("wb") as log:
        process = subprocess.Popen([node, script, str(LIBRARY), issuer, told], stdout=log, stderr=log)
        try:
            eventually(lambda: _answers(process, f"{issuer}/.well-known/openid-configuration"))
            yield issuer
        finally:
            process.terminate()
            process.wait(20)


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    assert process.poll() is None
    try:
        return httpx.get(url, verify=NO_TLS).is_success
    except httpx.TransportError:
        return False


async def followed(http: httpx.AsyncClient, answer: httpx.Response, until: str) -> httpx.Response:
    """Follow redirects up to one whose address begins so, and fill in the provider's forms on the way."""
    for _ in range(20):
        if answer.is_redirect:
            address = str(answer.next_request.url) if answer.next_request else ""
            if address.startswith(until):
                return answer
            answer = await http.get(address)
            continue
        form = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
        assert answer.status_code == 200 and form, answer.text
        fields = {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', answer.text)}
        answer = await http.post(
            str(answer.url.join(unescape(form[1]))), data={**fields, "login": "1234", "password": "x", "logout": "yes"}
        )
    raise AssertionError("no end of redirects")


async def test_a_certified_provider_logs_in_and_out(tmp_path: Path) -> None:
    """The name and groups are in its userinfo; a code counts once, and the logout ends both sessions."""
    (tmp_path / "secret").write_text(SECRET)
    port = free_port()
    options = {
        "issuer": f"http://127.0.0.1:{port}",
        "client_id": "dashboards",
        "client_secret_file": str(tmp_path / "secret"),
        "scopes": ["openid", "profile", "groups"],
        "allowed_groups": ["sales"],
    }
    app = create_app(identity_provider=OpenIDProvider, base_url="/apps/", config={"OpenIDProvider": options})
    app = app.with_app(path="/sales", root=write(tmp_path / "sales.ipynb", "1")).with_index()
    async with served(app) as http:
        place = f"{http.base_url}/apps/"
        with provider(tmp_path, port, place) as issuer:
            begun = await http.get("/apps/login", params={"next": "/apps/sales?x=1"})
            back = await followed(http, begun, f"{place}login/callback")
            answer = await http.get(back.headers["Location"])
            assert (answer.status_code, answer.headers["Location"]) == (302, "/apps/sales?x=1"), answer.text
            assert "Alice Example" in (await http.get("/apps/")).text
            assert (await http.head("/apps/sales")).status_code == 200
            assert (await http.get(back.headers["Location"])).status_code == 400

            await http.get("/apps/logout")
            left = await http.post("/apps/logout", data={"_xsrf": http.cookies["_xsrf"]})
            assert left.headers["Location"].startswith(f"{issuer}/session/end?")
            await followed(http, left, place)
            assert (await http.head("/apps/sales")).status_code == 302
            form = await http.get("/apps/login", follow_redirects=True)
            assert 'name="login"' in form.text  # the session at the provider has ended as well
