"""What the guides for ASGI hosts say: their code runs, and their tables are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from jupyter_app_meta.asgi import create_asgi_app

# --- from marimo ------------------------------------------------------------------------------------------------------

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "from-marimo.md"


def test_the_guide_from_marimo_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All code of the guide runs from top to bottom, in a folder with notebooks of those names."""
    for name in ("pages/index", "pages/dashboard", "notebooks/one", "notebooks/two"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text("# %%\nprint(1)\n")
    monkeypatch.chdir(tmp_path)
    found = re.findall(r"^```\{code-block\} python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 3
    names: dict[str, Any] = {}
    for code in found:
        exec(code, names)
    assert [mount.route.path for mount in names["server"].dashboards.mounts] == ["/one", "/two"]
    names["directory"].build()


@pytest.mark.parametrize("name", ["quiet", "include_code", "token", "asset_url"])
def test_no_option_of_marimos_is_ignored(name: str) -> None:
    """The guide names those that do not exist here."""
    option: dict[str, Any] = {name: None}
    with pytest.raises(TypeError, match=name):
        create_asgi_app(**option)
    assert f"| `{name}` | not an option" in GUIDE.read_text("utf-8")


# --- what the guide to deployment says --------------------------------------------------------------------------------


async def test_a_dependency_of_fastapis_does_not_reach_a_mount_and_middleware_does(tmp_path: Path) -> None:
    """As the table says: FastAPI asks dependencies for its own routes only."""

    def refuse() -> None:
        raise HTTPException(401)

    class Closed(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            """Refuse."""
            return Response(status_code=402)

    (tmp_path / "page.py").write_text("# %%\n1\n")
    made = create_asgi_app(cookie_secret=bytes(32)).with_app(path="/", root=tmp_path / "page.py").build()
    app = FastAPI(dependencies=[Depends(refuse)], lifespan=made.lifespan)
    app.get("/own")(lambda: "ours")
    app.mount("/dash", made)
    transport = httpx.ASGITransport(app)
    async with made.lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
        assert [(await browser.head("/dash/")).status_code, (await browser.get("/own")).status_code] == [200, 401]
        app.middleware_stack = None
        app.add_middleware(Closed)
        assert (await browser.head("/dash/")).status_code == 402


@pytest.mark.parametrize("path", ["/dash/", "/portal/dash/"], ids=["FastAPI(root_path=)", "uvicorn --root-path"])
async def test_links_have_the_prefix_that_a_proxy_removes(tmp_path: Path, path: str) -> None:
    """uvicorn puts the prefix before the path again, FastAPI does not: the list's links have it once, either way."""
    (tmp_path / "page.py").write_text("# %%\n1\n")
    made = (
        create_asgi_app(cookie_secret=bytes(32)).with_index().with_app(path="/page", root=tmp_path / "page.py").build()
    )
    served_by_uvicorn = path.startswith("/portal")
    app = FastAPI()
    app.root_path = "" if served_by_uvicorn else "/portal"  # its parameter is deprecated
    app.mount("/dash", made)
    transport = httpx.ASGITransport(app, root_path="/portal" if served_by_uvicorn else "")
    async with made.lifespan(app), httpx.AsyncClient(transport=transport, base_url="https://127.0.0.1") as browser:
        answer = await browser.get(path)
    assert 'href="/portal/dash/page"' in answer.text
    assert all("Path=/portal/dash/" in line and "Secure" in line for line in answer.headers.get_list("set-cookie"))
    assert answer.headers.get_list("set-cookie")
