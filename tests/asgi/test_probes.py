"""The same questions to each ASGI server and to tornado's own; the answers are the same, but for those listed."""

from __future__ import annotations

import asyncio
import csv
import re
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
import tornado
from hosts import HOSTS, running
from probes import PROBES, Host
from zoo import application

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),  # uvicorn's old WebSockets are still supported
    pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning"),  # what servers leave open
]

ASGI = [name for name in HOSTS if name != "tornado"]
TLS = ssl.create_default_context()  # one for all clients: it takes longer than a request
TABLE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "asgi-differences.csv"
DIFFERENCES = list(csv.DictReader(TABLE.read_text("utf-8").splitlines()))
ANSWERS: dict[tuple[str, str], Any] = {
    ("body_too_large", "*"): "413",
    ("chunked_body_too_large", "*"): "413",
    ("empty_query", "*"): 0,
    ("socket_closes_plainly", "*"): [1000, ""],
    ("socket_handler_raises", "*"): [1011, ""],
    ("socket_message_too_big", "*"): 1009,
    ("socket_messages", "granian"): [
        "v1.kernel.websocket.jupyter.org",
        None,
        [],
        ["str", True],
        ["bytes", True],
        ["str", True],
        1000000,
        True,
        "1",
        ["slow done", "after"],
        [4001, "bye"],
        None,
    ],
    ("codes_heard", "hypercorn"): [[None, None], [None, None]],
    ("codes_heard", "granian"): [[4123, None], [None, None]],
}
"""What hosts answer where the table lists a difference, by its question and servers."""
SILENT = [int(part) for part in re.findall(r"\d+", version("uvicorn"))] < [0, 30, 2]
"""Whether this uvicorn is too old to tell an application the reason of a client's close."""


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Every host, running the application; its port by its name."""
    with ExitStack() as stack:
        folders = {name: tmp_path_factory.mktemp(name) for name in HOSTS}
        yield {name: stack.enter_context(running(name, application(folders[name]))) for name in HOSTS}


async def ask(name: str, port: int, probe: str) -> Any:
    """Ask one question of a host. tornado before 6.6 leaves a socket open whose async handler fails."""
    address = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=address, timeout=20, trust_env=False, verify=TLS) as client:
        try:
            return await PROBES[probe](Host(port, client))
        except TimeoutError:
            if name != "tornado" or tornado.version_info >= (6, 6):
                raise
            return "nothing"


def expected(host: str, probe: str, tornados: Any) -> Any:
    """Return what a host is to answer: what tornado does, or what the table lists."""
    for row in DIFFERENCES:
        if row["question"] == probe and any(fnmatch(host, server) for server in row["servers"].split()):
            return ANSWERS[probe, row["servers"]]
    if SILENT and probe == "codes_heard" and host.startswith("uvicorn"):
        return ANSWERS[probe, "granian"]
    return tornados


@pytest.mark.parametrize("probe", PROBES)
async def test_each_host_answers_as_tornado_does(ports: dict[str, int], probe: str) -> None:
    """Every answer is tornado's, or the one that the table lists."""
    answers = dict(
        zip(ports, await asyncio.gather(*(ask(name, port, probe) for name, port in ports.items())), strict=True)
    )
    tornados = answers.pop("tornado")
    odd = {name: got for name, got in answers.items() if got != expected(name, probe, tornados)}
    assert not odd, f"tornado: {tornados}"


def test_table_of_differences_names_what_there_is() -> None:
    """Each row names a question, hosts that are asked, both answers and why the difference does no harm."""
    for row in DIFFERENCES:
        assert row["question"] in PROBES
        assert all(any(fnmatch(host, server) for host in ASGI) for server in row["servers"].split())
        assert row["tornado"] and row["here"] and row["why"]
    assert [*ANSWERS] == [(row["question"], row["servers"]) for row in DIFFERENCES]
