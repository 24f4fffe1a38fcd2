"""``jupyter app-meta serve --hub``: what it takes from JupyterHub, and when it refuses; tests/hub has a real one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from stage import write

from jupyter_app_meta.cli import serve
from jupyter_app_meta.cli.arguments import with_token
from jupyter_app_meta.dashboards import Builder, DashboardError
from jupyter_app_meta.dashboards.hub import service

SERVICE = {
    "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:10101",
    "JUPYTERHUB_SERVICE_PREFIX": "/services/dashboards/",
    "JUPYTERHUB_API_TOKEN": "t",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
    "JUPYTERHUB_CLIENT_ID": "service-dashboards",
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a notebook, as a Hub that starts a service there leaves it."""
    write(tmp_path / "page.ipynb", "1")
    (tmp_path / "rules.py").write_text("def only_bob(user, request):\n    return user.username == 'bob'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, value in SERVICE.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def told(*arguments: str) -> tuple[serve.Serve, Builder]:
    """Return the command, and what these arguments make it serve."""
    app = serve.Serve()
    app.initialize(list(with_token(arguments)))
    return app, app.builder()


def test_address_and_people_are_the_hubs() -> None:
    """Address, prefix and identity provider are the Hub's, even if other options say otherwise."""
    app, builder = told(".", "--hub", "--port=1", "--base-url=/elsewhere/")
    assert (app.ip, app.port, app.open_browser) == ("127.0.0.1", 10101, False)
    assert builder.base_url == "/services/dashboards/"
    assert builder.options["identity_provider"].__name__ == "HubIdentityProvider"
    assert builder.options["trust_xheaders"] is True


@pytest.mark.parametrize("name", SERVICE)
def test_it_is_refused_without_a_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the Hub says too little, nothing is served, because every visitor would be admitted."""
    monkeypatch.delenv(name)
    with pytest.raises(DashboardError, match=r"^--hub is for a service that JupyterHub starts: .*JupyterHub\.services"):
        told(".", "--hub")


@pytest.mark.parametrize(
    ("name", "value"),
    [("JUPYTERHUB_SERVICE_URL", "https://127.0.0.1:10101"), ("JUPYTERHUB_SSL_CERTFILE", "/cert.pem")],
)
def test_it_serves_plain_http_only(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that it cannot serve is refused by name."""
    monkeypatch.setenv(name, value)
    with pytest.raises(DashboardError, match="plain http behind the Hub's proxy"):
        told(".", "--hub")


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--token=t", "--token and --identity-provider"),
        ("--token", "--token and --identity-provider"),
        ("--identity-provider=providers.People", "--token and --identity-provider"),
        ("--AppMetaExtension.user_header=X-Forwarded-User", "AppMetaExtension.user_header"),
    ],
)
def test_nobody_but_the_hub_says_who_a_visitor_is(option: str, named: str) -> None:
    """A token, another provider or a proxy's header beside the Hub is refused: one of the two would have no effect."""
    with pytest.raises(DashboardError, match=f"leave out {named}"):
        told(".", "--hub", option)


def test_it_needs_jupyterhub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where JupyterHub is not installed, the error says what to install."""
    monkeypatch.setitem(sys.modules, "jupyterhub.singleuser.extension", None)
    monkeypatch.delitem(sys.modules, "jupyter_app_meta.dashboards.hub.identity", raising=False)
    with pytest.raises(DashboardError, match="pip install jupyterhub"):
        told(".", "--hub")


def test_port_of_the_scheme() -> None:
    """An address without a port is that of its scheme, one without a host is every interface."""
    assert service.service({**SERVICE, "JUPYTERHUB_SERVICE_URL": "http://hub"}) == ("hub", 80, "/services/dashboards/")
    assert service.service({**SERVICE, "JUPYTERHUB_SERVICE_URL": "http://:80"}).ip == ""


def test_who_may_see_is_a_named_function() -> None:
    """``Serve.authorize`` is asked for pages of a folder and for a single notebook alike."""
    for place in (".", "page.ipynb"):
        _, builder = told(place, "--hub", "--Serve.authorize=rules:only_bob")
        authorize = builder.mounts[0].settings.authorize
        assert authorize is not None and getattr(authorize, "__name__", None) == "only_bob"


@pytest.mark.parametrize("name", ["rules", "rules:gone", "gone:only_bob", ":only_bob"])
def test_wrong_function_is_refused(name: str) -> None:
    """A rule that cannot be found ends the command, because every visitor would be admitted without it."""
    with pytest.raises(DashboardError, match=r"^Serve\.authorize: "):
        told(".", f"--Serve.authorize={name}")
