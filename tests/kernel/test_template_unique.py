"""What a notebook makes up before its question is told, because each visitor should perhaps have one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from templates import Template, template

from jupyter_app_meta.kernel.forks.sockets import commands

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

HELPER = "import uuid\nRUN = uuid.uuid4()\ndef new(): return uuid.uuid4()"
ASK = "from jupyter_app_meta import app_meta\nwho = app_meta()\n"

RUN = """from dataclasses import dataclass, field
from uuid import uuid4
@dataclass
class Run:
    id: str = field(default_factory=uuid4)
run = Run()"""

MADE_UP = {
    "under another name": ("from uuid import uuid4 as new\nrun = new()", ASK, "uuid4"),
    "in a module": ("import helper", ASK, "uuid4"),
    "by a function": ("import secrets\ndef key(): return secrets.token_hex()", f"key()\n{ASK}", "token_hex"),
    "before a comment": ("import os", f"# app_meta() is asked below\nkey = os.urandom(8)\n{ASK}", "urandom"),
    "as an argument": (
        "from secrets import token_hex\nfrom jupyter_app_meta import app_meta",
        "str(token_hex()) + app_meta().user.username",
        "token_hex",
    ),
    "in a class": (RUN, ASK, "uuid4"),
    "a name of no file yet": ("import tempfile\nname = tempfile.mktemp()", ASK, "mktemp"),
    "by chance": ("import random\ngroup = random.choice('AB')", ASK, "choice"),
    "for the end": ("import atexit\n@atexit.register\ndef clean(): pass", ASK, "atexit.register"),
}

SHARED = {
    "by a library": ("import ipywidgets\nslider = ipywidgets.IntSlider()", ASK),
    "by the standard library": ("import tempfile, weakref\nf = tempfile.TemporaryFile(); f.close()", ASK),
    "of a function that is not called": ("import uuid\ndef new(): return uuid.uuid4()", f"{ASK}new()"),
    "after the question": ("import uuid, os, atexit", f"{ASK}uuid.uuid4(), os.getpid(), atexit.register(print)"),
}


def run_until_asked(made: Template, home: Path, ahead: str, asking: str) -> str:
    """Run the cell before the question, and that with it; return why the process should not be forked."""
    (home / "helper.py").write_text(HELPER)
    made.run(ahead, pending=True)
    made.ask(asking)
    commands.send(made.control, {"do": "prepare"})
    return str(made.answer()["but"])


@pytest.mark.parametrize("case", MADE_UP)
def test_what_the_authors_code_makes_up_is_told(tmp_path: Path, case: str) -> None:
    """However it is written."""
    ahead, asking, function = MADE_UP[case]
    with template(tmp_path) as made:
        assert run_until_asked(made, tmp_path, ahead, asking).startswith(f"it calls {function}() before it asks who")


@pytest.mark.parametrize("case", SHARED)
def test_what_is_not_the_authors_or_comes_later_is_not_told(tmp_path: Path, case: str) -> None:
    """Libraries make names for themselves."""
    with template(tmp_path) as made:
        assert run_until_asked(made, tmp_path, *SHARED[case]) == ""


IMPORTS = """
import atexit, os, pickle, random, secrets, subprocess, sys, tempfile, uuid
from uuid import uuid4
from random import choice
from os import getpid
"""
SENDS = """
sent = [uuid4, choice, getpid, uuid.uuid4, random.choices, secrets.token_hex, os.urandom, os.getpid, tempfile.mktemp]
code = "import pickle, sys; print(*(each.__name__ for each in pickle.load(sys.stdin.buffer)))"
done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(sent), capture_output=True)
print(done.stdout.decode())
"""


def test_a_child_may_send_the_functions_to_another_process(tmp_path: Path) -> None:
    """Those that code imported before the question, too."""
    with template(tmp_path) as made:
        made.run(IMPORTS, pending=True)
        assert made.prepare() == ""
        printed = made.fork().run(SENDS)
    assert printed.split() == [
        "uuid4",
        "choice",
        "getpid",
        "uuid4",
        "choices",
        "token_hex",
        "urandom",
        "getpid",
        "mktemp",
    ]
