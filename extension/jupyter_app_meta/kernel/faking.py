"""``%%app_meta`` runs one cell under a fake request.

1. A bad assignment gives an error of one line, not a traceback, and the cell does not run.
2. The cell stays a cell. Its first line becomes the expression of a ``with`` statement, and its parsed
   statements become the body. So ``await``, tracebacks, variables and the displayed last expression
   are IPython's own, and the fake ends with the block in any case.
"""

from __future__ import annotations

import ast
import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ..display import absences, sheets
from ..model import SessionInfo, User
from .fakes import FakeRequest, fake_request

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

LISTS = ("headers", "query")
MAPPINGS = ("cookies", "path_params", "meta")
FAKEABLE = ("user.NAME", *(f"{kind}.NAME" for kind in (*LISTS, *MAPPINGS)), "session.NAME", "url")
FACTS = {"true": True, "false": False, "none": None}
CHOICES = {
    "is_authenticated": ("true", "false"),
    "admin": ("true", "false"),
    "is_owner": ("true", "false", "none"),
    "kind": ("user", "service", "anonymous"),
    "assurance": tuple(sheets.ASSURANCES),
}


def run_faked(line: str, cell: str | None) -> FakeRequest | None:
    """Run the cell under a fake request.

    %%app_meta user.username=alice user.groups=editors,staff query.region=emea headers.accept-language=de

    These can be set: user.NAME, headers.NAME, cookies.NAME, query.NAME, path_params.NAME, meta.NAME,
    session.NAME and url. Quote a value that has spaces: user.name="Alice Liddell".
    """
    from IPython.core.getipython import get_ipython

    fake = fake_of(line)
    if cell is None:  # ``expose`` calls it without a cell
        return fake
    shell = get_ipython()
    assert shell is not None  # a magic runs in its shell
    with fake:
        shell.run_cell(cell)
    return None


def fake_of(line: str) -> FakeRequest:
    """Return the fake request that the assignments describe."""
    given: dict[str, Any] = {}
    for word in split_words(line):
        path, equals, value = word.partition("=")
        if not equals:
            raise _misused(f"'{absences.visible(word)}' is not an assignment such as user.username=alice.")
        _assign(given, path, value)
    if not given:
        raise _misused("%%app_meta needs the request to run the cell under, for example user.username=alice.")
    try:
        return fake_request(**given)
    except ValueError as error:
        raise _misused(f"This request is not possible: {error}.") from None


def split_words(line: str) -> list[str]:
    """Return the words of a magic's line; raise IPython's usage error for an unclosed quote."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise _misused(f"{error}: {absences.visible(line)}") from None


def _misused(sentence: str) -> Exception:
    from IPython.core.error import UsageError

    return UsageError(sentence)


def _assign(given: dict[str, Any], path: str, value: str) -> None:
    root, _, name = path.partition(".")
    root = "query" if root == "query_params" else root
    if path == "url":
        given["url"] = value
    elif root == "user":
        given.setdefault(root, {})[name or "username"] = _user_value(name, value)
    elif root in LISTS and name:
        given.setdefault(root, {}).setdefault(name, []).append(value)
    elif (root in MAPPINGS and name) or (root == "session" and name in SessionInfo()):
        given.setdefault(root, {})[name] = value
    else:
        raise absences.refusal(absences.unknown("A fake request", path, FAKEABLE))


def _user_value(name: str, value: str) -> Any:
    """Return the value in the field's type. A name that is close to a known one is refused as a typing error."""
    if name and name not in User.defaults and get_close_matches(name, User.defaults, 1, 0.8):
        raise absences.refusal(absences.unknown("user", name, tuple(User.defaults)))
    if name == "groups":
        return tuple(filter(None, value.split(",")))
    choices = CHOICES.get(name)
    is_fact = choices is not None and set(choices) <= set(FACTS)
    word = value.lower() if is_fact else value  # accepts Python's True as well
    if choices and word not in choices:
        raise _misused(f"user.{name} is one of {', '.join(choices)}, not '{absences.visible(value)}'.")
    return FACTS[word] if is_fact else value


def expose(lines: list[str]) -> list[str]:
    """Turn the first line of an ``%%app_meta`` cell into a statement, so that the other lines stay a cell."""
    if len(lines) < 2 or not lines[0].startswith(("%%app_meta ", "%%app_meta\t", "%%app_meta\n")):
        return lines
    from IPython.core.inputtransformer2 import cell_magic

    _enclose_from_now_on()
    line = lines[0].removeprefix("%%app_meta").strip()
    rest = cell_magic(expose(lines[1:]))
    return [f"get_ipython().run_cell_magic('app_meta', {line!r}, None)\n", *rest]


def _enclose_from_now_on() -> None:
    """Install ``Enclose`` when it is first needed: with any AST transformer, IPython walks the tree of each cell."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None and not any(isinstance(hook, Enclose) for hook in shell.ast_transformers):
        shell.ast_transformers.append(Enclose(shell))


# A console must judge whether the cell is complete as it does for any cell magic.
expose.has_side_effects = True  # type: ignore[attr-defined]  # IPython's protocol


class Enclose(ast.NodeTransformer):
    """Moves the statements that follow the statement of ``expose`` into the body of its ``with`` block."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Rewrite a parsed cell."""
        if node.body and _exposed(node.body[0]):
            node.body = self._enclosed(node.body)
            if self._shell.ast_node_interactivity == "last":  # otherwise IPython displays every expression in the block
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
        """Display in the block what IPython displays of a cell. For "all", IPython does so by itself."""
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
