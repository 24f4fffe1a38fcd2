"""A directory of notebooks is served as it is at this moment, and nothing beside it."""

from __future__ import annotations

import html
import http.client
import re
import shutil
from collections.abc import Iterator
from urllib.parse import quote, unquote, urljoin

import pytest
from harness import Server, Visitor
from stage import WHO, eventually, kernels, staging, visit, write

APP = """
from urllib.parse import quote

def only_alice(user, request):
    return user.username == "alice" or request.path_params["name"] != "secret"

app = (create_app(identity_provider=People)
       .with_dynamic_directory(path="/books", directory="books", validate=only_alice)
       .with_dynamic_directory(path="/told", directory="books",
                               validate=lambda user, request: "/told/as/" + quote(request.path_params["name"]))
       .with_dynamic_directory(path="/of/{team}", directory="books",
                               validate=lambda user, request: request.path_params["team"] == "emea")
       .with_dynamic_directory(path="/ahead", directory="ahead", warm=1)
       .with_app(path="/customers/{customer_id}", root="outside.ipynb")
       .with_app(path="/books/deep/closed", root="books/deep/closed.ipynb", authorize=lambda user, request: False)
       .with_app(path="/books/every/{one}", root="books/deep/closed.ipynb", authorize=lambda user, request: False)
       .with_app(path="/books/level/{name}/it", root="outside.ipynb")
       .with_app(path="/books/level/own/it", root="outside.ipynb", authorize=lambda user, request: False)
       .with_dynamic_directory(path="/books/inner", directory="books/inner", validate=lambda user, request: False)
       .with_index())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of two directories, with notebooks that are to be seen, and others."""
    home = tmp_path_factory.mktemp("directory")
    root, books = home / "root", home / "root" / "books"
    for name in (
        "sales",
        "secret",
        "deep/nested",
        "what #1? 100%",
        "über/straße",
        "a;b,c=d&e+f",
        "sales.ipynb-copy",
        "deep/closed",
        "every/x",
        "inner/x",
    ):
        write(books / f"{name}.ipynb", f"print('this is {name}')", WHO)
    for name in ("_draft", ".hidden", "_private/x", ".ipynb_checkpoints/sales-checkpoint", "../outside"):
        write(books / f"{name}.ipynb", "print('not to be seen')")
    write(books / "stated.ipynb", "1", title="Profit & <b>Loss</b>")
    write(books / "headed.ipynb", "%md # The *first* heading", "1")
    (books / "broken.ipynb").write_text("{")
    (books / "notes.txt").write_text("not to be seen")
    (books / "folder.ipynb").mkdir()
    for name, target in {"escape.ipynb": "../outside.ipynb", "away": "..", "sneaky.ipynb": "_draft.ipynb"}.items():
        (books / name).symlink_to(target)
    (books / "circle.ipynb").symlink_to("circle.ipynb")
    (books / "alias.ipynb").symlink_to("deep/nested.ipynb")
    (root / "ahead").mkdir()
    with staging(home, APP) as server:
        yield server


def fetch(server: Server, path: str, method: str = "GET") -> tuple[int, str]:
    """Return status and body of a request with this very path, which no client has made neat."""
    connection = http.client.HTTPConnection(server.url.split("/")[2], timeout=60)
    connection.putrequest(method, path, skip_accept_encoding=True)
    connection.putheader("Cookie", "person=bob")
    connection.endheaders()
    response = connection.getresponse()
    body = response.read().decode(errors="replace")
    connection.close()
    return response.status, body


NOT_THERE = (
    *("missing", "_draft", ".hidden", "_private/x", ".ipynb_checkpoints/sales-checkpoint", "_draft.ipynb"),
    *("../outside", "%2e%2e/outside", "..%2foutside", "..%2Foutside", "%2e%2e%2foutside.ipynb", "..%5coutside"),
    *("%252e%252e/outside", "..%252foutside", "....//outside", "deep/../sales", "./sales", "/sales", "deep//nested"),
    *("/%2fetc/passwd", "//etc/passwd", "\\..\\outside", "deep\\nested", "deep%5Cnested", "deep%2fnested"),
    *("sales%00", "sales.ipynb%00", "%00", "%00/sales", "sales%00.ipynb", "sales/", "sales.ipynb/", "sales/x"),
    *("SALES", "sales.ipynb.ipynb", "sales.txt", "notes", "notes.txt", "folder", "folder.ipynb", "folder/x", "deep"),
    *("escape", "escape.ipynb", "away/outside", "sneaky", "circle", ".", "..", "~", "*", "[s]ales"),
    *("sales*", "s?les", "a" * 300, "a/" * 3000 + "b", "sales%0a", "%20sales", "sales%20"),
)


@pytest.mark.parametrize("path", NOT_THERE, ids=lambda path: path[:40])
def test_names_that_mean_no_notebook_are_not_found(server: Server, path: str) -> None:
    """A name that leads outside, is hidden or does not exist gets the same answer: 404, and no kernel is started."""
    before = set(kernels(server))
    status, body = fetch(server, f"/books/{path}")
    assert status == 404
    assert "not to be seen" not in body and "this is" not in body
    assert set(kernels(server)) <= before  # one of an earlier page may end meanwhile


def test_bytes_that_are_no_text_are_refused(server: Server) -> None:
    """A name that is not UTF-8 is the client's error."""
    assert fetch(server, "/books/%ff%fe")[0] in (400, 404)


@pytest.mark.parametrize("name", ["sales", "deep/nested", "über/straße", "what #1? 100%", "a;b,c=d&e+f", "alias"])
def test_hooks_are_told_one_name_of_each_notebook(server: Server, name: str) -> None:
    """With or without suffix, and in any quoting, it is the same name, so that a rule about it cannot be evaded."""
    for path in (name, f"{name}.ipynb"):
        for address in (quote(path), quote(path, safe="").replace("%2F", "/"), "".join(map(every_byte, path))):
            told = server.visitor(cookies={"person": "bob"}).http.get(f"told/{address}", follow_redirects=False)
            assert unquote(told.headers["location"]) == f"/told/as/{name}", address


@pytest.mark.parametrize("name", ["deep/closed", "every/x", "inner/x"])
def test_no_name_in_a_directory_evades_the_rule_of_a_path_of_its_own(server: Server, name: str) -> None:
    """A path with its own rule hides the directory's notebook of that name, however a URL spells it."""
    for path in (name, f"{name}.ipynb"):
        for address in (path, "".join(map(every_byte, path)), path.replace("e", "%65")):
            status, body = fetch(server, f"/books/{address}")
            assert status in (403, 404) and f"this is {name}" not in body, address
    assert f"books/{name}" not in fetch(server, "/")[1]


def test_no_parameter_evades_the_rule_of_a_path_of_its_own(server: Server) -> None:
    """The same holds for the value of a parameter."""
    found = {
        value: fetch(server, f"/books/level/{value}/it", "HEAD")[0] for value in ("own", "o%77n", "%6f%77%6e", "any")
    }
    assert found == {"own": 403, "o%77n": 404, "%6f%77%6e": 404, "any": 200}


def every_byte(letter: str) -> str:
    """Return a letter as a URL may have it, a slash as it is."""
    return letter if letter == "/" else "".join(f"%{byte:02x}" for byte in letter.encode())


def test_names_with_and_without_suffix_are_one_dashboard(server: Server) -> None:
    """The page is the same, and so is the name that its cells are told."""
    for path in ("a%3bb%2cc%3Dd%26e%2Bf", "a;b,c=d&e+f.ipynb"):
        opened = visit(server, "bob", f"/books/{path}", x="1")
        assert "<bob|{'x': '1'}|{'name': 'a;b,c=d&e+f'}|run>" in html.unescape(opened.html), path
        opened.close()


@pytest.mark.parametrize("path", ["secret", "secret.ipynb", "secre%74", "secret.ip%79nb"])
def test_validate_knows_the_name_whatever_way_it_is_written(server: Server, path: str) -> None:
    """A rule about a notebook's name holds for each of its addresses."""
    assert fetch(server, f"/books/{path}")[0] == 403
    opened = visit(server, "alice", f"/books/{path}")
    assert "this is secret" in opened.html
    opened.close()


def test_path_parameters_and_names_come_together(server: Server) -> None:
    """A directory below a parameter has both."""
    opened = visit(server, "bob", "/of/emea/deep/nested")
    assert "{'team': 'emea', 'name': 'deep/nested'}" in opened.html
    assert fetch(server, "/of/apac/deep/nested")[0] == 403
    assert fetch(server, "/of/emea%2fx/deep/nested")[0] == 404
    opened.close()


def test_head_starts_nothing(server: Server) -> None:
    """It only says whether there is a page; no other method is known."""
    before = set(kernels(server))
    answers = {path: fetch(server, f"/books/{path}", "HEAD") for path in ("sales", "missing", "secret")}
    assert answers == {"sales": (200, ""), "missing": (404, ""), "secret": (403, "")}
    assert {fetch(server, "/books/sales", method)[0] for method in ("POST", "PUT", "DELETE")} <= {403, 405}
    assert set(kernels(server)) <= before  # one of an earlier page may end meanwhile


def test_notebooks_appear_change_and_vanish(server: Server) -> None:
    """Each page is of the notebook that is there now."""
    path = server.home / "root" / "books" / "coming.ipynb"
    assert fetch(server, "/books/coming")[0] == 404
    for text in ("first", "second"):
        write(path, f"print('the {text} version')")
        opened = visit(server, "bob", "/books/coming")
        assert f"the {text} version" in opened.html
        opened.close()
    path.write_text("{")
    assert fetch(server, "/books/coming")[0] == 500
    path.unlink()
    assert fetch(server, "/books/coming")[0] == 404


def listed(visitor: Visitor) -> list[tuple[str, str]]:
    """Return the titles of the index, and where their links lead."""
    found = re.findall(r'<a href="([^"]*)"><span>(.*?)</span>', visitor.get("").text)
    return [(html.unescape(title), urljoin(visitor.server.url, html.unescape(url))) for url, title in found]


def test_index_lists_what_a_visitor_may_see(server: Server) -> None:
    """Titles are the notebook's own, and are shown as text; a notebook that cannot be read has no link."""
    alice, bob = (set(dict(listed(server.visitor(cookies={"person": name})))) for name in ("alice", "bob"))
    assert alice - bob == {"Secret"}
    assert {"Sales", "Nested", "Profit & <b>Loss</b>", "The first heading"} <= bob
    assert not {"Draft", "Hidden", "Escape", "Sneaky", "Circle", "Notes", "Folder", "Outside", "X", "Broken"} & bob


def test_every_link_of_the_index_leads_to_its_page(server: Server) -> None:
    """Also where a name holds what has a meaning in a URL."""
    visitor = server.visitor(cookies={"person": "bob"})
    answers = {url: visitor.http.head(url).status_code for _, url in listed(visitor)}
    assert len(answers) >= 9 and set(answers.values()) == {200}, answers


def test_directory_ahead_follows_its_notebooks(server: Server) -> None:
    """A notebook that appears gets its warm kernel, one that vanishes loses it, and so with the directory itself."""
    folder = server.home / "root" / "ahead"
    before = kernels(server).keys()
    write(folder / "late.ipynb", WHO)
    opened = visit(server, "bob", "/ahead/late")
    assert "<bob|{}|{'name': 'late'}|run>" in opened.html
    opened.close()
    warm = eventually(lambda: kernels(server).keys() - before - {opened.kernel_id})
    shutil.move(folder, folder.with_name("gone"))
    assert fetch(server, "/ahead/late")[0] == 404
    eventually(lambda: not kernels(server).keys() & warm)
    shutil.move(folder.with_name("gone"), folder)
    assert "<bob|{}|{'name': 'late'}|run>" in visit(server, "bob", "/ahead/late").html
