from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell
from people import AWARE, managed

from jupyter_app_meta import AppMeta, SessionInfo, User
from jupyter_app_meta.display.sheets import Withheld, bundle
from jupyter_app_meta.policy import Page, Policy, RawRequest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NAMES = ("01_hello", "02_privacy", "03_shared_kernel", "04_dashboard")

Cell = dict[str, Any]
Opened = AbstractAsyncContextManager["Running"]


def visitor(username: str, name: str, region: str) -> AppMeta:
    """Return what a server says of a visitor who looks at a notebook with ``?region=``."""
    raw = RawRequest(
        method="GET",
        url="http://hub/api/kernels/k1/channels?session_id=s1",
        base_url="http://hub/",
        headers=(("Accept-Language", "de-CH"), ("Authorization", "token SECRET"), ("Referer", "http://hub/SECRET")),
        cookies=(("theme", "SECRET-dark"), ("sid", "SECRET")),
        user=User(username=username, display_name=name, name=name, kind="user", assurance="hub", is_owner=True),
    )
    page = Page(f"http://hub/lab/tree/notebook.ipynb?region={region}&token=SECRET")
    session = SessionInfo("tab-1", "session-1", "kernel-1", "notebook.ipynb")
    return AppMeta(Policy().request(raw, page), "edit", session)


CAROL = visitor("carol", "Carol Shaw", "apac")
DAVE = visitor("dave", "Dave Gahan", "amer")
assert CAROL.request is not None


class Running:
    """A notebook in a kernel of its own."""

    def __init__(self, notebook: Any, client: NotebookClient, visitor: AppMeta | None) -> None:
        assert client.kc is not None
        self.notebook, self.client, self.channel = notebook, client, client.kc.shell_channel
        self.session = client.kc.session
        self.session.visitor = visitor

    async def run(self) -> list[list[Cell]]:
        """Run all code cells and return the outputs of each."""
        cells = [(index, cell) for index, cell in enumerate(self.notebook.cells) if cell.cell_type == "code"]
        return [(await self.client.async_execute_cell(cell, index)).outputs for index, cell in cells]

    async def ask(self, code: str) -> str:
        """Run one more cell and return what it prints."""
        self.notebook.cells.append(new_code_cell(code))
        done = await self.client.async_execute_cell(self.notebook.cells[-1], len(self.notebook.cells) - 1)
        return texts([done.outputs])[0]

    def move(self, comm_id: str, state: Cell) -> None:
        """Change a widget, as the browser of the visitor of the moment does."""
        data = {"method": "update", "state": state, "buffer_paths": []}
        self.channel.send(self.session.msg("comm_msg", {"comm_id": comm_id, "data": data}))


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[str, AppMeta | None], Opened]:
    """Open a notebook in a request-aware kernel, with or without a visitor."""

    @asynccontextmanager
    async def opened(name: str, visitor: AppMeta | None) -> AsyncIterator[Running]:
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        manager = managed(AsyncKernelManager, tmp_path, notebook.metadata.kernelspec.name, AWARE)
        client = NotebookClient(notebook, km=manager, timeout=60, shutdown_kernel="immediate")
        async with client.async_setup_kernel(cleanup_kc=True):
            yield Running(notebook, client, visitor)

    return opened


def texts(cells: list[list[Cell]]) -> list[str]:
    """Return what each cell printed or showed, as plain text."""
    return ["".join(map(_text, outputs)).strip() for outputs in cells]


def _text(output: Cell) -> str:
    return str(output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"])


NO_REQUEST = bundle(AppMeta())["text/plain"]
NOBODYS = "No request is known for this code…"
FAKE = "HTTPRequest(method='GET', url=URL('http://testserver/?region=***'), user='alice', headers=Headers({'accept-language': '***'}), cookies=Cookies({'theme': '***'}), via='page')"  # fmt: skip  # noqa: E501  # as printed
PICKLE = "HTTPRequest cannot be pickled: it belongs to the request of one visitor. Pass plain values instead, for example dict(request.user)."  # fmt: skip  # noqa: E501  # as printed
SHARED = [
    "In Alice's block: alice\nIn Bob's block: bob\nAfter them, you again: True",
    "Bob's block: bob\nAlice's thread: alice",
    "Alice's task: alice\nBob's own await: bob",
    "A pool's worker: nobody\nWith Alice's context: alice",
]
PRIVATE = [
    FAKE,
    "Cookies:\n  theme  ***",
    "'dark'",
    PICKLE,
    '{"username": "alice", "groups": []}',
    "alice is vouched for by: provider",
]

FOR_CAROL = {
    "01_hello": [
        "Welcome Carol Shaw!",
        bundle(CAROL)["text/plain"],
        "The magic says: carol",
        "You read: de-CH",
        "Signed in as carol",
        "Grace Hopper reads en; mode: test",
        "The same user as at the top: True",
    ],
    "02_privacy": [
        bundle(Withheld(CAROL.request.redacted))["text/plain"],
        "You sent an Authorization header. This notebook does not know its value.",
        *PRIVATE,
    ],
    "03_shared_kernel": ["This cell was run by carol", *SHARED],
    "04_dashboard": [
        "",
        "Welcome Carol Shaw! You asked for apac.",
        "VBox(…",
        "apac: 95 (for Carol Shaw, whose link says apac)",
    ],
}
FOR_NOBODY = {
    "01_hello": [
        "Welcome, whoever you are!",
        NO_REQUEST,
        f"{NOBODYS}\nThe magic says: None",
        "You read: you did not say",
        "No request is known for this code: it runs outside a Jupyter server…",
        "Grace Hopper reads en; mode: test",
        "The same user as at the top: True",
    ],
    "02_privacy": [NOBODYS, "There is no request here.", *PRIVATE],
    "03_shared_kernel": ["This cell was run by nobody", *SHARED],
    "04_dashboard": [
        "",
        "Welcome guest! You asked for emea.",
        "VBox(…",
        "emea: 120 (for guest, whose link says emea)",
    ],
}


def assert_like(shown: list[str], expected: list[str]) -> None:
    """Compare cell by cell; ``…`` stands for any text."""
    assert len(shown) == len(expected)
    for text, wanted in zip(shown, expected, strict=True):
        beginning, gap, end = wanted.partition("…")
        assert (text.startswith(beginning) and text.endswith(end)) if gap else text == wanted


@pytest.mark.parametrize("name", NAMES)
async def test_notebook_for_a_visitor(opened: Callable[..., Opened], name: str) -> None:
    """Each notebook shows a visitor what its text promises, and no value that was not asked for."""
    async with opened(name, CAROL) as running:
        outputs = await running.run()
    assert_like(texts(outputs), FOR_CAROL[name])
    assert "SECRET" not in json.dumps(outputs)


@pytest.mark.parametrize("name", NAMES)
async def test_notebook_without_a_server(opened: Callable[..., Opened], name: str) -> None:
    """Each notebook runs to its end without any request, as nbconvert and papermill run it."""
    async with opened(name, None) as running:
        assert_like(texts(await running.run()), FOR_NOBODY[name])


async def test_table_has_its_rich_form(opened: Callable[..., Opened]) -> None:
    """The table of the first notebook is the HTML that the page shows."""
    async with opened("01_hello", CAROL) as running:
        outputs = await running.run()
    assert outputs[1][0]["data"] == bundle(CAROL)


async def test_widget_callback_sees_who_moved_it(opened: Callable[..., Opened]) -> None:
    """Widget callbacks without any request are a trap: here they see the visitor who moved the widget, and the page."""
    async with opened("04_dashboard", CAROL) as running:
        await running.run()
        dropdown = await running.ask("print(region.model_id)")
        for person, index, expected in (
            (DAVE, 0, "amer: 143 (for Dave Gahan, whose link says amer)"),
            (CAROL, 2, "emea: 120 (for Carol Shaw, whose link says apac)"),
            (None, 1, "apac: 95 (for guest, whose link says emea)"),
        ):
            running.session.visitor = person
            running.move(dropdown, {"index": index})
            running.session.visitor = CAROL
            assert await running.ask("print(report.value)") == expected


async def test_two_people_in_one_kernel(opened: Callable[..., Opened]) -> None:
    """The third notebook is right for real visitors: each cell sees who ran it, and no one if it is unstamped."""
    async with opened("03_shared_kernel", CAROL) as running:
        await running.run()
        for person, name in ((DAVE, "dave"), (CAROL, "carol"), (None, "nobody"), (DAVE, "dave")):
            running.session.visitor = person
            assert await running.ask("print(who())") == name


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_stored_clean(name: str) -> None:
    """A notebook is stored without outputs, for the request-aware kernel, and is valid."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    kernel = notebook.metadata.kernelspec
    assert dict(kernel) == {
        "display_name": "Python 3 (request-aware)",
        "language": "python",
        "name": "python3-app-meta",
    }
    for cell in notebook.cells:
        assert "load_ext" not in cell.source
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_every_tutorial_is_tested() -> None:
    """No numbered notebook is forgotten."""
    assert sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb")) == list(NAMES)
