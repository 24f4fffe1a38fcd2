"""Recipes of the documentation work as they stand there."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import websocket
from nginx import nginx, program
from stage import WHO, serving_folder, write

RECIPE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "behind-nginx.md").read_text("utf-8")
HOST = "dashboards.example.org"


def fence(language: str) -> str:
    """Return the first block of a language in the recipe."""
    [found, *_] = re.findall(rf"```{language}\n(.*?)```", RECIPE, re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of an nginx with the recipe's text, in front of a server with the recipe's options."""
    program()
    home = tmp_path_factory.mktemp("recipe")
    write(home / "root" / "page.ipynb", WHO)
    options = [word for word in shlex.split(fence("console")) if word.startswith(("--base", "--local", "--AppMeta"))]
    assert len(options) == 3
    with serving_folder(home, ".", *options, prefix="/apps/") as behind:
        recipe = fence("nginx").replace("listen 80;", f"listen unix:{home}/door;")
        recipe = recipe.replace("127.0.0.1:8866", f"127.0.0.1:{urlsplit(behind.url).port}")
        with nginx(home, recipe, (home / "door").exists):
            yield home / "door"


def test_a_page_and_its_socket_work_behind_the_documented_nginx(door: Path) -> None:
    """A visitor sees the page under the proxy's address, and the browser's socket is let in; another site's is not."""
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(door)), base_url=f"http://{HOST}/apps/", timeout=60, follow_redirects=True
    ) as http:
        answer = http.get("page", headers={"Accept": "text/html"})
        assert answer.status_code == 200
        [kernel] = re.findall(r'"kernelId": "([0-9a-f-]{36})"', answer.text)
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in http.cookies.jar)
        assert connects(door, kernel, cookies, f"http://{HOST}")
        assert not connects(door, kernel, cookies, "http://elsewhere.example")


def connects(door: Path, kernel: str, cookies: str, origin: str) -> bool:
    """Whether a page of this origin may connect to the kernel."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(30)
        stream.connect(str(door))
        url = f"ws://{HOST}/apps/api/kernels/{kernel}/channels"
        try:
            websocket.create_connection(url, socket=stream, cookie=cookies, origin=origin).shutdown()
        except websocket.WebSocketBadStatusException as error:
            if error.status_code != 403:
                raise
            return False
        return True
