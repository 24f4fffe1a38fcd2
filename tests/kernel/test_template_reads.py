"""The files that a notebook reads ahead of its visitors, which a template tells its server."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from people import Json
from templates import Template, template

from jupyter_app_meta.kernel.forks.ahead import reads
from jupyter_app_meta.kernel.forks.sockets import commands

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")


def prepared(made: Template) -> Json:
    """Prepare a template; return what it tells."""
    commands.send(made.control, {"do": "prepare"})
    return made.answer()


def told(made: Template) -> dict[str, tuple[int, ...]]:
    """Prepare a template; return the files that it tells."""
    return {file: tuple(version) for file, version in prepared(made)["files"]}


def run(made: Template, *lines: str) -> None:
    """Run lines of code ahead, each a cell."""
    for line in lines:
        assert "Error" not in made.run(line, pending=True)


def test_what_was_read_is_told(tmp_path: Path) -> None:
    """Beside the notebook and elsewhere, in each way in which Python opens a file for reading."""
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    names = {"text.csv": home, "bytes.bin": home, "unbuffered": home, "number.csv": home, "absolute.csv": other}
    for name, folder in names.items():
        (folder / name).write_text("1")
    with template(home) as made:
        run(
            made,
            "import os\nopen('text.csv').read(), open('bytes.bin', 'rb').read()",
            "open('unbuffered', 'rb', buffering=0).read(); os.close(os.open('number.csv', os.O_RDONLY))",
            f"from pathlib import Path\npath = Path({str(other)!r}, 'absolute.csv')",
            "os.close(os.open(path, os.O_RDONLY))",
        )
        assert told(made) == {str(folder / name): reads.version(str(folder / name)) for name, folder in names.items()}


def test_a_file_has_the_version_that_was_read_first(tmp_path: Path) -> None:
    """It may have changed since: then what was read is old already."""
    data = tmp_path / "data.csv"
    data.write_text("1")
    with template(tmp_path) as made:
        run(made, "open('data.csv').read()")
        first = reads.version(str(data))
        data.write_text("22")
        run(made, "open('data.csv').read()")
        assert told(made) == {str(data): first}


def test_what_does_not_matter_is_not_told(tmp_path: Path) -> None:
    """The system's files, a library's, what is hidden, no file or missing, and what the notebook writes itself."""
    for name in (".hidden/settings", "library/a-1.dist-info/RECORD", "library/data.json", "own.txt", "log.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    os.mkfifo(tmp_path / "pipe")
    with template(tmp_path) as made:
        run(
            made,
            "import os, sys\nsys.path.insert(0, os.path.abspath('library'))\nimport colorsys, ipywidgets",
            "open('.hidden/settings').read(), open('library/data.json').read(), open('/etc/passwd').read()",
            "open('own.txt').read(); open('own.txt', 'w').write('2'); open('own.txt').read()",
            "open('log.txt', 'a').write('2'); open('log.txt').read(); os.close(os.open('pipe', os.O_NONBLOCK))",
            "open('/proc/self/status').read(); os.close(os.open('.', os.O_RDONLY)); os.fdopen(os.dup(0)).close()",
            "try: open('missing')\nexcept OSError: pass\ntry: open('a' * 5000)\nexcept OSError: pass",
            "try: open('\\0')\nexcept ValueError: pass",
        )
        assert told(made) == {}


def test_there_is_room_for_so_many(tmp_path: Path) -> None:
    """A notebook may read thousands of files, and names may be long."""
    for number in range(2000):
        (tmp_path / f"{number}.csv").touch()
    deep = tmp_path.joinpath(*["x" * 200] * 3)
    deep.mkdir(parents=True)
    (deep / "data.csv").touch()
    with template(tmp_path) as made:
        run(made, f"open({str(deep / 'data.csv')!r}).read()", "for n in range(2000):\n    open(f'{n}.csv').read()")
        answer = prepared(made)
    found = [file for file, _ in answer["files"]]
    assert len(found) == 180
    assert answer["but"].startswith("it reads more files before it asks who is looking than can be looked at")
    assert {Path(file).parent for file in found} == {tmp_path}


@pytest.mark.parametrize(
    "code",
    [
        "import tempfile\nmade = tempfile.mkdtemp(dir='.')",
        "import tempfile\nkept = tempfile.TemporaryDirectory(dir='.')",
        "import tempfile, os\nos.close(tempfile.mkstemp(dir='.')[0])",
        "from pathlib import Path\nPath('made').mkdir()",
        "open('made', 'w').close()",
        "import os\nopen('old', 'a').close()\nos.rename('old', 'made')",
    ],
)
def test_what_a_notebook_makes_is_told(tmp_path: Path, code: str) -> None:
    """Its name may be one that a visitor should have alone."""
    (tmp_path / "old").touch()
    with template(tmp_path) as made:
        run(made, code)
        but = prepared(made)["but"]
    assert but.startswith(f"it makes '{tmp_path}/")
    assert but.endswith("' before it asks who is looking, and its visitors would share that")


def test_what_was_there_or_is_there_no_more_is_not_made(tmp_path: Path) -> None:
    """A folder that each run needs, a file that each run writes, what is removed, and the cache of a module."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "result.csv").touch()
    (tmp_path / "helper.py").touch()
    with template(tmp_path) as made:
        run(
            made,
            "import os, sys\nos.makedirs('folder', exist_ok=True); open('result.csv', 'w').write('1')",
            "import tempfile\nwith tempfile.TemporaryDirectory(dir='.') as name: open(f'{name}/file', 'w').close()",
            "with tempfile.NamedTemporaryFile(dir='.'): pass",
            "sys.path.insert(0, '')\nsys.dont_write_bytecode = False\nimport helper",
        )
        assert prepared(made)["but"] == ""


def test_a_child_notes_nothing(tmp_path: Path) -> None:
    """What its visitor's code reads is not the template's business."""
    (tmp_path / "data.csv").touch()
    with template(tmp_path) as made:
        assert told(made) == {}
        child = made.fork()
        code = "import gc\ngc.unfreeze()\nprint([x._read for x in gc.get_objects() if type(x).__name__ == 'Reads'])"
        found = child.run(f"open('data.csv').read()\n{code}")
    assert found.startswith("[{")
    assert "data.csv" not in found
