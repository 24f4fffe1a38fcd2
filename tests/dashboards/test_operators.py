"""What operators see of a server: its health, its metrics, its log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from harness import Server, without_kernels
from stage import WHO, eventually, served, serving_folder, visit, write

from jupyter_app_meta.dashboards import DashboardError, create_app

TOKEN = "a-token-of-sixteen-characters"
RECORD = r"^\[{} \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}} [\w.]+\]"
STORES = "from jupyter_app_meta import session\nsession.state['seen'] = True"
STARTS = ("warm", "cold", "forked")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a warm kernel for each notebook, which logs JSON and names no visitor."""
    home = tmp_path_factory.mktemp("operators")
    write(home / "root" / "page.ipynb", WHO, STORES, "1 / 0")
    options = ("--identity-provider=providers.People", "--log-json", "--Serve.log_users=False", "--warm=1")
    with serving_folder(home, ".", *options) as server:
        yield server


def metric(text: str, name: str) -> float:
    """Return the value of a metric; 0 if it is not there yet."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_a_page_is_counted_and_has_one_line(server: Server) -> None:
    """A server gets ready. The metrics count a page by how it began and ended. They and its line name no visitor."""
    http = server.visitor().http
    assert http.get("healthz").text == "ok\n"
    eventually(lambda: http.get("healthz?ready").status_code == 200)
    visit(server, "alice", "page", region="emea").close()

    def read() -> str:
        return http.get("metrics").text

    starts = [f'start="{start}"' for start in STARTS]
    eventually(
        lambda: sum(metric(read(), f'app_meta_pages_total{{outcome="failed",{start}}}') for start in starts) == 1
    )
    text = read()
    assert "http_request_duration_seconds_count" in text and metric(text, "app_meta_store_up") == 1
    assert not re.search("alice|emea|page.ipynb|/page", text)
    assert sum(metric(text, f"app_meta_page_seconds_count{{{start}}}") for start in starts) == 1
    assert metric(text, 'app_meta_state_operations_total{result="done"}') >= 1
    assert visit(server, "alice", "absent").response.status_code == 404
    assert metric(read(), 'app_meta_refusals_total{status="404"}') >= 1
    lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    [line] = [line for line in lines if line["message"].startswith("page 200")]
    assert (line["path"], line["status"], line["level"]) == ("/page", 200, "info")
    assert re.fullmatch(r"~[0-9a-f]{12}", line["user"]) and line["start"] in STARTS and line["ms"] >= 0
    assert [line for line in lines if line["level"] == "error" and "ZeroDivisionError" in line["message"]]


def test_all_records_are_json(server: Server) -> None:
    """Programs that collect logs read each line, whichever library writes it. Open pages and kernels are counted."""
    opened = visit(server, "alice", "page")
    opened.listen()
    text = server.visitor().http.get("metrics").text
    assert metric(text, "app_meta_kernels") >= metric(text, "app_meta_pages") >= 1
    lines = without_kernels(server.log).splitlines()
    assert lines and all({"time", "level", "logger", "message"} <= set(json.loads(line)) for line in lines)


@pytest.mark.parametrize("flags", [(), ("--debug",)], ids=["usual", "debug"])
def test_each_record_has_a_time_and_a_level(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """What jupyter_server says of each kernel is for those who look for a fault; a page has its one line."""
    write(tmp_path / "root" / "page.ipynb", WHO)
    with serving_folder(tmp_path, ".", "--identity-provider=providers.People", *flags) as server:
        opened = visit(server, "alice", "page")
        opened.listen()
        opened.close()
        eventually(
            lambda: re.search(
                RECORD.format("I") + r" page 200 alice /page \d+ms (cold|forked)$", server.log, re.MULTILINE
            )
        )
        lines = without_kernels(server.log).splitlines()
    assert [line for line in lines if not re.match(RECORD.format("[DIWEC]") + "|    ", line)] == []
    started = [line for line in lines if "Kernel started" in line]
    assert [line[:2] for line in started] == (["[D"] * 2 if flags else [])


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "10.0.0.7"},
        {"X-Forwarded-Proto": "https"},
        {"Forwarded": "for=10.0.0.7"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "10.0.0.7"},
        {"Host": "dashboards.example.org"},
    ],
)
async def test_metrics_are_for_this_machine(tmp_path: Path, headers: Mapping[str, str]) -> None:
    """A request that a proxy may have passed on, or a website has sent, gets no metrics; health is public."""
    async with served(create_app().with_dynamic_directory(path="/", directory=tmp_path)) as http:
        assert (await http.get("/metrics")).status_code == 200
        refused = await http.get("/metrics", headers=headers)
        assert refused.status_code == 403 and "app_meta" not in refused.text.replace("app_meta_", "")
        assert (await http.get("/healthz", headers=headers)).status_code == (403 if "Host" in headers else 200)


@pytest.mark.parametrize(
    "options",
    [
        {"public_url": "https://example.org/"},
        {"trust_xheaders": True},
        {"config": {"AppMetaExtension": {"trusted_proxies": ["127.0.0.0/8"]}}},
    ],
)
async def test_metrics_are_refused_behind_a_proxy(tmp_path: Path, options: Mapping[str, Any]) -> None:
    """If an option says that there is a proxy, no address counts."""
    async with served(create_app(**options).with_dynamic_directory(path="/", directory=tmp_path)) as http:
        assert (await http.get("/metrics")).status_code == 403


async def test_a_token_opens_the_metrics(tmp_path: Path) -> None:
    """With a token, the address counts no more, and a page's login is another thing."""
    app = create_app(metrics_token=TOKEN, token="sesame", base_url="/apps/").with_dynamic_directory(
        path="/", directory=tmp_path
    )
    async with served(app) as http:
        for given in (None, f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", "token sesame"):
            headers = {"Authorization": given} if given else {}
            assert (await http.get("/apps/metrics", headers=headers)).status_code == 403
        for path in ("metrics", "api/app-meta/metrics"):
            answer = await http.get(f"/apps/{path}", headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.status_code == 200 and TOKEN not in answer.text
    with pytest.raises(DashboardError, match="metrics_token is of type str: give a str of at least 16"):
        create_app(metrics_token="short").build()


async def test_a_page_comes_first(tmp_path: Path) -> None:
    """A notebook of that name keeps its address, in a directory and at a path; the other address always works."""
    write(tmp_path / "metrics.ipynb", WHO)
    for app in (
        create_app().with_dynamic_directory(path="/", directory=tmp_path),
        create_app().with_app(path="/metrics", root=tmp_path / "metrics.ipynb"),
    ):
        async with served(app) as http:
            assert "text/html" in (await http.head("/metrics")).headers["content-type"]
            assert "app_meta_pages" in (await http.get("/api/app-meta/metrics")).text
