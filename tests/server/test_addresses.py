"""Which notebook a page's address names: whole paths, each segment unquoted once."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta.server.pages.addresses import PLAIN_SHELLS, Address

HOST = "hub.example:8888"

PREFIXES = (
    "lab/tree",
    "lab/workspaces/auto-5/tree",
    "doc/tree",
    "doc/workspaces/w/tree",
    *PLAIN_SHELLS,
    "nbclassic/notebooks",
    "nbclassic/tree",
    "nbclassic/edit",
    "retro/notebooks",
    "retro/tree",
)

names = st.text(st.characters(blacklist_characters="/\\", blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12)
plain = names.filter(lambda name: name not in (".", ".."))
paths = st.lists(plain, min_size=1, max_size=4).map("/".join)


def at(path: str, base: str = "/") -> Address | None:
    """Return the address of a page of the server at HOST."""
    return Address.of(f"http://{HOST}{path}", HOST, base)


def shown(path: str, *sessions: str, base: str = "/") -> str | None:
    """Return the session's path that a page shows."""
    page = at(path, base)
    return page.names(sessions) if page else None


@given(path=paths, base=st.lists(plain, max_size=2), prefix=st.sampled_from(PREFIXES))
def test_page_names_the_path_that_was_quoted(path: str, base: list[str], prefix: str) -> None:
    """Whatever a notebook is called, its page names it and no other, below any base URL and in any shell."""
    base_url = "".join(f"/{quote(name, safe='')}" for name in base) + "/"
    address = f"{base_url}{prefix}/{quote(path)}?region=emea"
    others = [f"dir/{path}", path.upper() + "x", quote(path) + "%", path.rpartition("/")[2] + "x"]
    assert shown(address, path, *others, base=base_url) == path
    assert shown(address, *others, base=base_url) is None


@pytest.mark.parametrize("prefix", PREFIXES)
def test_paths_are_compared_whole(prefix: str) -> None:
    """The page of a notebook in a folder is not that of its namesake above or beside it."""
    sessions = ("index.ipynb", "reports/index.ipynb", "old/reports/index.ipynb")
    for path in sessions:
        assert shown(f"/{prefix}/{path}?region=emea", *sessions) == path
        assert shown(f"/{prefix}/{path}", *(other for other in sessions if other != path)) is None


@pytest.mark.parametrize(
    "path",
    [
        "/notebooks/reports%2Findex.ipynb",
        "/notebooks/reports%5Cindex.ipynb",
        "/notebooks/reports//index.ipynb",
        "//notebooks/reports/index.ipynb",
        "/notebooks/x/../reports/index.ipynb",
        "/notebooks/%2e%2e/reports/index.ipynb",
        "/notebooks/./reports/index.ipynb",
        "/notebooks/reports/index.ipynb%00",
        "/notebooks/reports/index.ipynb%0a",
        "/notebooks/reports/%ff/index.ipynb",
        "/lab%2Ftree%2Freports%2Findex.ipynb",
        "",
    ],
)
def test_address_that_can_be_read_in_two_ways_is_not_known(path: str) -> None:
    """In doubt the page is unknown, and so is a page that does not belong to a shell."""
    assert at(path) is None


@pytest.mark.parametrize(
    ("path", "session"),
    [
        ("/notebooks/reports%252Findex.ipynb", "reports/index.ipynb"),
        ("/notebooks/a%2520b.ipynb", "a b.ipynb"),
        ("/notebooks/a+b.ipynb", "a b.ipynb"),
        ("/notebooks/Index.ipynb", "index.ipynb"),
        ("/Notebooks/index.ipynb", "index.ipynb"),
        ("/notebooks/caf%C3%A9.ipynb", "cafe\N{COMBINING ACUTE ACCENT}.ipynb"),
        ("/notebooks/index.ipynb/", "index.ipynb"),
        ("/notebooks/index.ipynb%3Fregion=emea", "index.ipynb"),
        ("/notebooks?/index.ipynb", "index.ipynb"),
        ("/lab?path=/tree/index.ipynb", "index.ipynb"),
        ("/lab/tree", "tree"),
        ("/lab/index.ipynb", "index.ipynb"),
        ("/lab/workspaces/tree/index.ipynb", "index.ipynb"),
        ("/files/index.ipynb", "index.ipynb"),
        ("/nbclassic/lab/tree/index.ipynb", "index.ipynb"),
        ("/voila/render/index.ipynb", "index.ipynb"),
    ],
)
def test_address_that_only_looks_alike_shows_nothing(path: str, session: str) -> None:
    """What is quoted twice, in another case or Unicode form, or below another prefix is another address."""
    assert shown(path, session) is None


@pytest.mark.parametrize("base", ["/user/a/", "/user/ab/", "/user/a%40b/", "/user/A/"])
def test_base_url_is_compared_whole(base: str) -> None:
    """A page of another person's server on the same host is not a page of this server."""
    bases = {"/user/a/": "a", "/user/ab/": "ab", "/user/a%40b/": "a@b", "/user/A/": "A"}
    for name in bases.values():
        expected = "x.ipynb" if name == bases[base] else None
        assert shown(f"/user/{name}/notebooks/x.ipynb", "x.ipynb", base=base) == expected


def test_drive_of_collaboration_is_taken_off_where_it_must() -> None:
    """A path with a drive's name is first what it says, and else that of the server's own drive."""
    assert shown("/lab/tree/RTC:dir/x.ipynb", "dir/x.ipynb", "x.ipynb") == "dir/x.ipynb"
    assert shown("/lab/tree/dir/x.ipynb", "RTC:dir/x.ipynb") == "RTC:dir/x.ipynb"
    assert shown("/lab/tree/RTC:x.ipynb", "x.ipynb", "RTC:x.ipynb") == "RTC:x.ipynb"
    assert shown("/lab/tree/RTC:x.ipynb", "dir/RTC:x.ipynb", "dir/x.ipynb") is None


@pytest.mark.parametrize(
    "url", ["http://other.example/lab", "http://[broken", "javascript:alert(1)", "", "ftp://x/lab"]
)
def test_page_of_another_server_is_not_known(url: str) -> None:
    """Only this host's own pages count."""
    assert Address.of(url, HOST, "/") is None


@pytest.mark.parametrize("path", ["/lab", "/lab/", "/LAB/tree/x", "/terminals/1", "/nbclassic/", "/%6cab"])
def test_shells_are_known_by_their_first_segment(path: str) -> None:
    """A shell in any case or spelling is one: its bare address belongs to no notebook."""
    page = at(path)
    assert page is not None and page.is_shell
