"""Files beside notebooks: pictures are shown in each form that authors use, and nothing else is given away."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from harness import Server
from playwright.sync_api import Browser
from stage import eventually, staging, visit, write

from jupyter_app_meta.dashboards import DashboardError, create_app

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'><script>alert(1)</script></svg>"

APP = """
def only_alice(user, request):
    return user.username == "alice"

def by_name(user, request):
    return user.username == "alice" or not request.path_params["name"].startswith("secret/")

def own_customer(user, request):
    return request.path_params["customer_id"] == user.username

app = (create_app(identity_provider=People, files=["*.csv", "data/*.json", "*.html", "*.xhtml"])
       .with_app(path="/alone/page", root="alone/page.ipynb", authorize=only_alice)
       .with_app(path="/customers/{customer_id}", root="customers/page.ipynb", authorize=own_customer)
       .with_dynamic_directory(path="/books", directory="books", validate=by_name)
       .with_app(path="/books/pic.png", root="alone/page.ipynb")
       .with_dynamic_directory(path="/", directory="plain"))
"""

FORMS = """%md ![md](one.png) ![away](../one.png) ![spaces](my%20picture.png) ![attached](attachment:a.png)
<img src="one.png"> <img src="images/two.png"> <img src="./my picture.png">
<div id="css" style="background-image: url(images/two.png)">css</div>"""

SHOWN = """from IPython.display import HTML, Image, display
display(HTML('<img src="one.png"><img src="images/two.png">'), Image(url="one.png"), Image(url="../one.png"))
display(HTML('<link rel=stylesheet href="static/look.css"><b id=styled>styled</b>'))"""


def picture(path: Path) -> None:
    """Write a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PNG)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of pages with files beside them, and of files that no visitor may see."""
    home = tmp_path_factory.mktemp("files")
    root = home / "root"
    books = root / "books"
    path = write(books / "deep" / "forms.ipynb", FORMS, SHOWN)
    notebook = nbformat.read(path, 4)
    notebook.cells[0]["attachments"] = {"a.png": {"image/png": base64.b64encode(PNG).decode()}}
    nbformat.write(notebook, path)
    for name in ("books/one", "books/deep/one", "books/deep/my picture", "books/deep/images/two", "books/secret/plan"):
        picture(root / f"{name}.png")
    for name in (
        "books/_draft",
        "books/.hidden",
        "books/_private/x",
        "alone/logo",
        "alone/images/far",
        "customers/logo",
    ):
        picture(root / f"{name}.png")
    for name in ("alone/page", "customers/page", "books/open", "books/secret/report", "plain/start"):
        write(root / f"{name}.ipynb", "1")
    for name in ("numbers.csv", "secret/more.csv", "notes.txt", "data/a.json", "b.json", "jupyter_app_meta_config.py"):
        (books / name).parent.mkdir(exist_ok=True)
        (books / name).write_text("1,2")
    (books / "code.py").write_text("1")
    (books / "drawn.svg").write_text(SVG)
    (books / "report.html").write_text("<script>1</script>")
    (books / "report.xhtml").write_text("<html xmlns='http://www.w3.org/1999/xhtml'><script>1</script></html>")
    picture(root / "outside.png")
    (books / "escape.png").symlink_to("../outside.png")
    (books / "away").symlink_to("..")
    (books / "code.png").symlink_to("code.py")
    (books / "shadow.png.ipynb").write_text(json.dumps(nbformat.v4.new_notebook()))
    picture(books / "shadow.png")
    picture(books / "pic.png")
    picture(root / "plain" / "static" / "logo.png")
    picture(root / "plain" / "api" / "logo.png")
    with staging(home, APP) as server:
        yield server


def status(server: Server, person: str, path: str, **headers: str) -> int:
    """Return the status of a file's address for a person."""
    visitor = server.visitor(cookies={"person": person})
    return visitor.get(path, headers=headers, follow_redirects=False).status_code


def test_each_form_of_a_picture_is_shown(server: Server, browser: Browser) -> None:
    """Markdown, HTML, attachments, styles, IPython's Image: what an author sees in JupyterLab is on the page."""
    context = browser.new_context()
    context.add_cookies([{"name": "person", "value": "bob", "url": server.url}])
    page = context.new_page()
    bad: list[str] = []
    page.on("response", lambda answer: bad.append(answer.url) if "png" in answer.url and answer.status != 200 else None)
    page.goto(f"{server.url}books/deep/forms")
    page.wait_for_function("document.images.length >= 11 && [...document.images].every(image => image.complete)")
    sizes = page.evaluate("[...document.images].map(image => [image.src.slice(0, 60), image.naturalWidth])")
    assert len(sizes) >= 11 and all(width == 1 for _, width in sizes), sizes
    assert bad == []
    context.close()


@pytest.mark.parametrize(
    "path",
    [
        *("books/one.png", "books/deep/one.png", "books/deep/my%20picture.png", "books/deep/images/two.png"),
        *("books/numbers.csv", "books/data/a.json", "books/drawn.svg", "voila/files/deep/images/two.png"),
        *("books/ONE.png".lower(), "static/logo.png", "voila/files/static/logo.png"),
    ],
)
def test_files_that_are_served(server: Server, path: str) -> None:
    """Pictures by Voila's own list, other files by the deployer's patterns."""
    assert status(server, "bob", path) == 200


@pytest.mark.parametrize(
    "path",
    [
        *("_draft.png", ".hidden.png", "_private/x.png", "escape.png", "away/outside.png", "code.png", "code.py"),
        *(
            "open.ipynb.png",
            "notes.txt",
            "b.json",
            "jupyter_app_meta_config.py",
            "../outside.png",
            "%2e%2e/outside.png",
        ),
        *("deep%2fone.png", "deep%5cone.png", "one.png%00", "one.png/", "./%2e/one.png", "deep//one.png", "gone.png"),
        *("images", "deep", "data/", "%ff.png", "a" * 300 + ".png", "data/..%2f..%2foutside.png"),
    ],
)
def test_files_that_are_not_served(server: Server, path: str) -> None:
    """Hidden files, files of other kinds, and files outside that a path or a link leads to."""
    for prefix in ("books/", "voila/files/"):
        assert status(server, "alice", prefix + path) in (400, 404), prefix


def test_notebooks_come_first_and_are_no_files(server: Server) -> None:
    """A page whose name looks like a file's is a page."""
    for path in ("books/shadow.png", "books/pic.png"):
        answer = server.visitor(cookies={"person": "alice"}).http.head(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=UTF-8"), path
    assert (
        "text/html" in server.visitor(cookies={"person": "alice"}).http.head("books/open.ipynb").headers["Content-Type"]
    )


def test_files_are_for_those_who_may_see_the_page(server: Server) -> None:
    """A page's rule holds for what lies beside it, in folders below, and for a crafted Referer."""
    for path in ("alone/logo.png", "alone/page/logo.png", "alone/images/far.png"):
        assert [status(server, person, path) for person in ("alice", "bob")] == [200, 403], path
    for path in ("books/secret/plan.png", "books/secret/more.csv", "voila/files/secret/plan.png"):
        answers = [status(server, person, path, Referer=f"{server.url}books/open") for person in ("alice", "bob")]
        assert answers == [200, 403], path


def test_page_with_parameters_says_for_whom(server: Server) -> None:
    """Which customer a picture is shown for is known from the page that shows it, which must be the visitor's."""
    path = "customers/logo.png"
    assert status(server, "bob", path) == 403
    assert status(server, "bob", path, Referer=f"{server.url}customers/bob?x=1") == 200
    assert status(server, "bob", path, Referer=f"{server.url}customers/alice") == 403
    assert status(server, "bob", path, Referer="http://elsewhere/customers/bob") == 403
    assert status(server, "bob", "customers/bob/logo.png") == 200


def test_stranger_is_sent_to_the_login(server: Server) -> None:
    """A file is for those who are logged in, as its page is."""
    assert server.visitor().get("books/one.png", follow_redirects=False).status_code in (302, 403)


def test_headers_of_a_file(server: Server) -> None:
    """It stays out of shared caches, is seen anew when it changes, and a picture runs no scripts."""
    visitor = server.visitor(cookies={"person": "bob"})
    answer = visitor.get("books/drawn.svg")
    assert (
        answer.headers["Cache-Control"] == "private, no-cache" and answer.headers["X-Content-Type-Options"] == "nosniff"
    )
    sandboxes = {
        "drawn.svg": ("image/svg+xml", "frame-ancestors 'self'; sandbox"),
        "report.html": ("text/html", "frame-ancestors 'self'; sandbox allow-scripts"),
        "report.xhtml": ("application/xhtml+xml", "frame-ancestors 'self'; sandbox"),
        "numbers.csv": ("text/csv", "frame-ancestors 'self'; sandbox"),
    }
    for name, told in sandboxes.items():
        headers = visitor.http.head(f"books/{name}").headers
        assert (headers["Content-Type"], headers["Content-Security-Policy"]) == told
    tag = {"If-None-Match": answer.headers["ETag"]}
    assert visitor.get("books/drawn.svg", headers=tag).status_code == 304
    (server.home / "root" / "books" / "drawn.svg").write_text(SVG + "<!-- other -->")
    assert visitor.get("books/drawn.svg", headers=tag).status_code == 200
    assert visitor.get("books/numbers.csv", headers={"Range": "bytes=0-0"}).text == "1"
    assert visitor.http.head("books/numbers.csv").headers["Content-Length"] == "3"
    assert visitor.http.post("books/numbers.csv").status_code in (403, 405)


PRIVATE = (
    *("people.toml", "people.toml.bak", "secret", "state.db", "state.db-backup", "token", "other.txt", "link.txt"),
    *("url.txt", "keys.txt"),
)


def test_deployers_own_lists(tmp_path: Path) -> None:
    """`file_allowlist`, `file_denylist` and `--files` say what is served; the server's own files never are."""
    write(tmp_path / "root" / "page.ipynb", "1")
    for name in ("a.txt", "private.txt", "b.py", "c.csv"):
        (tmp_path / "root" / name).write_text("1")
    own = tmp_path / "root" / "own"
    own.mkdir()
    (own / "people.toml").write_text("[alice]\n")
    for name in ("people.toml.bak", "secret", "state.db-backup", "token", "readable.toml", "keys.txt"):
        (own / name).write_text("x" * 32)
    (own / "other.txt").hardlink_to(own / "people.toml")
    (own / "link.txt").symlink_to("people.toml")
    (own / "url.txt").write_text(f"sqlite:///{own / 'state.db'}")
    (own / "keys.txt").write_text(base64.b64encode(b"x" * 32).decode())
    for name in ("url.txt", "keys.txt"):
        (own / name).chmod(0o600)
    config = {
        "VoilaConfiguration": {"file_allowlist": [r".*\.txt"], "file_denylist": ["private.*"]},
        "UsersIdentityProvider": {"file": str(own / "people.toml"), "login_required": False},
        "AppMetaExtension": {"state_url_file": str(own / "url.txt"), "state_encryption_keys": str(own / "keys.txt")},
        "Serve": {"metrics_token_file": str(own / "token")},
    }
    options = f"config={config!r}, files=['*.py', 'own/*'], cookie_secret_file={str(own / 'secret')!r}"
    app = f"""from jupyter_app_meta.providers import UsersIdentityProvider
app = (create_app(identity_provider=UsersIdentityProvider, {options})
       .with_app(path='/', root='page.ipynb'))"""
    with staging(tmp_path, app) as server:

        def answers(*names: str) -> list[int]:
            return [server.visitor().get(name).status_code for name in names]

        assert answers("a.txt", "private.txt", "b.py", "c.csv") == [200, 404, 200, 404]
        assert (own / "state.db").is_file() and answers("own/readable.toml") == [200]
        assert answers(*(f"own/{name}" for name in PRIVATE)) == [404] * len(PRIVATE)
        assert eventually(lambda: visit(server, None).response.status_code == 200)


def test_wrong_rules_are_refused(tmp_path: Path) -> None:
    """A rule that is not a regular expression, or not text, is refused by name."""
    page = write(tmp_path / "page.ipynb", "1")
    for options, said in (
        (
            {"config": {"VoilaConfiguration": {"file_allowlist": ["("]}}},
            r"VoilaConfiguration\.file_allowlist must have regular",
        ),
        ({"files": "*.csv"}, r"files is of type str: give a list of patterns"),
    ):
        with pytest.raises(DashboardError, match=said):
            create_app(**options).with_app(path="/", root=page).build()
