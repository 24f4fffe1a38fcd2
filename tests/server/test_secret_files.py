"""Files with secrets: whichever option names one, another account's file is refused, in words that say what to do."""

from __future__ import annotations

import logging
import os
import pwd
import re
import select
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

import pytest
from harness import eventually
from traitlets import TraitError
from traitlets.config import Config

from jupyter_app_meta import secret_files
from jupyter_app_meta.cli import arguments
from jupyter_app_meta.dashboards.web.cookies import kept_secret, problem
from jupyter_app_meta.errors import DashboardError, IdentityError, PolicyError
from jupyter_app_meta.providers import OpenIDProvider, UsersIdentityProvider
from jupyter_app_meta.providers.users.editing import set_password
from jupyter_app_meta.providers.users.watched import Watched
from jupyter_app_meta.server.app import AppMetaExtension
from jupyter_app_meta.server.stores.opening import keys_of, store_url
from jupyter_app_meta.state.stores.open import open_store

LOG = logging.getLogger("secrets")
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"


def keys(file: Path) -> object:
    """Read it as keys of the state."""
    return keys_of(AppMetaExtension(config=Config({"AppMetaExtension": {"state_encryption_keys": str(file)}})))


def url(file: Path) -> object:
    """Read it as the URL of a store."""
    return store_url(AppMetaExtension(config=Config({"AppMetaExtension": {"state_url_file": str(file)}})))


def client_secret(file: Path) -> object:
    """Read it as the secret that an OpenID provider gave."""
    return OpenIDProvider(issuer="https://login.example.org", client_id="x", client_secret_file=str(file))


def users(file: Path) -> object:
    """Read it as a file of users."""
    return UsersIdentityProvider(file=str(file))


def cookies(file: Path) -> object:
    """Read it as the secret of cookies."""
    return kept_secret(file, LOG)


def metrics(file: Path) -> object:
    """Read it as the token of the metrics."""
    return arguments.secret("metrics_token_file", str(file))


READERS: dict[Callable[[Path], object], tuple[str, type[Exception]]] = {
    keys: ("11" * 32, PolicyError),
    url: ("redis://:s3cret@store", PolicyError),
    client_secret: ("s3cret", TraitError),
    users: (f'[alice]\npassword = "{HASH}"\n', TraitError),
    cookies: ("s3cret" * 9, DashboardError),
    metrics: ("s3cret" * 9, DashboardError),
}


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Return what gives a file to another account; who may not do that becomes another account instead."""

    def give(file: Path) -> None:
        if os.geteuid() == 0:
            os.chown(file, pwd.getpwnam("nobody").pw_uid, -1)
        else:
            own = os.geteuid() + 1
            monkeypatch.setattr(os, "geteuid", lambda: own)

    return give


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_a_secret_file_of_another_account_is_refused(
    tmp_path: Path, give_away: Callable[[Path], None], read: Callable[[Path], object]
) -> None:
    """Its owner can change it. A link does not hide whose it is, and the error names the fix, and not the secret."""
    content, error = READERS[read]
    file, link = tmp_path / "a secret", tmp_path / "link"
    file.write_text(content)
    file.chmod(0o600)
    link.symlink_to(file)
    assert read(link) is not None
    give_away(file)
    with pytest.raises(error, match=r"it belongs to \w+, not to .+: sudo chown \w+ '.*/a secret', or run") as refused:
        read(file)
    with pytest.raises(error, match="it belongs to "):
        read(link)
    assert "s3cret" not in str(refused.value) and HASH not in str(refused.value) and "1111" not in str(refused.value)


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_a_secret_file_that_all_may_write_is_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    """Whoever could write it may have chosen what is in it."""
    content, error = READERS[read]
    file = tmp_path / "secret"
    file.write_text(content)
    file.chmod(0o602)
    with pytest.raises(error, match=f"every account may change it: chmod 600 {re.escape(str(file))}"):
        read(file)
    assert file.stat().st_mode & 0o777 == 0o602


def test_a_planted_secret_of_cookies_is_not_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    give_away: Callable[[Path], None],
) -> None:
    """In the server's own place neither: it makes a new one for this start, says so, and `check` says it before."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    made = kept_secret(None, LOG)
    file = tmp_path / "app-meta" / "cookie_secret"
    assert kept_secret(None, LOG) == made and problem(None) == ""
    give_away(file)
    assert kept_secret(None, LOG) != made
    assert "it belongs to " in caplog.text and "it belongs to " in problem(None)


def test_users_stay_if_their_file_is_given_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, give_away: Callable[[Path], None]
) -> None:
    """What another account then writes into it adds no user."""
    file = tmp_path / "people.toml"
    file.write_text("[alice]\n")
    file.chmod(0o600)
    watched = Watched(file, LOG)
    file.write_text("[mallory]\n")
    give_away(file)
    assert [*watched.people()] == ["alice"]
    assert "it belongs to " in caplog.text and "the users of its last good version stay" in caplog.text


def test_check_says_that_another_account_has_the_state(tmp_path: Path, give_away: Callable[[Path], None]) -> None:
    """A file of state works nevertheless, as one that others may read does."""
    store = open_store(f"sqlite:///{tmp_path}/state.db")
    assert store.check() == ()
    give_away(tmp_path / "state.db")
    (warning,) = store.check()
    assert warning.startswith(f"Another account may read and change the state file {tmp_path}/state.db: it belongs to ")
    store.close()


def test_a_secret_may_come_through_a_pipe(tmp_path: Path) -> None:
    """As from a shell's `<(pass show token)`; what never ends is not read to its end."""
    reading, writing = os.pipe()
    os.write(writing, b"s3cret\n")
    os.close(writing)
    assert secret_files.text(Path(f"/dev/fd/{reading}")) == "s3cret"
    os.close(reading)
    with pytest.raises(OSError, match="it has more than 4194304 bytes"):
        secret_files.read(Path("/dev/zero"))
    with pytest.raises(IdentityError, match="it has more than"):
        Watched(Path("/dev/zero"), LOG)


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_a_named_pipe_holds_no_server_up(tmp_path: Path, read: Callable[[Path], object]) -> None:
    """No program writes into it: the error says so, and what to do."""
    os.mkfifo(pipe := tmp_path / "pipe", 0o600)
    with pytest.raises(READERS[read][1], match=r"no program writes into this pipe: start .* or name a regular file"):
        read(pipe)


def test_a_pipe_waits_for_the_program_that_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may ask a person first, and write in parts. One that writes nothing is not waited for without end."""
    os.mkfifo(pipe := tmp_path / "pipe", 0o600)
    held = os.open(pipe, os.O_RDWR)
    reading: Future[str] = Future()
    thread = Thread(target=lambda: reading.set_result(secret_files.text(pipe)))
    thread.start()
    for part in (b"s3", b"cret"):
        os.write(held, part)
        eventually(lambda: not select.select([held], [], [], 0)[0])
        assert not reading.done()
    os.close(held)
    assert reading.result(60) == "s3cret"
    thread.join()
    held = os.open(pipe, os.O_RDWR)
    monkeypatch.setattr(secret_files, "PATIENCE", 0.0)
    with pytest.raises(OSError, match="nothing was written into it within 0 seconds: start the program"):
        secret_files.read(pipe)
    os.close(held)


def test_passwd_replaces_only_a_file(tmp_path: Path) -> None:
    """Not a pipe, whose reading would wait, nor a device."""
    os.mkfifo(pipe := tmp_path / "pipe", 0o600)
    with pytest.raises(IdentityError, match=r"pipe: it must be a regular file.*; name another path\.$"):
        set_password(pipe, "alice", HASH)
    assert pipe.is_fifo()
