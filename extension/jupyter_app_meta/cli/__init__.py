"""Serves dashboards that know who is looking, and checks and sets up a server and its kernels.

    jupyter app-meta serve notebooks/                 the notebooks of a folder, to visitors
    jupyter app-meta run sales.ipynb --as alice       run a notebook as a visitor, without a server
    jupyter app-meta check                            what is forwarded, and what is wrong or risky
    jupyter app-meta passwd alice --users people.toml write a password for `serve --users people.toml`
    jupyter app-meta state list                       whose state is stored; show, set, forget and copy it
    jupyter app-meta sessions list                    which pages are open on all servers; end one, send to one
    jupyter app-meta kernelspec install --sys-prefix  register this environment's request-aware kernel
    jupyter app-meta kernelspec remove --sys-prefix   undo that

The exit status is 0 if all is well, 1 if a fault was found or the command failed, and 2 if the command line is wrong.
``serve`` needs the ``dashboards`` extra, and ``check``, ``state`` and ``sessions`` need jupyter_server. Without them,
the commands say what to install.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from .._version import __version__
from ..errors import RequirementMissing
from ..requirements import INSTALL
from . import kernelspec, run, sessions, state
from .options import Refused, nearest


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    _print_anywhere()
    parser, leaves = _parsers()
    try:
        if argv[:1] == ["serve"]:
            return _serve(argv[1:])
        arguments, rest = parser.parse_known_args(argv)
        if arguments.command == "check":
            return _check(arguments, rest)
        if arguments.command == "state":
            return state.main(arguments, rest)
        if arguments.command == "sessions":
            return sessions.main(arguments, rest)
        if arguments.command == "passwd":
            return _passwd(arguments, rest, leaves["passwd"])
        if rest:
            raise Refused(nearest(rest[0], leaves[arguments.action if "action" in arguments else arguments.command]))
        if arguments.command == "run":
            return run.main(arguments)
        return _kernelspec(arguments)
    except Refused as refusal:
        print(f"jupyter app-meta: {refusal}", file=sys.stderr)
        return refusal.status


def _print_anywhere() -> None:
    """Make output show a question mark for each character that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _serve(arguments: Sequence[str]) -> int:
    try:
        from .. import dashboards as dashboards  # imported first, because its error says which package is missing
        from . import serve
    except RequirementMissing as error:
        raise Refused(str(error), 1) from error
    except ImportError as error:
        raise Refused(f"dashboards cannot be served ({error}): {INSTALL}", 1) from error
    return serve.main(arguments)


def _check(arguments: argparse.Namespace, rest: list[str]) -> int:
    from . import check

    report = check.report(arguments.config, rest, arguments.notebooks)
    print(report.as_json() if arguments.json else report.as_table())
    return 1 if report.faults else 0


def _passwd(arguments: argparse.Namespace, rest: list[str], known: list[str]) -> int:
    from . import passwd

    if rest:
        raise Refused(nearest(rest[0], known))
    print(passwd.write(arguments.name, arguments.users))
    return 0


def _kernelspec(arguments: argparse.Namespace) -> int:
    place = kernelspec.Place(arguments.name, arguments.user, sys.prefix if arguments.sys_prefix else arguments.prefix)
    if arguments.action == "remove":
        print(f"Removed the kernel {place.name} from {kernelspec.remove(place)}")
    else:
        folder = kernelspec.install(place, arguments.display_name, replace=arguments.replace)
        print(f"Installed the kernel {place.name} in {folder}")
    return 0


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, list[str]]]:
    """Return the parser, and the options of each command below, from which an error's hint is chosen."""
    parser = argparse.ArgumentParser(prog="jupyter app-meta", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--version", action="version", version=__version__)
    names = "serve | run | check | state | sessions | passwd | kernelspec"
    commands = parser.add_subparsers(dest="command", required=True, metavar=names)
    commands.add_parser("serve", add_help=False, help="serve notebooks to visitors as dashboards")
    actions = {"run": run.add(commands)}
    _add_check(commands)
    actions |= state.add(commands) | sessions.add(commands)
    actions |= {"passwd": _add_passwd(commands), **_add_kernelspec(commands)}
    return parser, {name: list(leaf._option_string_actions) for name, leaf in actions.items()}


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = commands.add_parser(
        "check",
        allow_abbrev=False,
        help="say what is forwarded, and what is wrong or risky",
        description="Reads the configuration that `jupyter server` would read and says in one table whether the "
        "server half is enabled, which kernels are request-aware, what is forwarded, and what is risky. "
        "It takes the options of `jupyter server`, such as --AppMetaExtension.cookies_allow=theme.",
    )
    check.add_argument("--config", metavar="FILE", help="the configuration file to read instead of the usual ones")
    check.add_argument(
        "--notebooks", metavar="PLACE", help="also judge a notebook or folder that `jupyter app-meta serve` would serve"
    )
    check.add_argument("--json", action="store_true", help="print the report as JSON")


def _add_passwd(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    passwd = commands.add_parser(
        "passwd",
        allow_abbrev=False,
        help="write a user's password into a file of users",
        description="Asks for a password twice and writes its argon2 hash into a file of users, which is made if it "
        "does not exist. All other lines stay. If the input is not a terminal, its first line is the password.",
    )
    passwd.add_argument("name", help="the user's name")
    passwd.add_argument("--users", metavar="FILE", default="people.toml", help="the file (default: %(default)s)")
    return passwd


def _add_kernelspec(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, argparse.ArgumentParser]:
    family = commands.add_parser("kernelspec", help="register this environment's request-aware kernel")
    actions = family.add_subparsers(dest="action", required=True, metavar="install | remove")
    install = actions.add_parser("install", allow_abbrev=False, help="register this environment's Python as a kernel")
    install.add_argument("--display-name", metavar="NAME", help="the name that people see")
    install.add_argument("--replace", action="store_true", help="replace a kernel of this name that is not ours")
    remove = actions.add_parser("remove", allow_abbrev=False, help="remove a kernel that `install` registered")
    for leaf in (install, remove):
        _add_place(leaf)
    return {"install": install, "remove": remove}


def _add_place(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--prefix", metavar="DIR", help="in DIR/share/jupyter/kernels: the server's environment")
    place.add_argument("--sys-prefix", action="store_true", help="in this environment")
    place.add_argument("--user", action="store_true", help="for this user, in all environments")
    parser.add_argument("--name", default=kernelspec.DEFAULT_NAME, help="the kernel's name (default: %(default)s)")
