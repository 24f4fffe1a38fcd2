"""``%app_meta`` shows the running cell's request or returns a part of it; registration and completion of both magics.

1. A path is ``user.username`` or ``user username``; ``query`` is short for ``query_params``. A mapping
   is shown masked; a value is returned if the author asks for it by its name.
2. An unknown or withheld name gives an error of one line, not a traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from difflib import get_close_matches
from inspect import getdoc
from typing import TYPE_CHECKING, Any

from ..datastructures import URL, Headers
from ..display import absences, sheets
from ..model import AppMeta, HTTPRequest, SessionInfo, User
from .context import app_meta
from .faking import MAPPINGS, Enclose, expose, run_faked, split_words

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

MAGIC = "app_meta"
JSON_OPTION = "--json"
HELP = frozenset(("-h", "--help"))
OPTIONS = (JSON_OPTION, "--help")
ALIASES = {"query": "query_params"}
OF_THE_CODE = ("mode", "session")
FIRST = ("user", "url", "headers", "cookies", "query", *OF_THE_CODE)
ROOTS = (*FIRST, "request", *(item.name for item in fields(HTTPRequest) if item.name not in FIRST), "locale")
EMPTY = HTTPRequest("GET", URL(""), URL(""), user=User())

_typed = re.compile(r"(%%?)app_meta\s+((?:\S+\s+)*)(\S*)$")
_plain_name = re.compile(r"[\w.:@~+-]+")


def register(shell: InteractiveShell) -> None:
    """Give the shell the magics and their completion. Idempotent."""
    from IPython.core.completer import context_matcher

    unregister(shell)
    shell.magics_manager.register_function(show, "line", MAGIC)
    shell.magics_manager.register_function(run_faked, "cell", MAGIC)
    shell.input_transformers_cleanup.append(expose)
    shell.Completer.custom_matchers.append(context_matcher(priority=100, identifier=MAGIC)(complete))


def unregister(shell: InteractiveShell) -> None:
    """Undo ``register``. Without ``register``, it changes nothing."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop(MAGIC, None)
    vars(shell.magics_manager.user_magics).pop(MAGIC, None)
    for hooks in (shell.input_transformers_cleanup, shell.ast_transformers, shell.Completer.custom_matchers):
        hooks[:] = [hook for hook in hooks if not _is_ours(hook)]


def _is_ours(hook: object) -> bool:
    return hook is expose or hook is complete or isinstance(hook, Enclose)


def show(line: str) -> Any:
    """Show the request of the running cell, or return a part of it.

    %app_meta                             who asks, for what, and which values there are (masked)
    %app_meta user                        a part; also: url, headers, cookies, query, session, mode, ...
    who = %app_meta user.username         a value; "user username" is the same
    %app_meta headers accept-language     the one value of a header, cookie or query parameter
    %app_meta redacted                    what the server withholds, and which option opens it
    %app_meta --json                      any of these as JSON; values that are not asked for by name are masked
    """
    if line.startswith(("(", ".")):  # IPython runs the magic for an undefined name of the same spelling
        raise absences.refusal("To call the function, import it first: from jupyter_app_meta import app_meta")
    words = split_words(line)
    if not HELP.isdisjoint(words):
        return _say(str(getdoc(show)))
    path = [word for word in words if word != JSON_OPTION]
    for word in path:
        if word.startswith("-"):
            raise absences.refusal(_no_option(word))
    value = look_up(app_meta(), path) if path else app_meta()
    return value if path == words else sheets.as_json(value)


def _no_option(word: str) -> str:
    near = get_close_matches(word, OPTIONS, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"%app_meta has no option '{absences.visible(word)}'.{hint} It takes: {', '.join(OPTIONS)}."


def look_up(meta: AppMeta, words: Sequence[str]) -> Any:
    """Return the value at a path. If it is not known, print why and return None.

    Raises UnknownField for a name that does not exist or is withheld; the message says which.
    """
    root, _, rest = ".".join(words).removeprefix("request.").partition(".")
    if root not in ROOTS:
        raise absences.refusal(absences.unknown("app_meta", root, ROOTS))
    root, request = ALIASES.get(root, root), meta.request
    if root in OF_THE_CODE:
        return _descend(meta[root], root, rest, request or EMPTY)
    if request is None:
        return _say(f"{sheets.NO_REQUEST} {sheets.REMEDY}")
    whole = {"request": request, "redacted": sheets.Withheld(request.redacted)}
    return _descend(whole[root] if root in whole else request[root], root, rest, request)


def _descend(value: Any, path: str, rest: str, request: HTTPRequest) -> Any:
    while rest and value is not None:
        names = names_of(value)
        wanted = rest.lower() if isinstance(value, Headers) else rest
        name = max((known for known in names if f"{wanted}.".startswith(f"{known}.")), key=len, default=None)
        if name is None:
            raise absences.refusal(absences.missing(path, wanted, names, request.redacted, request.truncated))
        value, path, rest = _item(value, name), f"{path}.{name}", rest[len(name) + 1 :]
    if value is not None:
        return value
    if path in (*request.redacted, *request.truncated):
        raise absences.refusal(absences.absent(path, request.redacted))
    return _say(f"{absences.visible(path)} is not known here.")


def names_of(value: Any) -> tuple[str, ...]:
    """Return the names of a value's items; none for a single value."""
    keys = getattr(value, "keys", None)
    return tuple(dict.fromkeys(keys())) if keys else getattr(value, "_fields", ())


def _item(value: Any, name: str) -> Any:
    return value[name] if hasattr(value, "keys") else getattr(value, name)


def _say(sentence: str) -> None:
    print(sentence)  # noqa: T201  # a magic's output


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
    yield JSON_OPTION


def _paths(value: Any, prefix: str) -> Iterator[str]:
    for name in filter(_plain_name.fullmatch, names_of(value)):
        yield f"{prefix}{name}"
        yield from _paths(_item(value, name), f"{prefix}{name}.")


def _assignments(request: HTTPRequest) -> Iterator[str]:
    kinds = {"user": User(), "headers": request.headers, "query": request.query_params}
    kinds |= {kind: request[kind] for kind in MAPPINGS} | {"session": SessionInfo()}
    yield from (f"{path}=" for path in _paths(kinds, "") if path not in kinds)
    yield "url="
