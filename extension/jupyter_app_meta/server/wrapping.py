"""How the server's own classes and objects are wrapped: they keep their names, and an error in our code is harmless.

1. A class or object is wrapped, not replaced, and is wrapped only once.
2. If our code raises an error, the error is logged, and the server works as if the extension were not there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    Log = logging.Logger | logging.LoggerAdapter[Any]

C = TypeVar("C", bound=type)

MARK = "_app_meta_wrapped"
"""The attribute that marks an object as already wrapped."""


def is_first(thing: object) -> bool:
    """Mark an object as wrapped; return whether it was not marked before."""
    if getattr(thing, MARK, False):
        return False
    setattr(thing, MARK, True)
    return True


def subclass(base: C, mixin: type, **attributes: object) -> C:
    """Return a class of the base's name in which the mixin's methods come before the base's."""
    names: dict[str, Any] = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        **attributes,
    }
    made: C = type(base)(base.__name__, (mixin, base), names)
    return made


@contextmanager
def harmless(log: Log) -> Iterator[None]:
    """Log only the type of an error, because its text may hold a visitor's data, and go on."""
    try:
        yield
    except Exception as error:
        log.warning("jupyter-app-meta: a connection goes unstamped (%s).", type(error).__name__)
