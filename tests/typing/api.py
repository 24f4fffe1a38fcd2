"""What users of the package write, as type checkers read it: mypy runs over this file, and nothing imports it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_type

import tornado.web
from jupyter_server.auth.identity import IdentityProvider

from jupyter_app_meta import (
    URL,
    AppMeta,
    Browser,
    Cookies,
    Headers,
    HTTPRequest,
    NotAuthenticated,
    NotClaimed,
    QueryParams,
    SessionInfo,
    UnknownItem,
    User,
    app_meta,
    session,
    shared,
    visitor,
)
from jupyter_app_meta.dashboards import Application, Builder, create_app
from jupyter_app_meta.testing import FakeRequest, fake_request


# --- authors ----------------------------------------------------------------------------------------------------------
def ask() -> str:
    """A cell that greets its visitor."""
    meta = app_meta()
    assert_type(meta, AppMeta)
    assert_type(meta.session, SessionInfo)
    assert_type(meta.user, User | None)
    assert_type(meta.cookies, Cookies | None)
    assert_type(meta.meta, Mapping[str, Any] | None)
    assert_type(meta.browser, Browser)
    assert_type(meta.browser.timezone, str | None)
    meta.page.title = "Sales"
    meta.page.query.set(region="emea")
    meta.page.query.set({"q&a": None}, tag=["a", "b"])
    meta.page.set_cookie("region", "emea", max_age=3600)
    meta.page.redirect("/archive")
    assert_type(session.get("client_id"), Any)
    request = meta.request
    if request is None:
        return f"nobody, in mode {meta.mode}"
    assert_type(request, HTTPRequest)
    assert_type(request.headers, Headers)
    assert_type(request.query_params, QueryParams)
    assert_type(request.url, URL)
    assert_type(request.locale, str | None)
    assert_type(request.headers["accept-language"], str)
    assert_type(request.query_params.getlist("region"), list[str])
    return str(request.url)


def insist() -> str:
    """A cell that makes no sense without a user."""
    try:
        user = app_meta(timeout=600).require_user()
    except (NotAuthenticated, NotClaimed, UnknownItem) as reason:
        return str(reason)
    assert_type(user, User)
    return str(user["username"])


def test_with_a_block() -> None:
    """A test of an author's."""
    with fake_request(user="alice", query={"region": "emea"}, headers=[("accept-language", "en")]) as meta:
        assert_type(meta, AppMeta)
    assert_type(fake_request(), FakeRequest)


@fake_request(user={"username": "bob", "groups": ["editors"]}, cookies={"theme": "dark"})
async def test_that_is_decorated(number: int) -> str:
    """A decorated function keeps its signature."""
    return str(number)


async def call_it() -> None:
    """What is decorated is called as before."""
    assert_type(await test_that_is_decorated(5), str)


async def tell() -> None:
    """Code that sends and receives messages."""

    @session.on("order")
    def show(order: Any) -> None:
        print(order)

    receiver = session.on("order", print)
    receiver.close()
    assert_type(session.send("order", {"dish": "soup"}), None)
    assert_type(visitor.send("order"), None)
    assert_type(shared.send("order", [1, 2]), None)
    assert_type(await session.aio.send("order", 1), None)
    (await session.aio.on("order", show)).close()
    assert_type(await visitor.aio.forget(), int)
    assert_type([(page.page, page.since, page.kernel_id) for page in visitor.pages()], list[tuple[str, datetime, str]])
    for viewer in shared.viewers():
        assert_type((viewer.display_name, viewer.since, viewer.pages), tuple[str, datetime, int])
    assert len(await shared.aio.viewers()) == len(await visitor.aio.pages())
    await shared.aio.send("order", 1)


# --- deployers and developers -----------------------------------------------------------------------------------------
def only_sales(user: User, request: HTTPRequest) -> bool | str:
    """A plain hook."""
    return "sales" in user.groups or "/request-access"


async def ask_directory(user: User, request: HTTPRequest) -> bool:
    """An asynchronous hook."""
    return request.path_params["name"] != "internal"


async def team(request: HTTPRequest) -> Mapping[str, Any]:
    """Fields of the deployer's own."""
    return {"team": "blue"}


def error_page(status: int, request: HTTPRequest | None) -> str | None:
    """An error page, or the server's own."""
    return f"<h1>{status}</h1>" if request else None


def build(provider: type[IdentityProvider]) -> Application:
    """An application."""
    builder = create_app(identity_provider=provider, on_error=error_page, meta=team, warm=2, files=["*.csv"])
    assert_type(builder, Builder)
    more = builder.with_app(path="/sales", root="sales.ipynb", authorize=only_sales, warm=4).with_index()
    more = more.with_dynamic_directory(path="/reports", directory="reports", validate=ask_directory, meta=lambda _: {})
    application = more.build()
    whole: tornado.web.Application = application
    assert whole is application
    return application
