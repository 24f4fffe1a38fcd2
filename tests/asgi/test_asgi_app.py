"""Three people in one FastAPI with a login of its own: a real uvicorn, real kernels, dashboards at three places."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import websocket
from harness import Server
from journeys import at, hosting
from stage import SLIDER, WHO, Opened, browse, eventually, kernels, move, write

DASHBOARDS = """
mounted(
    builder.with_app(path="", root="page.ipynb")
    .with_app(path="/warm", root="page.ipynb", warm=1)
    .with_app(path="/free", root="page.ipynb")
    .with_app(path="/staff", root="page.ipynb", middleware=[Staff]),
    *("/dash", "/t/{tenant}/d", "/"),
)
"""

PLACES = {"": "{}", "dash/": "{}", "t/acme/d/": "{'tenant': 'acme'}"}
"""Where the dashboards are, and the parameters of each place."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A FastAPI application that serves one dashboard at several places."""
    home = tmp_path_factory.mktemp("home")
    write(home / "root" / "page.ipynb", WHO, 'print("meta", dict(m.meta))', SLIDER)
    with hosting(home, DASHBOARDS) as server:
        yield server


def opened(host: Server, person: str, path: str = "", place: str = "dash/", **cookies: str) -> Opened:
    """Open a page as this person."""
    return browse(at(host, place).visitor(cookies={"person": person, **cookies}), path)


def refused(page: Opened, kernel_id: str) -> tuple[int, int, str]:
    """Return how a visitor is refused at a kernel: the socket's status, that of its model, and the latter's text."""
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        page.visitor.connect(kernel_id)
    answer = page.visitor.get(f"api/kernels/{kernel_id}")
    return caught.value.status_code, answer.status_code, answer.text


@pytest.mark.parametrize("path", ["", "warm"], ids=["cold", "warm"])
@pytest.mark.parametrize("place", PLACES, ids=["root", "dash", "tenant"])
def test_each_visitor_is_known_at_each_place(host: Server, place: str, path: str) -> None:
    """The page, a widget's callback over a real socket, and the end of the kernel with the page."""
    page = opened(host, "alice", path, place)
    assert page.response.status_code == 200, page.html
    assert f"<alice|{{}}|{PLACES[place]}|run>" in page.html
    assert "meta {'stage': 'inside'}" in page.html
    assert "app-meta-base" not in page.html and f'"baseUrl": "/{place}"' in page.html
    socket = page.connect()
    assert move(socket, page, 7).startswith("alice|{}|") and page.kernel_id in kernels(host)
    socket.connection.close()
    assert page.close().status_code == 204
    eventually(lambda: page.kernel_id not in kernels(host))


def test_nobody_gets_at_the_kernel_of_another(host: Server) -> None:
    """Bob's kernel is for alice as one that does not exist, and for an anonymous visitor nothing is there at all."""
    bob, alice, carol = (opened(host, person) for person in ("bob", "alice", "carol"))
    unknown = "00000000-0000-4000-8000-000000000000"
    assert refused(alice, bob.kernel_id) == refused(alice, unknown) == refused(carol, bob.kernel_id)
    assert refused(alice, unknown)[:2] == (403, 403)
    assert move(bob.connect(), bob, 3).startswith("bob|")
    bob.visitor.http.cookies.delete("person")
    assert refused(bob, bob.kernel_id) == (401, 401, "please log in")
    bob.visitor.http.cookies.set("person", "alice")
    assert refused(bob, bob.kernel_id)[:2] == (403, 403)
    for page in (alice, carol):
        assert page.close().status_code == 204


def test_a_kernel_is_reached_below_the_place_of_its_page_only(host: Server) -> None:
    """The host may have another rule for another place."""
    page = opened(host, "alice", place="t/acme/d/")
    for place in ("", "dash/", "t/other/d/"):
        page.visitor.server = at(host, place)
        page.visitor.http.base_url = page.visitor.server.url
        assert refused(page, page.kernel_id)[:2] == (403, 403)
    page.visitor.server = at(host, "t/%61cme/d/")  # another spelling of the same place
    page.visitor.http.base_url = page.visitor.server.url
    assert move(page.connect(), page, 5).startswith("alice|")
    assert page.close().status_code == 204


def test_middleware_of_one_mount_guards_its_kernels_too(host: Server) -> None:
    """Two mounts of one notebook: what guards the one guards its page, model, socket and end, and not the other."""
    assert opened(host, "alice", "staff").response.status_code == 402
    assert opened(host, "alice", "staff/").response.status_code == 402
    free, staff = opened(host, "alice", "free"), opened(host, "carol", "staff", staff="yes")
    assert move(free.connect(), free, 4).startswith("alice|")
    assert move(staff.connect(), staff, 6).startswith("carol|")
    staff.visitor.http.cookies.delete("staff")
    assert refused(staff, staff.kernel_id) == (402, 402, "staff only")
    assert staff.close().status_code == 402 and staff.kernel_id in kernels(host)
    staff.visitor.http.cookies.set("staff", "yes")
    for page in (free, staff):
        assert page.close().status_code == 204


def test_assets_and_their_links_are_below_the_place(host: Server) -> None:
    """The page's own scripts and styles are found where the page says that they are."""
    page = opened(host, "alice")
    links = {part.partition('"')[0] for part in page.response.text.replace("'", '"').split('"/dash/')[1:]}
    static = sorted(link for link in links if link.startswith("voila/") and "." in link.rpartition("/")[2])
    assert static
    assert {link: page.visitor.get(link).status_code for link in static} == dict.fromkeys(static, 200)
    assert page.close().status_code == 204


def test_the_log_has_no_surprise(host: Server, tmp_path: Path) -> None:
    """Nothing of all this was an error of the server's."""
    assert "Traceback" not in host.log
