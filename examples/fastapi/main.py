"""A FastAPI application with a login of its own and two dashboards in it. Run it with ``uvicorn main:app``."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response

from jupyter_app_meta import HTTPRequest, User, create_asgi_app

NOTEBOOKS = Path(__file__).parent / "notebooks"

# --- the login: yours is a database, or OpenID Connect ---

PEOPLE: Mapping[str, Mapping[str, Any]] = {
    "alice": {"password": "wonderland", "name": "Alice Andrews", "groups": ["sales", "finance"]},
    "bob": {"password": "builder", "name": "Bob Brown", "groups": ["sales"]},
}
sessions: dict[str, str] = {}

PAGE = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<title>Our company</title><link rel="icon" href="data:,"><style>
:root {{ color-scheme: light dark; font: 1rem system-ui }}
body {{ max-width: 30rem; margin: auto; padding: 1rem }}
input, button {{ font: inherit; padding: .3rem .6rem }}</style><body>{body}"""
FORM = """<h1>Log in</h1><form method="post">
<p><label>Name<br><input name="username" autocomplete="username" required></label>
<p><label>Password<br><input name="password" type="password" autocomplete="current-password" required></label>
<p><button>Log in</button></form>"""
HOME = """<h1>Our company</h1><p>You are {name}.
<p><a href="/dash/">Dashboards</a><form method="post" action="/logout"><button>Log out</button></form>"""


class Login(BaseHTTPMiddleware):
    """Leads strangers to the login, and says who each visitor is."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Put the visitor into the scope."""
        username = sessions.get(request.cookies.get("session", ""))
        if username is None and request.url.path != "/login":
            return RedirectResponse("/login", 303)
        if username is not None:
            person = PEOPLE[username]
            request.scope["user"] = {
                "is_authenticated": True,
                "username": username,
                "display_name": person["name"],
                "groups": person["groups"],
            }
        return await call_next(request)


app = FastAPI()
app.add_middleware(Login)


@app.get("/")
async def home(request: Request) -> HTMLResponse:
    """Show who is logged in."""
    return HTMLResponse(PAGE.format(body=HOME.format(name=escape(request.scope["user"]["display_name"]))))


@app.get("/login")
async def ask() -> HTMLResponse:
    """Show the form."""
    return HTMLResponse(PAGE.format(body=FORM))


@app.post("/login")
async def log_in(request: Request) -> Response:
    """Begin a session."""
    form = {name: values[0] for name, values in parse_qs((await request.body()).decode("latin-1")).items()}
    username, password = form.get("username", ""), form.get("password", "")
    known = str(PEOPLE[username]["password"]) if username in PEOPLE else ""
    if not known or not secrets.compare_digest(known.encode(), password.encode()):
        return HTMLResponse(PAGE.format(body=f"<p>Name and password do not match.{FORM}"), 401)
    session = secrets.token_urlsafe()
    sessions[session] = username
    answer = RedirectResponse("/", 303)
    answer.set_cookie("session", session, httponly=True, samesite="lax", secure=request.url.scheme == "https")
    return answer


@app.post("/logout")
async def log_out(request: Request) -> Response:
    """End a session."""
    sessions.pop(request.cookies.get("session", ""), None)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie("session")
    return answer


# --- the dashboards ---


def only_finance(user: User, request: HTTPRequest) -> bool:
    """Decide who may see the budget."""
    return "finance" in user.groups


def office(request: HTTPRequest) -> dict[str, str]:
    """Return a field of ours, which the notebooks find in ``app_meta().request.meta``."""
    return {"office": "Rome" if request.user and request.user.username == "alice" else "Oslo"}


dashboards = (
    create_asgi_app(meta=office)
    .with_index()
    .with_app(path="/sales", root=NOTEBOOKS / "sales.py")
    .with_app(path="/budget", root=NOTEBOOKS / "budget.py", authorize=only_finance)
)
dashboards.mount(app, "/dash")
