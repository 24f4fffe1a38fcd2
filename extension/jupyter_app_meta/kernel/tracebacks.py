"""How the kernel of a dashboard's page shows exceptions: as ``error`` messages, and by no other route.

The server keeps an ``error`` message from the visitor and logs it. Libraries and authors change how IPython shows an
exception: ``rich.traceback.install()`` displays it, and IPython prints the error of a failed custom handler to stdout.
Both would reach the visitor.

1. The methods that show exceptions stay IPython's own. A replacement is not used.
2. A subclass of NotAuthenticated is named NotAuthenticated, because the server knows errors only by their names.
3. A custom handler (``set_custom_exc``) runs. If it fails, both exceptions are shown as ``error`` messages.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import MethodType
from typing import Any

from ..errors import NotAuthenticated

FIXED = ("showtraceback", "_showtraceback", "showsyntaxerror", "show_usage_error")
"""The methods that show exceptions."""

Handler = Callable[..., Any]


def fix(shell: Any) -> None:
    """Make a shell show exceptions as IPython does, for good. Idempotent."""
    base: Any = type(shell)
    if getattr(base, "app_meta_fixed", False):
        return
    for name in (*FIXED, "set_custom_exc"):
        vars(shell).pop(name, None)
    names = {name: _fixed(name, getattr(base, name)) for name in FIXED if hasattr(base, name)}
    if "_showtraceback" in names:
        names["_showtraceback"] = _fixed("_showtraceback", _naming(base._showtraceback))
    own = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    handled = {"app_meta_fixed": True, "set_custom_exc": _careful_setter(base)}
    metaclass: Any = type(base)
    shell.__class__ = metaclass(base.__name__, (base,), {**own, **names, **handled})


def _naming(show: Handler) -> Handler:
    """Return a method that shows an exception, and names a subclass of NotAuthenticated ``NotAuthenticated``."""

    def _showtraceback(shell: Any, etype: Any, evalue: Any, stb: Any) -> Any:
        return show(shell, NotAuthenticated if issubclass(etype, NotAuthenticated) else etype, evalue, stb)

    return _showtraceback


def _fixed(name: str, method: Handler) -> property:
    """Return an attribute that stays this method, even if something else is assigned to it."""

    def get(shell: Any) -> Any:
        return MethodType(method, shell)

    def put(shell: Any, value: object) -> None:
        sys.stderr.write(f"The shell's {name} stays IPython's own on a page, so that errors reach the server's log.\n")

    def forget(shell: Any) -> None:
        """Do nothing, because nothing was assigned."""

    return property(get, put, forget)


def _careful_setter(base: Any) -> Handler:
    def set_custom_exc(shell: Any, exc_tuple: tuple[type[BaseException], ...], handler: Handler | None) -> None:
        """Set a handler for some exceptions; see IPython's own method."""
        base.set_custom_exc(shell, exc_tuple, _careful(handler))

    return set_custom_exc


def _careful(handler: Handler | None) -> Handler:
    """Return a handler that does not fail. IPython would print the exception of a failed handler to stdout."""

    def handle(shell: Any, etype: Any, value: Any, tb: Any, tb_offset: int | None = None) -> Any:
        original = (etype, value, tb)
        if handler is None:
            shell.showtraceback(original, tb_offset=tb_offset)
            return None
        try:
            return _checked(handler(shell, etype, value, tb, tb_offset=tb_offset))
        except BaseException:  # IPython catches the same
            shell.set_custom_exc((), None)
            shell.showtraceback()
            shell.showtraceback(original, tb_offset=tb_offset)
            return None

    return handle


def _checked(result: Any) -> Any:
    """Return a handler's result if it is allowed. Raises TypeError, whose text contains nothing of the result."""
    lines = [] if result is None else [result] if isinstance(result, str) else result
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise TypeError("An exception handler must return None, a string or a list of strings.")
    return result
