from __future__ import annotations

import asyncio
import csv
import json
import re
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import nbformat
import pytest
from harness import Server, Socket, Visitor
from nbclient import NotebookClient
from stage import Opened, browse, staging

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / "notebooks/dashboards"
NAMES = ("customer", "live", "lunch", "sales")
APP = f"""
from functools import partial
from pathlib import Path
sys.path.insert(0, {str(PROJECT)!r})
from tools.demo import dashboards
app = dashboards(Path.cwd())
"""
OUTPUT = re.compile(r'<script type="application/vnd\.voila\.cell-output\+json">(.*?)</script>', re.DOTALL)
REGIONS = ("all", "emea", "apac", "amer")

Json = dict[str, Any]


class Looked(NamedTuple):
    """A page that a visitor has opened: the HTML of its cells, and its live connection."""

    opened: Opened
    outputs: str
    socket: Socket
    states: dict[str, Json]

    @property
    def text(self) -> str:
        """Everything that the visitor can read, and all that was sent to their browser for it."""
        return self.outputs + "".join(str(state["state"].get("value")) for state in self.states.values())

    def of(self, model: str) -> str:
        """Return the id of the page's first widget of this kind."""
        return next(name for name, state in self.states.items() if state["state"]["_model_name"] == model)

    def press(self, text: str) -> None:
        """Press the first button with this text."""
        button = next(name for name, state in self.states.items() if state["state"].get("description") == text)
        data = {"method": "custom", "content": {"event": "click"}}
        msg_id = self.socket.send(self.socket.message("comm_msg", {"comm_id": button, "data": data}))
        self.socket.until(lambda message: _is_idle(message, msg_id))

    def reads(self, pattern: str) -> None:
        """Wait until the page has been told this: it may have come among messages that were read already."""
        if not any(_has(pattern, message) for message in self.socket.seen):
            self.socket.until(partial(_has, pattern))

    def move(self, model: str, state: Json) -> str:
        """Move a widget as the page's script does; return what its callback wrote."""
        data = {"method": "update", "state": state, "buffer_paths": []}
        msg_id = self.socket.send(self.socket.message("comm_msg", {"comm_id": self.of(model), "data": data}))
        caused = self.socket.until(lambda message: _is_idle(message, msg_id))
        return "".join(str(message["content"].get("data", {}).get("state", {}).get("value")) for message in caused)


def _has(pattern: str, message: Json) -> bool:
    return re.search(pattern, str(message["content"])) is not None


def _is_idle(message: Json, after: str) -> bool:
    return (message["parent_header"].get("msg_id"), message["content"].get("execution_state")) == (after, "idle")


def look(server: Server, person: str, path: str, **query: str) -> Looked:
    """Log in by the button of this person and open a page."""
    visitor = server.visitor()
    log_in(visitor, person)
    opened = browse(visitor, path, **query)
    cells = opened.response.text.partition('id="rendered_cells"')[2]
    found = [json.loads(text) for text in OUTPUT.findall(cells)]
    assert [output for output in found if output["output_type"] in ("error", "stream")] == []
    assert "application/vnd.jupyter.std" not in cells
    socket, shown = opened.connect(), [output["data"] for output in found]
    states = widgets(socket) if any("application/vnd.jupyter.widget-view+json" in data for data in shown) else {}
    return Looked(opened, cells, socket, states)


def log_in(visitor: Visitor, person: str, address: str = "/") -> httpx.Response:
    """Press the button of a person on the way to an address."""
    visitor.get("login")
    form = {"person": person, "next": address, "_xsrf": visitor.http.cookies["_xsrf"]}
    return visitor.http.post("login", data=form)


def widgets(socket: Socket) -> dict[str, Json]:
    """Return the state of each widget of a page, as its script asks for it."""
    comm = {"comm_id": uuid.uuid4().hex, "target_name": "jupyter.widget.control", "data": {}}
    socket.send(socket.message("comm_open", comm, {"version": "1.0.0"}))
    socket.send(socket.message("comm_msg", {**comm, "data": {"method": "request_states"}}))
    answer = socket.until(lambda message: "states" in message["content"].get("data", {}))[-1]
    states: dict[str, Json] = answer["content"]["data"]["states"]
    return states


PAGES: dict[str, tuple[str, str, dict[str, str]]] = {
    "alice's sales": ("alice", "sales", {"region": "emea"}),
    "bob's sales": ("bob", "sales", {"region": "<b>"}),
    "carol's sales": ("carol", "sales", {}),
    "alice's customer": ("alice", "customers/1002", {}),
    "carol's customer": ("carol", "customers/1002", {}),
    "nobody's customer": ("carol", "customers/<script>alert(1)", {}),
    "alice's plot": ("alice", "live", {}),
    "carol's plot": ("carol", "live", {}),
    "alice's lunch": ("alice", "lunch", {}),
    "bob's lunch": ("bob", "lunch", {}),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of `make demo`, without kernels ahead."""
    home = tmp_path_factory.mktemp("dashboards")
    shutil.copytree(FOLDER, home / "root")
    with staging(home, APP, env={"MPLCONFIGDIR": str(home / "matplotlib")}) as server:
        yield server


@pytest.fixture(scope="module")
def pages(server: Server) -> Iterator[dict[str, Looked]]:
    """The pages of three people, open at the same time."""
    with ThreadPoolExecutor(2) as pool:
        looking = {name: pool.submit(look, server, who, path, **query) for name, (who, path, query) in PAGES.items()}
        pages = {name: page.result() for name, page in looking.items()}
        yield pages
        for page in pages.values():
            assert page.opened.close().status_code == 204


def revenue(region: str = "all", seller: str = "", year: str = "2025") -> str:
    """Return what was sold, as the cards show it."""
    with (FOLDER / "sales.csv").open() as file:
        amount = sum(
            int(row["amount"])
            for row in csv.DictReader(file)
            if row["month"].startswith(year) and region in ("all", row["region"]) and seller in ("", row["seller"])
        )
    return f"€ {amount / 1e6:.2f}M" if amount >= 1e6 else f"€ {amount / 1e3:.0f}k"


def test_sales_of_one_person(pages: dict[str, Looked]) -> None:
    """A visitor in the group sees their own figures of the region in the address, and no one else's."""
    page = pages["alice's sales"]
    assert "Good to see you, Alice Andrews." in page.text and "The link asks for EMEA." in page.text
    assert revenue("emea", "alice") in page.text
    assert "Your share" not in page.text
    assert [name for name in ("Bob Brown", "Dora Diaz", revenue("emea")) if name in page.text] == []


def test_sales_of_a_manager(pages: dict[str, Looked]) -> None:
    """Managers see all figures; an unknown region means all regions."""
    page = pages["bob's sales"]
    assert "Good to see you, Bob Brown." in page.text and "The link asks for all regions." in page.text
    assert [name for name in ("Alice Andrews", "Dora Diaz", "Your share", revenue()) if name not in page.text] == []


def test_sales_of_somebody_in_no_group(pages: dict[str, Looked]) -> None:
    """Others are told why they see nothing; no figure is sent to their browser."""
    page = pages["carol's sales"]
    assert "Good to see you, Carol Clark." in page.text and "no figures for you" in page.text
    assert "€" not in page.text and "The link asks" not in page.text


def test_sales_callbacks_know_their_visitor(pages: dict[str, Looked]) -> None:
    """Choosing another region shows it to the same person, whose link still asks for the first."""
    page = pages["alice's sales"]
    shown = page.move("DropdownModel", {"index": REGIONS.index("amer")})
    assert revenue("amer", "alice") in shown and "Showing AMER to Alice Andrews. The link asks for EMEA." in shown


def test_customer_of_the_path(pages: dict[str, Looked]) -> None:
    """The path says which customer it is; only the group sees what they order."""
    alice, carol = pages["alice's customer"].text, pages["carol's customer"].text
    assert all("Blue Harbour" in text and "Lisbon" in text and "No. 1002" in text for text in (alice, carol))
    assert "Shown to Alice Andrews" in alice and "Shown to Carol Clark" in carol
    assert "Latest orders" in alice and "Platform licence" in alice
    assert "for the group <strong>sales</strong>" in carol and "Latest orders" not in carol and "€" not in carol


def test_unknown_customer(pages: dict[str, Looked]) -> None:
    """An unknown id gets a polite answer, and what was typed stays text."""
    page = pages["nobody's customer"]
    assert "We have not met" in page.outputs and "Blue Harbour" in page.outputs
    assert "There is no customer <script>alert(1)." in page.text and "<script>alert" not in page.outputs


def test_live_plots_go_to_their_tabs(pages: dict[str, Looked]) -> None:
    """Each tab's frames carry the id of that tab, and are counted for it."""
    tabs = set()
    for name, person in (("alice's plot", "Alice Andrews"), ("carol's plot", "Carol Clark")):
        assert f"for {person}" in pages[name].text and "No tab has moved anything." in pages[name].text
        first = pages[name].move("IntSliderModel", {"value": 40})
        second = pages[name].move("IntSliderModel", {"value": 41})
        ((tab, frames),) = re.findall(r"This tab is (\w{6})\. It has drawn (\d) frames", second)
        assert tab in first and frames == "2"
        tabs.add(tab)
    assert len(tabs) == 2


def test_a_vote_moves_in_the_other_window(pages: dict[str, Looked]) -> None:
    """Alice's vote is drawn on Bob's page, without a word of Bob's; her next visit finds her star and the vote."""
    alice, bob = pages["alice's lunch"], pages["bob's lunch"]
    assert "for Alice Andrews, the first visit" in alice.text and "for Bob" in bob.text
    alice.press("Vote")
    bob.reads("1 of 1")
    alice.move("ToggleButtonModel", {"value": True})
    again = look(alice.opened.visitor.server, "alice", "lunch")
    assert "for Alice Andrews, visit 2" in again.text and "1 of 1" in again.text
    bob.reads("Looking now: .*Alice Andrews")
    stars = [state["state"] for state in again.states.values() if state["state"]["_model_name"] == "ToggleButtonModel"]
    assert [star["value"] for star in stars] == [True, False, False, False]
    assert again.opened.close().status_code == 204


def test_login_believes_its_own_buttons_alone(server: Server) -> None:
    """A forged form, cookie or name admits no visitor or redirects them elsewhere, and a logout forgets the visitor."""
    visitor = server.visitor()
    assert visitor.http.post("login", data={"person": "bob"}).status_code == 403
    assert log_in(visitor, "mallory").status_code == 401
    index = log_in(visitor, "carol", "https://elsewhere.example/")
    assert str(index.url) == server.url and "Carol Clark" in index.text
    assert "You are Carol Clark" in visitor.get("login").text
    assert "Choose" in visitor.get("logout").text
    visitor.http.cookies.set(f"username-127-0-0-1-{index.url.port}", "alice")
    assert "Who are you?" in visitor.get("").text


async def test_without_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any request, as nbconvert runs them, each runs to its end and says what is missing."""
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    shown = dict(zip(NAMES, await asyncio.gather(*(run(tmp_path, name) for name in NAMES)), strict=True))
    assert "There is no request here." in shown["sales"] and "Good to see you, guest." in shown["sales"]
    assert "Which customer?" in shown["customer"]
    assert "There is no request" in shown["live"]
    assert "No server: stars and votes are gone" in shown["lunch"]
    assert [name for name in NAMES if "€" in shown[name]] == []


async def run(folder: Path, name: str) -> str:
    """Run a notebook in its folder and return the HTML that it shows; nothing is printed, nothing fails."""
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=60, resources={"metadata": {"path": str(folder)}}, shutdown_kernel="immediate"
    )
    await client.async_execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert [output for output in outputs if output.output_type in ("error", "stream")] == []
    return "".join(output.data.get(kind, "") for output in outputs for kind in ("text/html", "text/markdown"))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "lunch"])
def test_what_costs_time_comes_before_the_visitor(name: str) -> None:
    """Imports, data and a first figure are done before `app_meta()` is asked: there a warm kernel waits."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    asking = next(index for index, source in enumerate(cells) if "= app_meta()." in source)
    before, after = "".join(cells[:asking]), "".join(cells[asking:])
    assert "import pandas" in before and "\npicture(" in before and "look.mplstyle" in before
    assert "import" not in after and "read_csv" not in after


@pytest.mark.parametrize("name", NAMES)
def test_dashboard_is_stored_clean(name: str) -> None:
    """A dashboard has a title, no outputs and the ordinary Python kernel, and is valid."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source == f"# {notebook.metadata.title}"
    assert dict(notebook.metadata.kernelspec) == {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    for cell in notebook.cells:
        assert cell.cell_type != "code" or (cell.outputs, cell.execution_count) == ([], None)


def test_every_dashboard_is_tested() -> None:
    """No dashboard is forgotten."""
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == list(NAMES)
