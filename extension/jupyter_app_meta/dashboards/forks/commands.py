"""A template's process as the server sees it: started from a kernelspec, told to prepare, and forked.

Rule: an answer to ``fork`` has the number of its question. A fork whose asker has gone ends, because no process has the
other end of its socket.
"""

from __future__ import annotations

import asyncio
import os
import socket
import string
import subprocess
import sys
import uuid
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from jupyter_client.kernelspec import KernelSpec

from ...kernel.forks import title
from ...kernel.forks.sockets import commands
from ..runs.kernel import NOT_INHERITED, KernelFailed
from ..runs.notebook import Version
from .processes import Process, lifeline

PATIENCE = 60.0
"""Seconds for which a template may take to start or to prepare."""

FORK_PATIENCE = 5.0
"""Seconds for which it may take to fork, while a visitor waits."""

LAUNCHER = "ipykernel_launcher"
TEMPLATE = "jupyter_app_meta.kernel.forks.template"


class CannotFork(RuntimeError):
    """A notebook, or its kernel, cannot be forked. The text says why, for the log."""


class Refused(CannotFork):
    """The process was looked at, and may not be forked. It will hardly be different the next time."""


class Unanswered(KernelFailed):
    """The template did not answer in time, so it should be asked no more."""


class Prepared(NamedTuple):
    """What a template says that may be forked."""

    files: dict[Path, Version | None]
    """The author's files on which it depends: those that the notebook has read, each with its version, and the modules
    that it has imported, with None."""

    but: str
    """Why it should not be forked if the deployer did not say so, or nothing."""


class Commands:
    """The process of a template, and the socket over which it takes commands."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self.process: Process | None = None
        self._own, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._own.setblocking(False)
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._started, self._ready = self._loop.create_future(), self._loop.create_future()
        self._forks: dict[int, asyncio.Future[tuple[int, int]]] = {}
        self._numbers, self._is_closed = count(1), False
        self._loop.add_reader(self._own.fileno(), self._readable)

    async def start(self, spec: KernelSpec, folder: Path, kernel_id: str, messages: socket.socket) -> Process:
        """Start the process, and wait until it takes cells; raises CannotFork and KernelFailed."""
        ends = [str(end) for end in (messages.fileno(), self._theirs.fileno(), lifeline())]
        argv = [*command(spec.argv, ends), "-f", title.of(str(uuid.uuid4()))]
        started = subprocess.Popen(  # noqa: ASYNC220, S603  # it is the deployer's kernelspec; jupyter_client does not wait either
            argv,
            stdin=subprocess.DEVNULL,
            pass_fds=[int(end) for end in ends],
            env=environment(spec),
            cwd=folder,
            start_new_session=True,
        )
        self._theirs.close()
        self.process = Process(started.pid, os.pidfd_open(started.pid), lambda _: self._ended(started))
        await self._said(self._started)
        return self.process

    async def prepare(self, imports: list[str]) -> Prepared:
        """Wait until it may be forked, and has these modules; raises CannotFork and KernelFailed."""
        self._send({"do": "prepare", "imports": imports})
        files, but = await self._said(self._ready)
        return Prepared({Path(file): found and (found[0], found[1], found[2]) for file, found in files}, str(but))

    async def refused(self) -> None:
        """Wait until it is known that the process cannot be forked, or has ended."""
        await asyncio.wait((self._ready,))

    def check(self) -> None:
        """Raise CannotFork or KernelFailed if that is known."""
        if self._ready.done():
            self._ready.result()

    async def fork(self, end: socket.socket) -> Process:
        """Return a new fork, which has this end of its own socket; raises KernelFailed, and Unanswered if none came.

        If one is not answered in time, the others that wait are not, either: their visitors wait no longer.
        """
        number = next(self._numbers)
        answer = self._forks[number] = self._loop.create_future()
        try:
            self._send({"do": "fork", "number": number}, [end.fileno()])
            return Process(*await self._said(answer, FORK_PATIENCE))
        except asyncio.CancelledError:
            _discard(answer)
            raise
        except Unanswered as error:
            _discard(answer)
            self._fail(error)
            raise
        finally:
            self._forks.pop(number, None)

    def close(self) -> None:
        """Close the socket: the template ends, its forks go on. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._own.fileno())
            self._own.close()
            self._theirs.close()
            self._fail(KernelFailed("The template was closed."))

    async def _said(self, answer: asyncio.Future[Any], seconds: float = PATIENCE) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(answer)
        except TimeoutError:
            raise Unanswered(f"The template did not answer within {seconds:.0f} seconds.") from None

    def _send(self, command: dict[str, Any], descriptors: list[int] | None = None) -> None:
        try:
            commands.send(self._own, command, descriptors or ())
        except OSError as error:  # it has ended, or takes nothing at the moment
            raise KernelFailed(f"The template takes no command ({error.strerror}).") from error

    def _readable(self) -> None:
        try:
            said, descriptors = commands.receive(self._own)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            said, descriptors = None, []
        if said is None:
            self._loop.remove_reader(self._own.fileno())
            return
        self._take(said, descriptors)
        for unused in descriptors:
            os.close(unused)

    def _take(self, said: dict[str, Any], descriptors: list[int]) -> None:
        match said:
            case {"said": "started"}:
                _settle(self._started, None)
            case {"said": "ready", "files": files}:
                _settle(self._ready, (files, said.get("but", "")))
            case {"said": "refused", "why": why}:
                self._fail(Refused(str(why)))
            case {"said": "forked", "number": number, "pid": pid} if descriptors:
                if answer := self._forks.get(number):
                    _settle(answer, (pid, descriptors.pop()))
            case {"said": "forked", "number": number}:  # the fork ends, because its socket is closed here
                if answer := self._forks.get(number):
                    _settle(answer, KernelFailed("This server has no descriptor left for another fork."))
            case {"said": "failed", "number": number, "why": why}:
                if answer := self._forks.get(number):
                    _settle(answer, KernelFailed(f"The system made no fork: {why}."))

    def _ended(self, started: subprocess.Popen[bytes]) -> None:
        status = started.wait()
        self._fail(CannotFork(f"its process ended with status {status}"))
        self._on_end()

    def _fail(self, error: Exception) -> None:
        """Let all who wait for an answer know that none will come."""
        for answer in (self._started, self._ready, *self._forks.values()):
            _settle(answer, error)
            answer.exception()  # it is not an error that no code waits for this one


def _settle(answer: asyncio.Future[Any], value: object) -> None:
    if answer.done():
        return
    if isinstance(value, Exception):
        answer.set_exception(value)
    else:
        answer.set_result(value)


def _discard(answer: asyncio.Future[tuple[int, int]]) -> None:
    """Close the descriptor of a fork whose asker has gone."""
    if answer.done() and not answer.exception():
        os.close(answer.result()[1])


def command(argv: list[str], ends: list[str]) -> list[str]:
    """Return the command of a template, from that of a kernelspec; raises CannotFork."""
    if LAUNCHER not in argv[1:] or argv[argv.index(LAUNCHER) - 1] != "-m":
        raise CannotFork(f"its kernel is not started by `python -m {LAUNCHER}`")
    at = argv.index(LAUNCHER)
    own = "python", f"python{sys.version_info.major}", f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = sys.executable if argv[0] in own else argv[0]
    return [python, *argv[1:at], TEMPLATE, *ends, *_others(argv[at + 1 :])]


def _others(arguments: list[str]) -> list[str]:
    """Return ipykernel's arguments without the connection file, which a template does not have."""
    found, rest = [], iter(arguments)
    for argument in rest:
        if argument == "-f":
            next(rest, None)
        elif "{connection_file}" not in argument:
            found.append(argument)
    return found


def environment(spec: KernelSpec) -> dict[str, str]:
    """Return the variables of a template: those of the server that kernels inherit, and those of its kernelspec."""
    env = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    env.setdefault("MALLOC_ARENA_MAX", "1")  # memory that is free in several places is copied in several places
    own = {name: string.Template(value).safe_substitute(env) for name, value in (spec.env or {}).items()}
    return {**env, **own}
