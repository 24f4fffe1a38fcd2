"""Identity providers that servers under test are configured with; imported by their config files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from jupyter_server.auth import IdentityProvider, User


class People(IdentityProvider):
    """Believes the cookie ``person``: good enough to be several people on one test server."""

    def get_user(self, handler: Any) -> User | None:
        """Return the person of the cookie; None without one."""
        name = handler.get_cookie("person")
        return User(username=unquote(name), display_name=unquote(name).title()) if name else None


@dataclass
class Employee(User):
    """A user with fields of the deployer's own."""

    email: str = ""
    access_token: str = "tok-CANARY"
    badge: object = None


class Odd(People):
    """Returns whatever the cookie ``form`` asks for."""

    def get_user(self, handler: Any) -> Any:
        """Return a user in one of the forms that providers in the field return."""
        name = handler.get_cookie("person")
        forms: dict[str, Any] = {
            "str": name,
            "dict": {"username": name, "name": "Al Ice", "groups": ["g1"], "email": "a@b.c"},
            "hubdict": {"kind": "user", "name": name, "admin": True, "groups": ["root"], "scopes": ["all"]},
            "subclass": Employee(name or "x", email="a@b.c", badge=object()),
            "int": 42,
            "list": [name],
        }
        form = handler.get_cookie("form")
        if form == "raises" and "channels" in handler.request.path:
            raise RuntimeError("the provider is broken")
        return forms.get(form, super().get_user(handler)) if form else super().get_user(handler)
