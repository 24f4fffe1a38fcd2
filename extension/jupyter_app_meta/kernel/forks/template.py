"""The process that runs a notebook ahead of its visitors, and is forked for each: ``python -m`` this module.

::

    STARTING ── started ──> RUNNING ── prepare ──> READY ── fork ──> READY, and a child
                               └── refused

1. It has one thread, and no ZeroMQ. It takes cells from its private socket, and commands from another (``commands``).
2. When a cell asks for the visitor, the template waits in that cell, and is forked there. The cell goes on in each
   child. A notebook that never asks is forked between its cells, after the last one.
3. From the moment when it is checked whether it may be forked, it stands still: nothing of the notebook runs that could
   open a connection or begin a thread, which children would share. Tasks go on in each child.
4. A child that could not be made its own in each step ends at once. A template that fails ends as well.
5. It waits for its children, and ends when the server closes one of the sockets. Its children live on.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ipykernel._version import version_info

from .. import authors, claims, extension
from . import child, ending, files, life, safety, title
from .ahead import idle, preload, rehearsal
from .asking import Asking
from .process import Process
from .sockets import commands, frames
from .sockets.private import Private

USAGE = "usage: python -m jupyter_app_meta.kernel.forks.template MESSAGES COMMANDS LIFELINE [ARGUMENTS OF IPYKERNEL]"

NEEDED = (7, 4)
"""The oldest release of ipykernel whose private names are those that this package uses."""

MOST_FILES, LONGEST_PATH = 180, 250
"""How many files are told to the server, and how many bytes a path may take there."""

TOO_MANY = f"it reads more files before it asks who is looking than can be looked at for changes ({MOST_FILES})"


class Template:
    """A process that can be forked, until it is a child."""

    def __init__(self, messages: int, control: int, lifeline: int) -> None:
        self._commands = socket.socket(fileno=control)
        self._commands.set_inheritable(False)
        life.hold(lifeline)
        self._process = Process(Private(socket.socket(fileno=messages)), lifeline)
        self._children: dict[int, int] = {}
        self._stands_still = False

    def run(self, argv: list[str]) -> NoReturn:
        """Take cells and commands until the end."""
        process = self._process
        claims.the_claim = Asking(self._ask, self._refuse)
        process.begin(argv)
        process.app.kernel.connect = self._connect
        shell: Any = process.app.shell
        extension.load_page(shell)
        process.seeds.watch()
        process.reads.watch()
        process.unique.watch(shell)
        preload.usual()
        rehearsal.sample()
        title.find()
        process.loop.add_reader(self._commands.fileno(), self._obey)
        if version_info < NEEDED:
            self._refuse("its ipykernel is older than 7.4")
        self._tell({"said": "started", "pid": os.getpid()})
        process.loop.run_forever()
        self._end()

    # What the server and the cells want

    def _ask(self) -> None:
        """Wait in a cell until this process is a child that has its visitor."""
        if not self._process.is_child:
            self._process.flush()
            self._process.tell(frames.ASKING)
            self._stand_still()
        self._process.wait_for_visitor()

    def _connect(self, patience: float) -> None:
        """Answer code that needs the sockets of an ordinary kernel, for stored state."""
        if not self._process.is_child:
            self._refuse("a cell uses stored state ahead of its visitor")
            self._process.private.next()  # the server closes its end
        self._process.connect(patience)

    def _refuse(self, why: str) -> None:
        if not self._process.is_child:
            self._tell({"said": "refused", "why": why})

    def _stand_still(self) -> None:
        """Take commands until this process is a child. The event loop and the notebook's code stand still."""
        self._stands_still = True
        try:
            while not self._process.is_child:
                self._obey_next()
        except BaseException:
            if not self._process.is_child:
                os._exit(1)  # the error would go into the cell that asks
            raise

    def _obey_next(self) -> None:
        """Wait for a command, a child that ends or the end of the private socket."""
        waiting = select.poll()
        waiting.register(self._commands, select.POLLIN)
        waiting.register(self._process.private, 0)  # only its end
        for number in self._children:
            waiting.register(number, select.POLLIN)
        for number, _ in waiting.poll():
            if number == self._commands.fileno():
                self._obey()
            elif number in self._children:
                self._reap(number)
            else:
                self._end()
            if self._process.is_child:
                return

    def _obey(self) -> None:
        command, descriptors = commands.receive(self._commands)
        if command is None:
            self._end()
        if command["do"] == "prepare":
            self._try_to_prepare(command.get("imports", ()))
        elif command["do"] == "fork":
            self._fork(command["number"], descriptors)

    def _tell(self, answer: dict[str, Any], *descriptors: int) -> None:
        try:
            commands.send(self._commands, answer, descriptors)
        except OSError:  # the server has closed its end
            self._end()

    def _end(self) -> NoReturn:
        """End this process: what it registered for its end is done if no child lives."""
        waiting = select.poll()
        for number in self._children:
            waiting.register(number, select.POLLIN)
        ending.end(self._process, shared=len(waiting.poll(0)) < len(self._children))

    # The fork

    def _try_to_prepare(self, imports: Sequence[str]) -> None:
        """Answer in any case: the server waits, and the event loop only logs what a callback raises."""
        try:
            self._prepare(imports)
        except Exception as error:
            if self._process.is_child:
                raise
            self._refuse(f"it cannot be prepared ({type(error).__name__}: {error})")

    def _prepare(self, imports: Sequence[str]) -> None:
        process = self._process
        process.receive()  # answers to Output widgets: each child handles them after the cell
        idle.end(process.app.shell, process.loop)
        if imports and not safety.refusal(self._descriptors()):
            preload.named(imports, process.lifeline, self._descriptors())
        if why := safety.refusal(self._descriptors()):
            self._refuse(why)
            return
        process.flush()
        process.files = files.flush()
        gc.collect()
        gc.freeze()
        idle.compact()
        self._tell({"said": "ready", **_shared(process)})
        if not self._stands_still:
            self._stand_still()

    def _descriptors(self) -> set[int]:
        """Return the descriptors that are this module's own."""
        process = self._process
        own = {self._commands.fileno(), process.lifeline, *process.private.descriptors, *self._children}
        return own | child.loop_descriptors(process.loop)

    def _fork(self, number: int, descriptors: list[int]) -> None:
        if not descriptors:  # the system had no number left for it
            return self._tell({"said": "failed", "number": number, "why": os.strerror(errno.EMFILE)})
        [own] = descriptors
        self._process.seeds.before_fork()
        try:
            pid = life.fork()
        except OSError as error:
            os.close(own)
            return self._tell({"said": "failed", "number": number, "why": os.strerror(error.errno or 0)})
        if not pid:
            return self._become(own)
        os.close(own)
        try:
            process = os.pidfd_open(pid)  # before the child can be reaped, so it is this child's
        except OSError as error:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return self._tell({"said": "failed", "number": number, "why": os.strerror(error.errno or 0)})
        self._children[process] = pid
        return self._tell({"said": "forked", "number": number, "pid": pid}, process)

    def _become(self, own: int) -> None:
        try:
            child.become(self._process, own, [self._commands.detach(), *self._children])
        except BaseException:
            os._exit(1)  # it may still have what is the template's: none of its code may run
        self._children.clear()

    def _reap(self, process: int) -> None:
        """Wait for a child that has ended."""
        pid = self._children.pop(process)
        os.close(process)
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:  # code of the notebook has waited for it
            status = 0
        self._tell({"said": "ended", "pid": pid, "status": os.waitstatus_to_exitcode(status)})


def _shared(process: Process) -> dict[str, Any]:
    """Return what all children depend on: the author's own modules, and the files that were read, with their versions.

    ``but`` says why they should not be children of one process, unless the deployer wants that.
    """
    read = process.reads
    found = [*((file, None) for file in authors.modules()), *read.files()]
    files = [each for each in found if len(json.dumps(each[0])) <= LONGEST_PATH][:MOST_FILES]
    is_whole = len(files) == len(found) and not read.is_full
    return {"files": files, "but": process.unique.why() or _made(read.made()) or ("" if is_whole else TOO_MANY)}


def _made(path: str | None) -> str:
    if path is None:
        return ""
    name = os.fsencode(path).decode("utf-8", "replace")[-LONGEST_PATH:]
    return f"it makes {name!r} before it asks who is looking, and its visitors would share that"


def main(argv: list[str]) -> NoReturn:
    """Run a template."""
    if sys.platform != "linux" or len(argv) < 3 or not all(text.isdigit() for text in argv[:3]):
        raise SystemExit(USAGE)
    Template(*map(int, argv[:3])).run(argv[3:])


if __name__ == "__main__":
    main(sys.argv[1:])
