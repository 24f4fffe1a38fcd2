"""Which dashboard a URL means, and that no name leaves its directory: pure, and over HTTP where nothing is started."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from jupyter_server.auth.identity import PasswordIdentityProvider
from stage import served, write

from jupyter_app_meta.dashboards import Builder, DashboardError, create_app
from jupyter_app_meta.dashboards.files.listing import names
from jupyter_app_meta.dashboards.paths import RESERVED, Route, find, is_devious, is_plain

anything = st.text(st.characters(exclude_categories=()), max_size=30)  # lone surrogates too
parts = st.sampled_from(["a", "deep", "..", ".", "", "~", "a.ipynb", ".ipynb", "_x", "\\", "\0", "%2e%2e", "/", "é"])
paths = st.lists(parts | anything, max_size=5).map("/".join)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory beside the one that is served."""
    folder = tmp_path_factory.mktemp("outside")
    write(folder / "secret.ipynb", "1")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, outside: Path) -> Path:
    """A directory with what is to be seen, what is not, and what leads out of it."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("a", "deep/er/b", "two words", "_hidden", ".hidden", "deep/_c", ".git/d", "_drafts/e", "deep/.f/g"):
        write(folder / f"{name}.ipynb", "1")
    write(folder.parent / f"{folder.name}-next" / "h.ipynb", "1")
    (folder / "text.txt").write_text("1")
    (folder / "directory.ipynb").mkdir()
    (folder / "link.ipynb").symlink_to(folder / "deep" / "er" / "b.ipynb")
    (folder / "linked").symlink_to(folder / "deep")
    (folder / "out.ipynb").symlink_to(outside / "secret.ipynb")
    (folder / "outer").symlink_to(outside)
    (folder / "next").symlink_to(folder.parent / f"{folder.name}-next")
    (folder / "draft.ipynb").symlink_to(folder / "_drafts" / "e.ipynb")
    (folder / "text.ipynb").symlink_to(folder / "text.txt")
    (folder / "gone.ipynb").symlink_to(folder / "never.ipynb")
    (folder / "loop.ipynb").symlink_to(folder / "loop.ipynb")
    os.mkfifo(folder / "pipe.ipynb")
    return folder


# --- which file a name means -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("a", "a.ipynb"),
        ("a.ipynb", "a.ipynb"),
        ("deep/er/b", "deep/er/b.ipynb"),
        ("two words", "two words.ipynb"),
        ("link", "deep/er/b.ipynb"),
        ("linked/er/b", "deep/er/b.ipynb"),
    ],
)
def test_name_means_its_notebook(folder: Path, name: str, meant: str) -> None:
    """A notebook is found by its path without the suffix, also by a link that stays inside."""
    assert find(folder, name) == folder.resolve() / meant


@pytest.mark.parametrize(
    "name",
    [
        *("", "/", "a/", "/a", "//a", "deep//er/b", "deep", ".", "..", "./a", "../a", "deep/../a", "deep/er/../../a"),
        *("..\\a", "deep\\er\\b", "a\\", "\\a", "a\0", "\0", "a\0.ipynb", "a.ipynb\0.txt"),
        *("_hidden", ".hidden", "deep/_c", ".git/d", "_drafts/e", "deep/.f/g", ".ipynb", "deep/.ipynb", "draft"),
        *("out", "outer/secret", "next/h", "text.txt", "text", "directory", "directory.ipynb", "pipe", "gone", "loop"),
        *("a.IPYNB", "A", "a.ipynb.ipynb", "a/b", "never", "\ud800", "x" * 300, "x/" * 3000 + "x", "~", "~root/a"),
    ],
)
def test_name_that_is_not_meant_to_be_seen_means_nothing(folder: Path, name: str) -> None:
    """Nothing outside the directory, hidden, not a notebook, or written in an odd way is found."""
    assert find(folder, name) is None


def test_absolute_name_stays_inside(folder: Path, outside: Path) -> None:
    """An absolute path, with or without its first slash, is one below the directory."""
    assert find(folder, str(outside / "secret")) is None
    assert find(folder, str(outside / "secret").lstrip("/")) is None


@given(name=paths)
@example(name="deep/er/b.ipynb")
def test_nothing_outside_is_ever_found(folder: Path, name: str) -> None:
    """Whatever the name is, what is found is a notebook below the directory, none of its parts hidden."""
    found = find(folder, name)
    if found is not None:
        inside = found.relative_to(folder.resolve())
        assert found.is_file() and found.suffix == ".ipynb"
        assert not any(part.startswith((".", "_")) for part in inside.parts)
        assert is_plain(name)


def test_every_listed_notebook_is_found(folder: Path) -> None:
    """The list has what ``find`` finds, and nothing that is not meant to be seen."""
    assert names(folder) == ["a", "deep/er/b", "link", "two words"]
    assert all(find(folder, name) for name in names(folder))


def test_directory_may_itself_be_hidden_or_a_link(tmp_path: Path) -> None:
    """Rules about names hold below the directory, not for the directory's own place."""
    write(tmp_path / ".place" / "_of" / "a.ipynb", "1")
    (tmp_path / "link").symlink_to(tmp_path / ".place" / "_of")
    for directory in (tmp_path / ".place" / "_of", tmp_path / "link"):
        assert names(directory) == ["a"]
        assert find(directory, "a") == (tmp_path / ".place" / "_of" / "a.ipynb").resolve()


def test_directory_that_is_gone_has_nothing(tmp_path: Path) -> None:
    """A directory that vanished while it is served is empty."""
    assert names(tmp_path / "gone") == []
    assert find(tmp_path / "gone", "a") is None


def test_notebook_with_the_suffix_twice_is_itself(tmp_path: Path) -> None:
    """``a.ipynb.ipynb`` is listed as itself, and never stands for ``a.ipynb``."""
    double = write(tmp_path / "a.ipynb.ipynb", "1")
    assert [find(tmp_path, name) for name in names(tmp_path)] == [double.resolve()]
    single = write(tmp_path / "a.ipynb", "1")
    assert {find(tmp_path, name) for name in names(tmp_path)} == {double.resolve(), single.resolve()}


# --- paths as they are sent ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/a%2fb", "/a%2Fb", "/%5ca", "/%5C..%5C", "/a%00", "/%2e%2e%2fa", "/x%252f%2f"])
def test_hidden_slashes_are_devious(path: str) -> None:
    """An encoded slash, a backslash or a NUL is devious in any place."""
    assert is_devious(path)


@pytest.mark.parametrize("path", ["/", "/a/b", "/a%20b", "/%252f", "/%2e%2e/a", "/2f5c00", "/%", "/%2", "/caf%C3%A9"])
def test_plain_paths_are_not_devious(path: str) -> None:
    """Other escapes are not; dots are refused by their part's first letter instead."""
    assert not is_devious(path)


@given(anything)
def test_escaped_name_is_devious_if_it_has_what_hides(name: str) -> None:
    """A name that is sent with all its slashes escaped is devious exactly where it has one, or a NUL."""
    sent = quote(name, safe="", errors="surrogatepass")
    assert is_devious(sent) is any(mark in name for mark in "/\\\0")


@given(anything)
@example("a/../b")
def test_plain_name_has_plain_parts(name: str) -> None:
    """A name is plain exactly where each of its parts is."""
    assert is_plain(name) is all(is_plain(part) for part in name.split("/"))
    assert not is_plain(f"{name}/..") and not is_plain(f"../{name}") and not is_plain(f"_{name}")


# --- routes ----------------------------------------------------------------------------------------------------------

REFUSED = {
    "sales": r"The path 'sales' must begin with a slash: '/sales'\.",
    "": r"must begin with a slash: '/'\.",
    "http://host/a": r"must begin with a slash",
    "/two words": r"has a part 'two words' that is neither plain nor \{a_name\}",
    "/café": r"has a part 'café' that is neither plain",
    "/a//b": r"has a part '' that is neither plain",
    "/a?b=c": r"has a part 'a\?b=c' that is neither plain",
    "/a#b": r"has a part 'a#b' that is neither plain",
    "/a%2fb": r"has a part 'a%2fb' that is neither plain",
    "/a\\b": r"neither plain",
    "/a\n": r"neither plain",
    "/{a": r"has a part '\{a' that is neither plain",
    "/{}": r"neither plain",
    "/{1a}": r"neither plain",
    "/{a-b}": r"neither plain",
    "/x{a}": r"has a part 'x\{a\}' that is neither plain",
    "/{a}{b}": r"neither plain",
    "/{a}/x/{a}": r"has the same parameter twice",
    **{f"/{name}": rf"is the server's own: it must not begin with /{name}\." for name in RESERVED},
    "/api/kernels": r"is the server's own",
    "/voila/": r"is the server's own",
}


@pytest.mark.parametrize("path", REFUSED)
def test_refused_path_is_named_with_its_remedy(path: str) -> None:
    """A path that cannot be served is refused in one sentence that has the path and what is wrong."""
    with pytest.raises(DashboardError, match=REFUSED[path]) as caught:
        Route.of(path)
    assert repr(path) in str(caught.value)


@pytest.mark.parametrize(
    ("path", "segments", "shape"),
    [
        ("/", (), "/"),
        ("//", (), "/"),
        ("/a", ("a",), "/a"),
        ("/a/b/", ("a", "b"), "/a/b"),
        ("/{x}", ("{x}",), "/{}"),
        ("/customers/{customer_id}/q-1.2~x", ("customers", "{customer_id}", "q-1.2~x"), "/customers/{}/q-1.2~x"),
        ("/apis", ("apis",), "/apis"),
        ("/a/api", ("a", "api"), "/a/api"),
    ],
)
def test_path_has_segments_and_a_shape(path: str, segments: tuple[str, ...], shape: str) -> None:
    """A closing slash is ignored; the shape is the path without its parameters' names."""
    route = Route.of(path)
    assert (tuple(route), route.shape) == (segments, shape)
    assert Route.of(route.path) == route


def test_plain_segments_come_before_parameters() -> None:
    """Routes sort so that, part by part, a plain one is tried before a parameter."""
    wanted = ["/a/b", "/a/{y}", "/{x}/b", "/{x}/{y}"]
    for order in permutations(wanted):
        assert sorted(order, key=lambda path: Route.of(path).order(is_folder=False)) == wanted


segments = st.sampled_from(["a", "b.c", "a+b", "(x)", "$", "{p}", "{q}", "x~1", "*", "A"])
routes = st.lists(segments, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(path=routes, values=st.lists(st.text(st.characters(exclude_characters="/"), min_size=1), min_size=4, max_size=4))
def test_pattern_matches_its_own_urls_alone(path: str, values: list[str]) -> None:
    """A pattern matches its path with each parameter filled, with or without a closing slash, and nothing longer."""
    assume(path.count("{p}") < 2 and path.count("{q}") < 2)
    route, given_values = Route.of(path), iter(values)
    url = "".join(f"/{next(given_values) if part.startswith('{') else part}" for part in route)
    pattern = re.compile(f"{route.pattern()}\\Z")
    found = pattern.match(url)
    assert found and list(found.groupdict().values()) == values[: len(found.groupdict())]
    assert pattern.match(f"{url}/") and not pattern.match(f"{url}//") and not pattern.match(f"{url}/more/still")
    assert not pattern.match(f"/more{url}") or "{" in path


# --- which page a URL gets -------------------------------------------------------------------------------------------


def to(place: str) -> Callable[..., str]:
    """Return an ``authorize`` that sends everybody to a place, so that its answer says which page was meant."""
    return lambda user, request: place


async def lead(builder: Builder, *urls: str) -> list[str]:
    """Return where each URL leads: a redirect's target, else the status."""
    async with served(builder) as client:
        answers = [await client.head(url) for url in urls]
    return [answer.headers.get("Location", str(answer.status_code)) for answer in answers]


async def test_most_specific_page_is_found(folder: Path) -> None:
    """Plain parts win over parameters, and pages over a directory, in any order of definition."""
    app = create_app()
    for path in ("/{x}/{y}", "/{x}/b", "/a/{y}", "/a/b", "/"):
        app = app.with_app(path=path, root=folder / "a.ipynb", authorize=to(path))
    app = app.with_dynamic_directory(path="/", directory=folder, validate=to("folder"))
    found = await lead(app, "/a/b", "/a/c", "/c/b", "/c/d", "/", "/a", "/deep/er/b", "/a/b/", "/a%20b/b")
    assert found == ["/a/b", "/a/{y}", "/{x}/b", "/{x}/{y}", "/", "folder", "folder", "/a/b", "/{x}/b"]


@pytest.mark.parametrize(
    "url",
    [
        *("/a%2Fb", "/deep%2fer%2fb", "/..%2f..%2fetc%2fpasswd", "/%5c..%5ca", "/a%00", "/a%00.ipynb", "/_hidden"),
        *("/.hidden", "/.git/d", "/out", "/outer/secret", "/deep/", "/deep//er/b", "/%2e%2e/a", "/directory"),
        *("/" + "x" * 300, "/voila", "/api", "/api/kernels", "/static/x", "/login/x", "/a.txt", "/%25", "/a/a"),
    ],
)
async def test_odd_url_is_not_found(folder: Path, url: str) -> None:
    """What could leave a directory, or is not meant to be seen, answers 404, and says nothing else."""
    async with served(create_app().with_dynamic_directory(path="/", directory=folder)) as client:
        answer = await client.get(url)
        assert answer.status_code == 404
        assert "Not Found" in answer.text and str(folder) not in answer.text


async def test_dots_are_not_followed(folder: Path) -> None:
    """A path with dots is refused as it was sent, and is not resolved first."""
    app = create_app().with_dynamic_directory(path="/x", directory=folder / "deep", validate=to("deep"))
    app = app.with_app(path="/a", root=folder / "a.ipynb", authorize=to("a"))
    assert await lead(app, "/x/%2e%2e/a", "/x/er/%2e%2e/er/b", "/x/er/b") == ["404", "404", "deep"]


async def test_dots_are_no_parameter(folder: Path) -> None:
    """A part that is nothing but one or two dots stands for no parameter, as it was sent; others may have dots."""
    app = create_app().with_app(path="/customers/{id}", root=folder / "a.ipynb", authorize=to("page"))
    app = app.with_dynamic_directory(path="/of/{team}", directory=folder, validate=to("page"))
    refused = ("/customers/..", "/customers/.", "/customers/%2e%2E", "/customers/.%2e/", "/of/../a", "/of/%2e/a")
    allowed = ("/customers/...", "/customers/a..b", "/customers/..a", "/of/.../a")
    async with served(app) as client:  # a client would resolve the dots of its URL
        answers = [await client.head("/", extensions={"target": path.encode()}) for path in (*refused, *allowed)]
    assert [answer.status_code for answer in answers] == [404] * len(refused) + [302] * len(allowed)


async def test_page_stands_in_a_directory(folder: Path) -> None:
    """A page with a plain path below a directory's own comes instead of one notebook, or of one team's."""
    app = create_app().with_dynamic_directory(path="/x", directory=folder, validate=to("folder"))
    app = app.with_dynamic_directory(path="/of/{team}", directory=folder, validate=to("folder"))
    for path in ("/x/fixed", "/of/emea/{name}"):
        app = app.with_app(path=path, root=folder / "a.ipynb", authorize=to("page"))
    assert await lead(app, "/x/fixed", "/x/a", "/of/emea/a", "/of/apac/a") == ["page", "folder", "page", "folder"]


@pytest.mark.parametrize("url", ["/a\r\nSet-Cookie: b=c", "/a\nb", "/a\0b", "/a\x7f", "/\t/host", "/\ud800"])
async def test_redirect_that_cannot_be_sent_is_a_refusal(
    folder: Path, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    """An ``authorize`` whose URL would break its header admits no visitor, and the log says so once."""
    app = create_app().with_app(path="/x", root=folder / "a.ipynb", authorize=to(url))
    assert await lead(app, "/x") == ["403"]
    said = [record.message for record in caplog.records if "not a bool or URL" in record.message]
    assert len(said) == 1 and said[0].endswith("returned a str, not a bool or URL: the visitor is refused.")


@pytest.mark.parametrize("by", [{"token": "x"}, {"identity_provider": PasswordIdentityProvider(token="x")}])
async def test_people_log_in_and_out_with_style(folder: Path, by: dict[str, Any]) -> None:
    """The pages of logging in and out are there however the provider is given, and so is what they look like."""
    async with served(create_app(base_url="/t/", **by).with_app(path="/x", root=folder / "a.ipynb")) as client:
        for path in ("/t/login", "/t/logout"):
            answer = await client.get(path)
            assert answer.status_code == 200
            styles = re.findall(r'<link rel="stylesheet" href="([^"]+)"', answer.text)
            assert (styles or "<style>" in answer.text) and "am-" in answer.text
            assert [(await client.get(style)).status_code for style in styles] == [200] * len(styles)


@pytest.mark.parametrize(
    "path", ["/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "//etc/passwd", "/%2fetc/passwd", "/\\..\\app.py", "/", ""]
)
async def test_static_files_lead_nowhere_else(folder: Path, path: str) -> None:
    """Beside the style of the login nothing of the host is served, to those who are logged in and to others."""
    for token in (None, "x"):
        async with served(create_app(token=token).with_app(path="/x", root=folder / "a.ipynb")) as client:
            answer = await client.get("/", extensions={"target": f"/static{path}".encode()})  # as it is written
        assert answer.status_code in (400, 403, 404) and "root:" not in answer.text


async def test_index_can_be_probed(folder: Path) -> None:
    """HEAD answers what GET does, without the list."""
    async with served(create_app().with_index().with_app(path="/x", root=folder / "a.ipynb")) as client:
        await client.get("/")  # gives the cookies
        shown, probed = await client.get("/"), await client.head("/")
    assert shown.status_code == probed.status_code == 200 and shown.content and not probed.content
    assert {**probed.headers, "date": ""} == {**shown.headers, "date": ""}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_directory_below_another_has_its_own_rules(folder: Path, order: tuple[int, int]) -> None:
    """A directory below another one's path is asked first, whichever was given first: its ``validate`` holds."""
    mounts = [("/", folder, to("open")), ("/deep", folder / "deep", to("private"))]
    app = create_app()
    for path, directory, validate in (mounts[place] for place in order):
        app = app.with_dynamic_directory(path=path, directory=directory, validate=validate)
    assert await lead(app, "/a", "/deep/er/b") == ["open", "private"]


@pytest.mark.parametrize("url", ["/login", "/logout", "/voila/static/voila.js", "/api/kernels/1-2-3-4-5", "/list"])
async def test_parameters_do_not_take_the_servers_own_paths(folder: Path, url: str) -> None:
    """Pages whose paths have parameters leave login, kernels, scripts and the index to the server."""
    app = create_app().with_index(path="/list")
    for path in ("/{a}", "/{a}/{b}", "/{a}/{b}/{c}"):
        app = app.with_app(path=path, root=folder / "a.ipynb", authorize=to("page"))
    async with served(app) as client:
        assert (await client.get(url)).headers.get("Location") != "page"


async def test_directory_with_a_parameter_leaves_the_scripts_alone(folder: Path) -> None:
    """Voila's scripts are found beside a directory whose path begins with a parameter."""
    app = create_app().with_dynamic_directory(path="/{tenant}", directory=folder, validate=to("page"))
    async with served(app) as client:
        assert (await client.get("/voila/static/voila.js")).headers.get("Location") != "page"


def test_parameter_that_methods_have_is_refused() -> None:
    """A parameter called ``self`` would be taken for a method's own."""
    with pytest.raises(DashboardError, match="self"):
        Route.of("/{self}")


async def test_base_url_is_taken_literally(folder: Path) -> None:
    """A base URL may have a plus or a dot, which stand for themselves."""
    app = create_app(base_url="/a+b.c/").with_app(path="/x", root=folder / "a.ipynb", authorize=to("page"))
    assert await lead(app, "/a+b.c/x", "/aab.c/x", "/a+bxc/x") == ["page", "404", "404"]


async def test_base_url_may_be_escaped(folder: Path, tmp_path: Path) -> None:
    """A base URL with other letters than those of ASCII is given as browsers send it."""
    app = create_app(base_url="/caf%C3%A9%20x/").with_app(path="/x", root=folder / "a.ipynb", authorize=to("page"))
    assert await lead(app, "/café x/x", "/caf%C3%A9%20x/x", "/cafe/x") == ["page", "page", "404"]
    shown = write(tmp_path / "shown.ipynb", "1", kernel="python3")  # an index has no link to what no kernel can run
    async with served(app.with_index().with_app(path="/y", root=shown)) as client:
        assert 'href="/caf%C3%A9%20x/y"' in (await client.get("/café x/")).text
