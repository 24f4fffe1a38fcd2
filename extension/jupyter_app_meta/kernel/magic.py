"""``%app_meta`` shows the running cell's request; ``%%app_meta`` runs one cell under a fake one.

1. A path is ``user.username`` or ``user username``; ``query`` is short for ``query_params``. A
   whole is shown masked, a value is given when it is asked for by its name.
2. An unknown or withheld name, or a bad assignment, ends in one line, not in a traceback.
3. ``%%app_meta`` leaves the cell a cell. Its first line becomes the expression of a ``with``
   statement, its parsed statements become the body: ``await``, tracebacks, variables and the
   displayed last expression are IPython's own, and the fake ends with the block in any case.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from .. import policy
from ..datastructures import URL, Headers
from ..errors import AppMetaError, UnknownField
from ..model import AppMeta, HTTPRequest, SessionInfo, User
from ..testing import FakeRequest, fake_request
from . import display
from .context import app_meta

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

MAGIC = "app_meta"
ALIASES = {"query": "query_params"}
OF_THE_CODE = ("mode", "session")
FIRST = ("user", "url", "headers", "cookies", "query", *OF_THE_CODE)
ROOTS = (*FIRST, "request", *(item.name for item in fields(HTTPRequest) if item.name not in FIRST))
EMPTY = HTTPRequest("GET", URL(""), URL(""), user=User())
MOST_NAMES = 24

LISTS = ("headers", "query")
MAPPINGS = ("cookies", "path_params", "meta")
FAKEABLE = ("user.NAME", *(f"{kind}.NAME" for kind in (*LISTS, *MAPPINGS)), "session.NAME", "url")
FACTS = {"true": True, "false": False, "none": None}
CHOICES = {
    "is_authenticated": ("true", "false"),
    "admin": ("true", "false"),
    "is_owner": tuple(FACTS),
    "kind": ("user", "service", "anonymous"),
    "assurance": tuple(display.ASSURANCES),
}

Error = TypeVar("Error", bound=AppMetaError)

_typed = re.compile(r"(%%?)app_meta\s+((?:\S+\s+)*)(\S*)$")
_plain_name = re.compile(r"[\w.:@~+-]+")


def register(shell: InteractiveShell) -> None:
    """Give the shell the magics and their completion; a second call changes nothing."""
    from IPython.core.completer import context_matcher

    unregister(shell)
    shell.magics_manager.register_function(show, "line", MAGIC)
    shell.magics_manager.register_function(run_faked, "cell", MAGIC)
    shell.input_transformers_cleanup.append(expose)
    shell.ast_transformers.append(Enclose(shell))
    shell.Completer.custom_matchers.append(context_matcher(priority=100, identifier=MAGIC)(complete))


def unregister(shell: InteractiveShell) -> None:
    """Undo ``register``; without one, change nothing."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop(MAGIC, None)
    vars(shell.magics_manager.user_magics).pop(MAGIC, None)
    for hooks in (shell.input_transformers_cleanup, shell.ast_transformers, shell.Completer.custom_matchers):
        hooks[:] = [hook for hook in hooks if hook not in (expose, complete) and not isinstance(hook, Enclose)]


def show(line: str) -> Any:
    """Show the request of the running cell, or give a part of it.

    %app_meta                             who asks, for what, and which values are there (masked)
    %app_meta user                        a part; also: url, headers, cookies, query, session, mode, ...
    who = %app_meta user.username         a value; "user username" is the same
    %app_meta headers accept-language     the one value of a header, cookie or query parameter
    %app_meta redacted                    what the server withholds, and which option opens it
    %app_meta --json                      any of these as JSON; what was not asked for by name is masked
    """
    if line.startswith(("(", ".")):  # IPython takes a name that is not defined for its magic
        raise one_line(UnknownField("To call the function, import it first: from jupyter_app_meta import app_meta"))
    words = _words(line)
    path = [word for word in words if word != "--json"]
    value = look_up(app_meta(), path) if path else app_meta()
    return value if path == words else display.as_json(value)


def look_up(meta: AppMeta, words: Sequence[str]) -> Any:
    """Return what a path leads to; None, with a sentence that says why, where it is not known.

    Raises UnknownField for a name that is not there, and says so where it is withheld.
    """
    root, _, rest = ".".join(words).removeprefix("request.").partition(".")
    if root not in ROOTS:
        raise one_line(UnknownField(_unknown("app_meta", root, ROOTS)))
    root, request = ALIASES.get(root, root), meta.request
    if root in OF_THE_CODE:
        return _descend(meta[root], root, rest, request or EMPTY)
    if request is None:
        return _say(f"{display.NO_REQUEST} {display.REMEDY}")
    whole = {"request": request, "redacted": display.Withheld(request.redacted)}
    return _descend(whole[root] if root in whole else request[root], root, rest, request)


def _descend(value: Any, path: str, rest: str, request: HTTPRequest) -> Any:
    while rest and value is not None:
        names = names_of(value)
        wanted = rest.lower() if isinstance(value, Headers) else rest
        name = max((known for known in names if f"{wanted}.".startswith(f"{known}.")), key=len, default=None)
        if name is None:
            raise one_line(UnknownField(_missing(path, wanted, names, request)))
        value, path, rest = _item(value, name), f"{path}.{name}", rest[len(name) + 1 :]
    if value is not None:
        return value
    if path in tuple(request.redacted):
        raise one_line(UnknownField(_withheld(path)))
    return _say(f"{display.visible(path)} is not known here.")


def names_of(value: Any) -> tuple[str, ...]:
    """Return the names of a value's items; none for a single value."""
    keys = getattr(value, "keys", None)
    return tuple(dict.fromkeys(keys())) if keys else getattr(value, "_fields", ())


def _item(value: Any, name: str) -> Any:
    return value[name] if hasattr(value, "keys") else getattr(value, name)


def _missing(path: str, name: str, names: Sequence[str], request: HTTPRequest) -> str:
    item = f"{path}.{name}".replace("query_params.", "query.", 1)  # as ``redacted`` has it
    if item in tuple(request.redacted):
        return _withheld(item)
    if item in tuple(request.truncated):
        return f"{display.visible(item)} was sent, but did not fit into the stamp."
    return _unknown(path, name, names)


def _withheld(item: str) -> str:
    return f"{display.visible(item)} is withheld from notebooks. What opens it: {display.visible(policy.remedy(item))}."


def _unknown(whole: str, name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, 1)
    hint = f" Did you mean {display.visible(near[0])}?" if near else ""
    listed = [display.visible(known) for known in names[:MOST_NAMES]]
    more = [f"and {len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    return f"{whole} has no '{display.visible(name)}'.{hint} It has: {', '.join(listed + more) or 'nothing'}."


def one_line(error: Error) -> Error:
    """Return the error as one that IPython shows without a traceback."""
    line = f"{type(error).__name__}: {error}"
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]  # IPython's protocol
    return error


def _misused(sentence: str) -> Exception:
    from IPython.core.error import UsageError

    return UsageError(sentence)


def _say(sentence: str) -> None:
    print(sentence)  # noqa: T201  # a magic's output


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise _misused(f"{error}: {display.visible(line)}") from None


def run_faked(line: str, cell: str | None) -> FakeRequest | None:
    """Run the cell under a fake request.

    %%app_meta user.username=alice user.groups=editors,staff query.region=emea headers.accept-language=de

    Can be set: user.NAME, headers.NAME, cookies.NAME, query.NAME, path_params.NAME, meta.NAME,
    session.NAME and url. Quote what has spaces: user.name="Alice Liddell".
    """
    from IPython.core.getipython import get_ipython

    fake = fake_of(line)
    if cell is None:  # as ``expose`` has it
        return fake
    shell = get_ipython()
    assert shell is not None  # whose magic this is
    with fake:
        shell.run_cell(cell)
    return None


def fake_of(line: str) -> FakeRequest:
    """Return the fake request that the assignments describe."""
    given: dict[str, Any] = {}
    for word in _words(line):
        path, equals, value = word.partition("=")
        if not equals:
            raise _misused(f"'{display.visible(word)}' is not an assignment such as user.username=alice.")
        _assign(given, path, value)
    if not given:
        raise _misused("%%app_meta needs to know as whom to run the cell, for example user.username=alice.")
    try:
        return fake_request(**given)
    except ValueError as error:
        raise _misused(f"There can be no such request: {error}.") from None


def _assign(given: dict[str, Any], path: str, value: str) -> None:
    root, _, name = path.partition(".")
    root = "query" if root in ALIASES.values() else root
    if path == "url":
        given["url"] = value
    elif root == "user":
        given.setdefault(root, {})[name or "username"] = _user_value(name, value)
    elif root in LISTS and name:
        given.setdefault(root, {}).setdefault(name, []).append(value)
    elif (root in MAPPINGS and name) or (root == "session" and name in SessionInfo()):
        given.setdefault(root, {})[name] = value
    else:
        raise one_line(UnknownField(_unknown("A fake request", path, FAKEABLE)))


def _user_value(name: str, value: str) -> Any:
    """Return the value in the type of the field; a field that is nearly a known one is a slip of the pen."""
    if name and name not in User.defaults and get_close_matches(name, User.defaults, 1, 0.8):
        raise one_line(UnknownField(_unknown("user", name, tuple(User.defaults))))
    if name == "groups":
        return tuple(filter(None, value.split(",")))
    choices = CHOICES.get(name)
    if choices and value not in choices:
        raise _misused(f"user.{name} is one of {', '.join(choices)}, not '{display.visible(value)}'.")
    return FACTS.get(value, value) if choices else value


def expose(lines: list[str]) -> list[str]:
    """Turn the first line of an ``%%app_meta`` cell into a statement, so that the others stay a cell."""
    from IPython.core.inputtransformer2 import cell_magic

    if len(lines) < 2 or not re.match(r"%%app_meta\s", lines[0]):
        return lines
    line = lines[0].removeprefix("%%app_meta").strip()
    rest = cell_magic(expose(lines[1:]))
    return [f"get_ipython().run_cell_magic({MAGIC!r}, {line!r}, None)\n", *rest]


# A console is to judge whether the cell is complete as it does for any cell magic.
expose.has_side_effects = True  # type: ignore[attr-defined]  # IPython's protocol


class Enclose(ast.NodeTransformer):
    """Moves the statements that follow one of ``expose`` into the body of its ``with`` block."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Rewrite a parsed cell."""
        if node.body and _exposed(node.body[0]):
            node.body = self._enclosed(node.body)
            if self._shell.ast_node_interactivity == "last":  # else IPython displays every expression in the block
                node.body.append(ast.Pass())
        return node

    def _enclosed(self, body: list[ast.stmt]) -> list[ast.stmt]:
        call = _exposed(body[0]) if body else None
        if call is None:
            return self._displayed(body) or [ast.Pass()]
        future = [item for item in body if isinstance(item, ast.ImportFrom) and item.module == "__future__"]
        block = ast.With([ast.withitem(call)], self._enclosed([item for item in body[1:] if item not in future]))
        return [*future, ast.copy_location(block, body[0])]

    def _displayed(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Display in the block what IPython displays of a cell; of "all", it does so by itself."""
        which = self._shell.ast_node_interactivity
        if which in ("all", "none") or not body:
            return body
        if which == "last_expr_or_assign" and (name := _assigned(body[-1])):
            body = [*body, ast.copy_location(ast.Expr(ast.Name(name, ast.Load())), body[-1])]
        return [*body[:-1], _shown(body[-1])]


def _exposed(statement: ast.stmt) -> ast.expr | None:
    match statement:
        case ast.Expr(ast.Call(ast.Attribute(_, "run_cell_magic"), [ast.Constant("app_meta"), _, ast.Constant(None)])):
            return statement.value
    return None


def _assigned(statement: ast.stmt) -> str | None:
    match statement:
        case ast.Assign([ast.Name(name)]) | ast.AnnAssign(ast.Name(name)) | ast.AugAssign(ast.Name(name)):
            return name
    return None


def _shown(statement: ast.stmt) -> ast.stmt:
    if not isinstance(statement, ast.Expr):
        return statement
    hook = ast.parse("get_ipython().displayhook", mode="eval").body
    for node in ast.walk(hook):
        ast.copy_location(node, statement)
    call = ast.copy_location(ast.Call(hook, [statement.value], []), statement)
    return ast.copy_location(ast.Expr(call), statement)


def complete(context: CompletionContext) -> SimpleMatcherResult:
    """Complete the paths and assignments of the magics with what the running request has."""
    from IPython.core.completer import SimpleCompletion

    typed = _typed.search(context.line_with_cursor[: context.cursor_position])
    if typed is None:
        return {"completions": []}
    sign, given, fragment = typed.groups()
    request = app_meta().request or EMPTY
    names = _assignments(request) if sign == "%%" else _paths_after(given.split(), fragment, request)
    found = [SimpleCompletion(name, type="instance") for name in names if name.startswith(fragment)]
    return {"completions": found, "suppress": True, "matched_fragment": fragment, "ordered": True}


def _paths_after(given: Sequence[str], fragment: str, request: HTTPRequest) -> Iterator[str]:
    whole = {**request, "query": request.query_params, "request": request, "session": SessionInfo(), "mode": None}
    prefix = "".join(f"{word}." for word in given if not word.startswith("-"))
    if prefix or "." in fragment:
        yield from (path.removeprefix(prefix) for path in _paths(whole, "") if path.startswith(prefix))
    else:
        yield from whole
    yield "--json"


def _paths(value: Any, prefix: str) -> Iterator[str]:
    for name in filter(_plain_name.fullmatch, names_of(value)):
        yield f"{prefix}{name}"
        yield from _paths(_item(value, name), f"{prefix}{name}.")


def _assignments(request: HTTPRequest) -> Iterator[str]:
    kinds = {"user": User(), "headers": request.headers, "query": request.query_params}
    kinds |= {kind: request[kind] for kind in MAPPINGS} | {"session": SessionInfo()}
    yield from (f"{path}=" for path in _paths(kinds, "") if path not in kinds)
    yield "url="
