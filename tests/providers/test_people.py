"""The file of users: how it is read, how a password is written into it, and how often a login may be tried."""

from __future__ import annotations

import logging
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_app_meta.errors import IdentityError
from jupyter_app_meta.providers import places
from jupyter_app_meta.providers.attempts import Attempts
from jupyter_app_meta.providers.ended import Ended
from jupyter_app_meta.providers.identified import Session
from jupyter_app_meta.providers.users import editing, passwords, people
from jupyter_app_meta.providers.users.watched import Watched

HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$xI0BFLB63fdMd5N2lLDU2xI0BFLB63fdMd5N2lLDU2w"
"""A hash that costs nothing to read."""

FILE = f"""# the team
[alice]
password = "{HASH}" # since May
display_name = "Alice Example"
groups = ["sales"]

["bob@example.org"]
groups = []
"""


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[alice]\ngroups = [", 2, "a user is a table"),
        ("\nalice = 'secret'\n", 2, "'alice' is not a user"),
        (
            "[alice]\n\npassword = 'hunter2-canary'\n",
            3,
            "password must be an argon2 hash, which `jupyter app-meta passwd",
        ),
        ("[alice]\ngroups = 'sales'\n", 2, "groups must be a list"),
        ("[alice]\nadmin = 'yes'\n", 2, "admin must be true or false"),
        ("[alice]\n[bob]\nnmae = 'x'\n", 3, "did you mean name?"),
        ("[alice]\ndisplay_name = 3\n", 2, "display_name must be a text"),
        ("[' a']\n", 1, "no space at its ends"),
        ("a = 1\n", 1, "is not a user"),
    ],
)
def test_mistake_is_told_with_file_line_and_fix(text: str, line: int, said: str, tmp_path: Path) -> None:
    """No message has a value of the file."""
    path = tmp_path / "people.toml"
    path.write_text(text)
    with pytest.raises(IdentityError, match=re.escape(said)) as caught:
        people.read(path)
    assert str(caught.value).startswith(f"users file {path}, line {line}: ")
    assert "canary" not in str(caught.value)


def test_users_are_read() -> None:
    """A user without a hash is known, and cannot log in."""
    found = people.parsed(FILE.encode(), Path("people.toml"))
    assert found["alice"].groups == ("sales",) and found["alice"].names == {"display_name": "Alice Example"}
    assert found["bob@example.org"].hash is None and HASH not in repr(found)


@pytest.mark.parametrize("name", ["alice", "bob@example.org", "carol", "Zoë 'q' \"x\"", "a.b"])
def test_password_changes_one_line(name: str) -> None:
    """Comments, order and all other values stay."""
    other = HASH.replace("xI0", "yI0")
    new = editing.changed(FILE, name, other, Path("p"))
    tables = tomllib.loads(FILE)
    assert tomllib.loads(new) == {**tables, name: {**tables.get(name, {}), "password": other}}
    kept = [line for line in FILE.splitlines() if name != "alice" or HASH not in line]
    assert [line for line in kept if line not in new.splitlines()] == []
    assert "# since May" in new


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.sampled_from(["alice", "a b", 'q"']))
@settings(max_examples=200, deadline=None)
def test_text_is_changed_as_wanted_or_refused(text: str, name: str) -> None:
    """Whatever the file has: the new text says the same but for the password, or there is none."""
    text = f"[alice]\nname = 'x'\n{text}"
    try:
        new = editing.changed(text, name, HASH, Path("p"))
    except IdentityError:
        return
    tables = tomllib.loads(text)
    assert tomllib.loads(new) == {**tables, name: {**tables.get(name, {}), "password": HASH}}


@pytest.mark.parametrize(
    "text",
    ["alice = {groups = []}\n", "alice.groups = []\n", '[alice]\npassword = """x\n"""\n', "[alice]\npassword.x = 1\n"],
)
def test_odd_form_is_left_alone(text: str, tmp_path: Path) -> None:
    """A form that cannot be changed by one line is refused, and the file stays."""
    path = tmp_path / "people.toml"
    path.write_text(text)
    with pytest.raises(IdentityError, match=r"begin it by \[alice\]"):
        editing.set_password(path, "alice", HASH)
    assert path.read_text() == text and os.listdir(tmp_path) == ["people.toml"]


def test_file_is_private(tmp_path: Path) -> None:
    """The file is for this account only, also where it was not, and a link stays a link."""
    path, link = tmp_path / "people.toml", tmp_path / "link.toml"
    path.write_text(FILE)
    path.chmod(0o644)
    link.symlink_to(path)
    assert not editing.set_password(link, "alice", HASH)
    assert path.stat().st_mode & 0o777 == 0o600 and link.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another account")
def test_file_of_another_account_stays_its_own(tmp_path: Path) -> None:
    """The server's account must be able to read what an administrator's command wrote."""
    path = tmp_path / "people.toml"
    path.write_text(FILE)
    path.chmod(0o644)
    os.chown(path, 0, 65534)
    assert not editing.set_password(path, "alice", HASH)
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (0, 65534, 0o640)


def test_file_that_changes_meanwhile_loses_no_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom another program adds while a password is written stays; the command says to try again."""
    path, parsed = tmp_path / "people.toml", people.parsed
    editing.set_password(path, "alice", HASH)

    def add_meanwhile(data: bytes, file: Path) -> Any:
        path.write_text(f"{path.read_text()}[bob]\n")
        return parsed(data, file)

    monkeypatch.setattr(people, "parsed", add_meanwhile)
    with pytest.raises(IdentityError, match="meanwhile"):
        editing.set_password(path, "alice", HASH)
    monkeypatch.undo()
    assert {*people.read(path)} == {"alice", "bob"} and [*tmp_path.iterdir()] == [path]


def test_file_is_read_again_when_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A mistake keeps the last good users and is logged; a file that is gone knows no one."""
    path = tmp_path / "people.toml"
    path.write_text(FILE)
    path.chmod(0o600)
    watched = Watched(path, logging.getLogger("watched"))
    path.write_text("[alice]\ngroups = 1 # longer\n")
    assert "alice" in watched.people() and "the users of its last good version stay" in caplog.text
    path.write_text("[carol]\n")
    assert [*watched.people()] == ["carol"]
    path.unlink()
    assert not watched.people()


def test_attempts_are_limited_and_forgotten() -> None:
    """Five at once, then one each ten seconds; what was right is given back; memory has a bound."""
    now = [0.0]
    attempts = Attempts(burst=5, pause=10, most=3, clock=lambda: now[0])
    assert [attempts.wait("a") for _ in range(6)] == [0, 0, 0, 0, 0, 10]
    now[0] = 10.5
    assert [attempts.wait("a"), attempts.wait("a")] == [0, 10]
    attempts.give_back("a")
    assert attempts.wait("a") == 0
    for name in range(100):
        attempts.wait(str(name))
    assert len(attempts) == 3


def test_ended_sessions_are_remembered_within_bounds() -> None:
    """Those that last longest are remembered. What lasts no longer than one that was forgotten counts as ended."""
    ended = Ended(most=3)
    sessions = [Session.begin("a", seconds) for seconds in (50, 10, 40, 30, 20)]
    for session in sessions:
        ended.add(session)
    assert len(ended) == 3 and all(session in ended for session in sessions)
    assert Session.begin("b", 5) in ended and Session.begin("b", 45) not in ended


@pytest.mark.parametrize(
    ("wanted", "leads"),
    [
        ("/apps/sales?region=emea#x", "/apps/sales?region=emea#x"),
        ("/apps", "/apps"),
        *[(odd, "/apps/") for odd in (
            "", "//evil.example/apps/", "/\\evil.example", "https://evil.example/apps/", "/elsewhere", "/apps\n/x",
            "javascript:alert(1)", "/apps/\x00", "/appsx/", "apps/x", "/apps/\\..",
            "/apps/../x", "/apps/%2e%2e/x", "/apps/./%2E%2E%2fx", "/apps/" + "x" * 3000, " /apps/",
            "/apps?/../apps/" + "é",
        )],
    ],
)  # fmt: skip
def test_login_leads_only_to_this_server(wanted: str, leads: str) -> None:
    """What is not plainly an address below the base URL leads to the start page."""
    assert places.local(wanted, "/apps/") == leads


@given(st.text())
def test_cookie_of_another_kind_is_no_session(text: str) -> None:
    """No text makes an error, and what was encoded is decoded."""
    Session.decode(text)
    session = Session.begin(text, 10, text, {"a": text})
    assert Session.decode(session.encode()) == session


def test_mark_tells_passwords_apart() -> None:
    """A session of the old password ends."""
    assert passwords.mark(HASH) != passwords.mark(f"{HASH}x") and passwords.is_hash(HASH)
