"""State in a SQLite file: whose it is, and what happens where it cannot be written."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_app_meta.errors import PolicyError, StateUnavailable
from jupyter_app_meta.state.keys import Scope
from jupyter_app_meta.state.stores.base import Notice
from jupyter_app_meta.state.stores.sqlite import Sqlite, places
from jupyter_app_meta.state.stores.sqlite import file as sqlite_file
from jupyter_app_meta.state.stores.sqlite.places import file_system

SCOPE = Scope("shared", "here")
NOBODY = 65_534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file will be."""
    return tmp_path / "data" / "app-meta" / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[Sqlite]:
    """A store in it."""
    opened = Sqlite(path)
    yield opened
    opened.close()


def put(store: Sqlite, text: str = "1") -> None:
    """Put a text."""
    store.apply(SCOPE, {}, {"k": text}, (), None)


def kept(store: Sqlite) -> str:
    """Return the text."""
    return store.read(SCOPE.id, ["k"])["k"].text


def test_the_file_is_for_its_account_alone(path: Path, store: Sqlite) -> None:
    """0600 in 0700, with its journal; folders that were there stay as they are."""
    path.parent.parent.mkdir(mode=0o755)
    put(store)
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert files == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o755
    assert store.check() == ()
    path.chmod(0o640)
    assert store.check() == (f"Other accounts may read the state file {path}: chmod 600 {path}",)


def test_reads_go_on_while_another_program_writes(path: Path, store: Sqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the first read of a scope, which marks it as used; writes wait, and then say why they gave up."""
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.2)
    put(store)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert kept(store) == "1"
    with pytest.raises(StateUnavailable, match="another program holds a lock on it") as locked:
        put(store, "2")
    assert not locked.value.may_have_happened
    other.execute("ROLLBACK")
    other.close()
    put(store, "3")
    assert kept(store) == "3"


def test_what_is_no_sqlite_file_is_left_alone(path: Path, store: Sqlite) -> None:
    """An empty answer would be overwritten next."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else entirely" * 50)
    with pytest.raises(StateUnavailable, match="it is not a SQLite file"):
        kept(store)
    with pytest.raises(StateUnavailable):
        put(store)
    assert path.read_bytes() == b"something else entirely" * 50


def test_a_newer_schema_is_refused_by_name(path: Path, store: Sqlite) -> None:
    """What a newer release wrote is neither read nor written."""
    put(store)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value='2.0'")
    db.close()
    later = Sqlite(path)
    for ask in (later.check, lambda: kept(later), lambda: put(later)):
        with pytest.raises(PolicyError, match=r"state\.db has schema 2\.0, made by a newer release"):
            ask()
    later.close()


def in_a_process(code: str, path: Path) -> str:
    """Run code where a store is open at ``path``; return what it prints."""
    head = (
        "import os, resource, sys; from pathlib import Path; "
        "from jupyter_app_meta.errors import StateUnavailable; from jupyter_app_meta.state.keys import Scope; "
        "from jupyter_app_meta.state.stores.sqlite import Sqlite; "
        "store, scope = Sqlite(Path(sys.argv[1])), Scope('shared', 'here')\n"
    )
    command = [sys.executable, "-c", head + code, str(path)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another account, and read what is its own")
def test_a_file_of_another_account_is_an_error_that_says_so() -> None:
    """A folder that the server's account may not write, and a file that it may not."""
    ask = "try:\n    store.add(scope, 'n', 1)\nexcept StateUnavailable as error:\n    print(error)\n"
    code = f"os.setuid({NOBODY})\n{ask}"
    # pytest's own folders are closed to other accounts.
    with tempfile.TemporaryDirectory(prefix="state-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        assert "Permission denied" in in_a_process(code, folder / "own" / "state.db")
        store = Sqlite(folder / "state.db")
        put(store)
        store.close()
        (folder / "state.db").chmod(0o644)
        assert "for the server's account" in in_a_process(code, folder / "state.db")


def test_a_full_disk_loses_nothing_that_was_there(path: Path, store: Sqlite) -> None:
    """The write that does not fit is an error; what was kept is still read, and later writes work."""
    put(store)
    code = (
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {resource.RLIM_INFINITY}))\n"
        "try:\n    store.apply(scope, {}, {'large': 'x' * 500_000}, (), None)\n"
        "except StateUnavailable:\n    print('refused')\n"
        "print(store.read(scope.id, None)['k'].text)\n"
    )
    assert in_a_process(code, path) == "refused\n1\n"
    put(store, "2")
    assert kept(store) == "2"


MOUNTS = """\
overlay / overlay rw 0 0
tmpfs /tmp tmpfs rw 0 0
homes:/export /home nfs4 rw 0 0
/dev/sda1 /home/local ext4 rw 0 0
//nas/x /mnt/my\\040files cifs rw 0 0
sshfs /over fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/var/state.db", "overlay"),
        ("/home/ada/state.db", "nfs4"),
        ("/home/local/ada/state.db", "ext4"),
        ("/homes/state.db", "overlay"),
        ("/mnt/my files/state.db", "cifs"),
        ("/over/state.db", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_path_is_found(place: str, kind: str) -> None:
    """The deepest mount that holds the path."""
    assert file_system(Path(place), MOUNTS) == kind


def test_on_a_network_one_server_has_the_file(
    tmp_path: Path, path: Path, store: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without shared memory there is no WAL: the file is locked, and a second server is told why it cannot use it."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"homes:/export {tmp_path.resolve()} nfs4 rw 0 0\n")
    monkeypatch.setattr(places, "MOUNTS", mounts)
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.2)
    heard: list[Notice] = []
    feed = store.feed(heard.append)
    put(store)
    assert store.check()[0].startswith(f"The state file {path} is on nfs4: only one server can use it.")
    assert not path.with_name("state.db-wal").exists()
    second = Sqlite(path)
    with pytest.raises(StateUnavailable, match=r"another program holds a lock on it \(on nfs4 only one server"):
        put(second)
    second.close()
    put(store, "2")
    assert kept(store) == "2" and heard == []
    feed.close()
