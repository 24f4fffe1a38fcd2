"""``jupyter app-meta run``: runs a notebook as a visitor, and prints what that visitor sees, or writes the notebook."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AppMetaError
from ..testing import dashboard
from .options import Refused

if TYPE_CHECKING:
    from ..testing.page import Failure, Page


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command to the command line."""
    run = commands.add_parser(
        "run",
        allow_abbrev=False,
        help="run a notebook as a visitor, without a server",
        description="Runs a notebook from its first to its last cell for a made-up visitor, in the notebook's folder. "
        'app_meta() answers with that visitor, in the mode "test". The text that the visitor sees is printed, or the '
        "notebook is written with its outputs. If a cell fails, the exit status is 1, and the traceback is on stderr.",
    )
    run.add_argument("notebook", help="the notebook: .ipynb, .py or .md")
    run.add_argument("--as", dest="user", metavar="USER", help="the visitor's name; without it no visitor is known")
    _add_many(run, "--group", "NAME", "a group of the visitor")
    for option, what in (("query", "a query parameter"), ("cookie", "a cookie"), ("header", "a header")):
        _add_many(run, f"--{option}", "NAME=VALUE", what)
    run.add_argument("-o", "--output", metavar="FILE", help="write the notebook with its outputs, and print nothing")
    run.add_argument(
        "--timeout", type=float, default=3600, metavar="SECONDS", help="how long a cell may run (default: %(default)g)"
    )
    return run


def _add_many(parser: argparse.ArgumentParser, option: str, form: str, what: str) -> None:
    parser.add_argument(option, action="append", default=[], metavar=form, help=f"{what}; may be given repeatedly")


def main(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit status; raises Refused."""
    path, visitor = Path(arguments.notebook), _visitor(arguments)
    try:
        with dashboard(path, timeout=arguments.timeout, **visitor) as page:
            _tell(page, arguments.output)
            return _status(page.error, path)
    except OSError as error:
        raise Refused(f"{error.filename or path}: {error.strerror or error}.", 1) from error
    except AppMetaError as error:
        raise Refused(str(error), 1) from error


def _visitor(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of ``dashboard``; raises Refused."""
    if arguments.timeout <= 0:
        raise Refused(f"--timeout must be more than 0 seconds, not {arguments.timeout:g}.")
    if arguments.group and arguments.user is None:
        raise Refused("--group needs --as: only a visitor who is known has groups.")
    user = None if arguments.user is None else {"username": arguments.user, "groups": arguments.group}
    pairs = {"query": arguments.query, "cookies": arguments.cookie, "headers": arguments.header}
    return {"user": user, **{name: list(_pairs(name, given)) for name, given in pairs.items()}}


def _pairs(name: str, given: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            option = {"cookies": "--cookie", "headers": "--header"}.get(name, "--query")
            raise Refused(f"{option} must be NAME=VALUE, such as theme=dark, not {key!r}.")
        yield key, value


def _tell(page: Page, output: str | None) -> None:
    if output is None:
        print(page.text)
    else:
        Path(output).write_text(page.saved(), "utf-8")


def _status(error: Failure | None, path: Path) -> int:
    if error is None:
        return 0
    print(f"jupyter app-meta: cell {error.cell} of {path.name} failed: {error}", file=sys.stderr)
    if error.traceback:
        print(error.traceback, file=sys.stderr)
    return 1
