"""The query of a dashboard's page where notebooks written for Voila look for it: ``os.environ["QUERY_STRING"]``.

1. The variable has the query of the request that ``app_meta()`` returns in the same place. A kernel that is run ahead
   waits here for its visitor, and so does ``voila.utils.get_query_string()``, which reads the variable.
2. The variable is not stored: ``os.environ`` does not list it, and processes that a cell starts do not inherit it.
3. Code that belongs to no request, such as a library's thread, finds it absent, with one warning.
"""

from __future__ import annotations

import os
import warnings
from functools import lru_cache

from ..model import HTTPRequest
from .context import app_meta

QUERY, ADDRESS = "QUERY_STRING", "VOILA_REQUEST_URL"


class _Answering(os._Environ[str]):
    """The process's environment, with the variables of the page whose code asks."""

    def __getitem__(self, name: str) -> str:
        try:
            return super().__getitem__(name)
        except KeyError:
            value = _of_page(name) if name in (QUERY, ADDRESS) else None
            if value is None:
                raise
            return value

    def __delitem__(self, name: str) -> None:
        if name not in (QUERY, ADDRESS) or self._is_stored(name):  # a variable that is not stored need not be removed
            super().__delitem__(name)

    def setdefault(self, name: str, value: str) -> str:
        if name in (QUERY, ADDRESS) and not self._is_stored(name):
            self[name] = value
        return super().setdefault(name, value)

    def _is_stored(self, name: str) -> bool:
        return any(name == stored for stored in self)


def answer() -> None:
    """Answer for the page's variables from now on. Idempotent."""
    if type(os.environ) is os._Environ:
        _become(_Answering)


def keep_silent() -> None:
    """Undo ``answer``."""
    if type(os.environ) is _Answering:
        _become(os._Environ)


def _become(kind: type[os._Environ[str]]) -> None:
    os.environ.__class__ = kind  # the object stays, because os.getenv and other modules already hold it


def _of_page(name: str) -> str | None:
    meta = app_meta()
    request: HTTPRequest | None = meta.request if meta.mode in ("run", "test") else None
    if request is None or request.via != "page":
        _warn_once(name)
        return None
    return request.url.query if name == QUERY else str(request.url)


@lru_cache(maxsize=2)
def _warn_once(name: str) -> None:
    said = (
        f"{name} is not known here: this code belongs to no visitor's request. "
        "Read app_meta().request.query_params in a cell, and pass the value on."
    )
    warnings.warn(said, RuntimeWarning, stacklevel=5)
