"""Modules that a template imports so that no child has to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from templates import template

from jupyter_app_meta.kernel.forks.sockets import commands

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

INSTALLED = {
    "fine": "x = 5",
    "prints": "print('welcome')",
    "broken": "raise ImportError",
    "threads": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "connects": "import socket\nkept = socket.socket()",
    "ends": "import os\nos._exit(0)",
}
KNOWN = "import sys\nprint(sorted({'colorsys', 'authors', *%r} & {*sys.modules}))" % [*INSTALLED]


def test_only_what_does_no_harm_is_imported(tmp_path: Path) -> None:
    """An installed module that the template can be forked with. The others are left to the cells that import them."""
    library = tmp_path / "library"
    (library / "installed-1.dist-info").mkdir(parents=True)
    for name, code in INSTALLED.items():
        (library / f"{name}.py").write_text(code)
    (tmp_path / "authors.py").write_text("y = 6")
    with template(tmp_path) as made:
        made.run(f"import sys\nsys.path.insert(0, {str(library)!r})\nsys.path.insert(0, '')", pending=True)
        assert made.run(KNOWN, pending=True) == "[]\n"
        assert made.prepare("colorsys", "authors", "missing.one", *INSTALLED) == ""
        child = made.fork()
        assert child.run(KNOWN) == "['colorsys', 'fine']\n"
        assert child.run("import prints, authors, threads\nprint(authors.y)") == "welcome\n6\n"


def test_an_import_that_takes_for_ever_is_left_out(tmp_path: Path) -> None:
    """The template does not wait for it for long."""
    library = tmp_path / "library"
    (library / "installed-1.dist-info").mkdir(parents=True)
    (library / "slow.py").write_text("import time\nwhile True: time.sleep(1)")
    with template(tmp_path) as made:
        made.run(f"import sys\nsys.path.insert(0, {str(library)!r})", pending=True)
        made.run("from jupyter_app_meta.kernel.forks.ahead import preload\npreload.LONGEST = 0.5", pending=True)
        assert made.prepare("slow", "colorsys") == ""
        assert made.fork().run("import sys\nprint('colorsys' in sys.modules)") == "False\n"


def test_the_server_knows_the_authors_modules(tmp_path: Path) -> None:
    """Not those that are installed, and not more than an answer has room for."""
    for number in range(300):
        (tmp_path / f"own_{number}_{'x' * 100}.py").write_text("")
    with template(tmp_path) as made:
        made.run("import sys\nsys.path.insert(0, '')\nimport colorsys, ipywidgets, tempfile", pending=True)
        made.run(f"for n in range(300): __import__(f'own_{{n}}_{'x' * 100}')", pending=True)
        commands.send(made.control, {"do": "prepare"})
        files = made.answer()["files"]
    assert len(files) == 180
    assert {Path(file).parent for file, _ in files} == {tmp_path}
