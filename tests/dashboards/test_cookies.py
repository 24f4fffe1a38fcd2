"""Cookies of a dashboard server: its own, as long as its secret, and of no use to another server."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest
from harness import TOKEN, Server, Visitor, serving
from stage import WHO, Opened, browse, served, serving_folder, write

from jupyter_app_meta.dashboards import DashboardError, create_app
from jupyter_app_meta.dashboards.web.cookies import kept_secret

LOG = logging.getLogger("deployer")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A notebook that need not run."""
    return write(tmp_path / "a.ipynb", "1")


def set_cookies(response: httpx.Response) -> list[str]:
    """Return the cookies that a response sets."""
    return response.headers.get_list("set-cookie")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Jupyter server with a token."""
    with serving(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Dashboards below a prefix, for everybody."""
    home = tmp_path_factory.mktemp("apps")
    write(home / "root" / "page.ipynb", WHO)
    with serving_folder(home, ".", "--base-url=/apps/", prefix="/apps/") as server:
        yield server


def both(lab: Server, apps: Server) -> tuple[Visitor, Visitor]:
    """Return one browser that looks at two servers of one host: its cookies know no ports, nor a proxy's path."""
    inside, outside = lab.visitor(), Visitor(apps)
    apps.closing.callback(outside.http.close)
    outside.http.cookies = inside.http.cookies.jar
    host = f"127.0.0.1:{lab.url.split(':')[2].strip('/')}"
    outside.http.headers["Host"] = host  # as behind a proxy that leads to both
    return inside, outside


def test_a_server_beside_lab_leaves_its_login_alone(lab: Server, apps: Server) -> None:
    """Looking at a dashboard does not log out of Lab, and logging in to Lab does not change the dashboard's visitor."""
    inside, outside = both(lab, apps)
    assert inside.get("api/sessions").status_code == 200
    first = browse(outside, "page")
    assert inside.get("api/sessions").status_code == 200
    inside.get("login", params={"token": TOKEN})
    second = browse(outside, "page")
    assert name_of(first) == name_of(second)
    for opened in (first, second):
        opened.close()


def test_form_of_a_server_beside_lab_is_believed(lab: Server, tmp_path: Path) -> None:
    """Its XSRF cookie is not Lab's either: a browser that has both can log in."""
    write(tmp_path / "root" / "page.ipynb", "1")
    with serving_folder(tmp_path, ".", "--base-url=/apps/", "--token=sesame", prefix="/apps/") as apps:
        inside, outside = both(lab, apps)
        inside.get("tree")
        form = outside.get("login").text
        token = form.split('name="_xsrf" value="')[1].split('"')[0]
        answer = outside.http.post("login", data={"_xsrf": token, "password": "sesame"})
        assert answer.status_code == 200 and "page" in answer.text


def name_of(opened: Opened) -> str:
    """Return the name of the page's visitor."""
    return opened.html.partition("|{}|")[0].rpartition("<")[2]


def test_anonymous_visitors_stay_who_they_are(tmp_path: Path) -> None:
    """After a restart of the server a browser's visitor is the same one."""
    write(tmp_path / "root" / "page.ipynb", WHO)
    names, jar = [], httpx.Cookies()
    for _ in range(2):
        with serving_folder(tmp_path, ".") as server:
            visitor = server.visitor()
            visitor.http.cookies = jar
            names.append(name_of(browse(visitor, "page")))
            jar = visitor.http.cookies
    assert names[0] and names[0] == names[1]
    kept = tmp_path / "data" / "app-meta" / "cookie_secret"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


async def test_cookies_are_not_sent_from_other_sites(page: Path) -> None:
    """All cookies of a server are SameSite=Lax, below its prefix, and have names of its own."""
    app = create_app(token="sesame", base_url="/apps").with_app(path="/a", root=page)
    async with served(app.with_index()) as client:
        answers = [await client.get("/apps/login"), await client.get("/apps/", params={"token": "sesame"})]
    lines = [line for answer in answers for line in set_cookies(answer)]
    assert len({line.partition("=")[0] for line in lines}) == 2
    for line in lines:
        (morsel,) = SimpleCookie(line).values()
        assert (morsel["samesite"], morsel["path"]) == ("Lax", "/apps/")
        assert morsel.key == "_xsrf" or morsel.key.startswith("username-app-meta-")


async def test_a_login_is_worth_nothing_elsewhere(page: Path) -> None:
    """The cookie of a server without a login is not accepted by a server with a token on the same machine."""
    open_app, closed = create_app().with_index(), create_app(token="sesame").with_index()
    async with served(open_app.with_app(path="/a", root=page)) as client:
        cookies = set_cookies(await client.get("/"))
    value = cookies[0].partition("=")[2].partition(";")[0]
    async with served(closed.with_app(path="/a", root=page)) as client:
        own = set_cookies(await client.get("/", params={"token": "sesame"}))[0].partition("=")[0]
        assert (await client.get("/", headers={"Cookie": cookies[0].partition(";")[0]})).status_code == 302
        assert (await client.get("/", headers={"Cookie": f"{own}={value}"})).status_code == 302


async def test_servers_that_share_a_secret_know_each_others_visitors(tmp_path: Path, page: Path) -> None:
    """With one secret (as a file or as bytes) a visitor is logged in on both servers; with two secrets on one."""
    file = tmp_path / "shared" / "secret"
    app = create_app(token="sesame", cookie_secret_file=file).with_index().with_app(path="/a", root=page)
    async with served(app) as client:
        line = set_cookies(await client.get("/", params={"token": "sesame"}))[0].partition(";")[0]
    for secret, status in ((file.read_bytes(), 200), (b"x" * 32, 302)):
        other = create_app(token="sesame", cookie_secret=secret).with_index().with_app(path="/a", root=page)
        async with served(other) as client:
            assert (await client.get("/", headers={"Cookie": line})).status_code == status


def test_secret_that_cannot_be(tmp_path: Path, page: Path) -> None:
    """A secret file that the deployer named and that cannot be used is refused by name."""
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(DashboardError, match=r"^cookie_secret_file .*short has 5 bytes: it must have 32 or more"):
        kept_secret(tmp_path / "short", LOG)
    with pytest.raises(DashboardError, match=r"^cookie_secret_file .* cannot be used \(.*\): give another file"):
        kept_secret(tmp_path / "short" / "below", LOG)
    with pytest.raises(DashboardError, match="cookie_secret cannot be combined with cookie_secret_file"):
        create_app(cookie_secret=b"x" * 32, cookie_secret_file="y").with_app(path="/a", root=page).build()


def test_secret_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the data folder cannot be written the server works, and says what follows."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "file" / "data"))
    first, second = kept_secret(None, LOG), kept_secret(None, LOG)
    assert first != second and len(first) == 32
    assert "Set cookie_secret_file" in caplog.text


def test_secret_is_made_once(tmp_path: Path) -> None:
    """A second server takes the secret of the first, and closes it to others where it was open."""
    file = tmp_path / "secret"
    made = kept_secret(file, LOG)
    file.chmod(0o644)
    assert kept_secret(file, LOG) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["secret"]


async def test_a_frame_of_another_site_has_cookies_of_its_own(page: Path) -> None:
    """Where other sites may frame pages, browsers are told to send cookies there, by https, and apart for each."""
    ancestors = "'self' https://portal.example.org"
    app = create_app(token="sesame", frame_ancestors=ancestors).with_app(path="/a", root=page).with_index()
    async with served(app) as client:
        answers = [await client.get("/login"), await client.get("/", params={"token": "sesame"})]
    assert answers[1].headers["Content-Security-Policy"] == f"frame-ancestors {ancestors}"
    lines = [line for answer in answers for line in set_cookies(answer)]
    assert len(lines) == 2
    for line in lines:
        assert {"SameSite=None", "Secure", "Partitioned"} <= {part.strip() for part in line.split(";")}


async def test_a_link_logs_nobody_out(page: Path) -> None:
    """A picture on another site that has the logout's address does nothing; the button logs out."""
    app = create_app(token="sesame").with_app(path="/a", root=page).with_index()
    async with served(app) as client:
        await client.get("/", params={"token": "sesame"})
        form = await client.get("/logout")
        assert (await client.get("/")).status_code == 200
        assert (await client.post("/logout")).status_code == 403
        token = form.text.split('name="_xsrf" value="')[1].split('"')[0]
        assert "You are logged out" in (await client.post("/logout", data={"_xsrf": token})).text
        assert (await client.get("/")).status_code == 302
