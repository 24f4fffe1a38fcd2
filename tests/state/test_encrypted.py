"""Encrypted stores: what a thief of the database has, and what servers with other keys, or none, say."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from databases import KEYS
from hypothesis import given
from hypothesis import strategies as st
from texts import texts
from traitlets.config import Config

from jupyter_app_meta import cli
from jupyter_app_meta.errors import PolicyError, StateUnavailable
from jupyter_app_meta.server.app import AppMetaExtension
from jupyter_app_meta.server.stores import opened
from jupyter_app_meta.server.stores.opening import keys_of
from jupyter_app_meta.server.stores.telling import told
from jupyter_app_meta.state import keeping
from jupyter_app_meta.state.keys import Identity, Scope, Space, scope_of
from jupyter_app_meta.state.sessions import Command, Session, Sessions
from jupyter_app_meta.state.stores import sealed, secret
from jupyter_app_meta.state.stores.base import Row, Store, Where
from jupyter_app_meta.state.stores.encrypted import Encrypted, Keys
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.stores.sealed import OPTION
from jupyter_app_meta.state.stores.servers import Lease, Served, alive, mixed

ONE, TWO = KEYS
SCOPE, OTHER = Scope("visitor", "space", "alice"), Scope("visitor", "space", "bob")


def store_of(folder: Path, *keys: bytes) -> Store:
    """Open the store of a folder with these keys."""
    return open_store(f"sqlite:///{folder}/state.db", keys=keys)


def rows(folder: Path) -> list[Row]:
    """Return what a thief of the file has."""
    store = store_of(folder)
    found = list(store.export(Where()))
    store.close()
    return found


@given(st.text(), st.text(), st.text(st.characters(max_codepoint=127)))
def test_what_was_sealed_is_opened(scope: str, key: str, text: str) -> None:
    """By each server that has the key; twice the same text looks different."""
    one = Keys([ONE]).seal(scope, key, text)
    assert Keys([TWO, ONE]).open(scope, key, one) == text
    assert one != Keys([ONE]).seal(scope, key, text)


def test_a_thief_of_the_database_has_no_values(tmp_path: Path) -> None:
    """Nor the servers' secret, from which cookies and grants are made."""
    store = store_of(tmp_path, ONE)
    store.apply(SCOPE, {}, {"card": '"CANARY-value"'}, (), None)
    store.add(SCOPE, "n", 12345)
    own = secret.agreed(store, b"CANARY-secret")
    store.close()
    assert own == b"CANARY-secret"
    stolen = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    with pytest.raises(StateUnavailable, match=r"the server has no AppMetaExtension\.state_encryption_keys"):
        sealed.plain(rows(tmp_path)[0].text)
    assert b"CANARY" not in stolen and b"CANARY-secret".hex().encode() not in stolen and b"12345" not in stolen


@pytest.mark.parametrize(("scope", "key"), [(OTHER, "a"), (SCOPE, "b")])
def test_a_moved_or_changed_text_is_refused(tmp_path: Path, scope: Scope, key: str) -> None:
    """Into another person's state or under another key; it does not count as absent, and `add` does not replace it."""
    store, raw = store_of(tmp_path, ONE), store_of(tmp_path)
    store.apply(SCOPE, {}, {"a": "1"}, (), None)
    text = raw.read(SCOPE.id, None)["a"].text
    uses = (lambda: store.read(scope.id, None), lambda: store.add(scope, key, 1), lambda: [*store.export(Where())])
    for forged in (text, f"{text[:-8]}AAAAAAA=", text[:20], "e1:", "1"):
        raw.apply(scope, {}, {key: forged}, (), None)
        for use in uses:
            with pytest.raises(StateUnavailable, match=r"^What is stored "):
                use()
    store.close()
    raw.close()


def test_keys_are_changed_while_servers_run(tmp_path: Path) -> None:
    """The first encrypts, all decrypt; a server that has only the new one says what is wrong, and reads nothing."""
    old = store_of(tmp_path, ONE)
    old.apply(SCOPE, {}, {"a": "1"}, (), None)
    both = store_of(tmp_path, TWO, ONE)
    assert both.check() == () and texts(both, SCOPE) == {"a": "1"}
    both.apply(SCOPE, {}, {"b": "2"}, (), None)
    assert texts(store_of(tmp_path, ONE, TWO), SCOPE) == {"a": "1", "b": "2"}
    for store, key in ((old, "b"), (store_of(tmp_path, TWO), "a")):
        with pytest.raises(StateUnavailable, match=r"was encrypted with another key.*AppMetaExtension\.state_encr"):
            store.read(SCOPE.id, (key,))
    with pytest.raises(PolicyError, match="encrypted with another key: add it to the file"):
        store_of(tmp_path, TWO).check()


def test_one_text_that_cannot_be_opened_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the lists that servers keep of themselves, and from operators; nothing counts it as a value."""
    store, raw = store_of(tmp_path, ONE), store_of(tmp_path, TWO)
    lease, own, sales = Lease(store, "one"), Sessions(store, "one"), Space.run("/", "/sales")
    lease.take()
    alice = Identity("hub", "hub", "user", "alice")
    page = own.open(Session("", "", alice.text, "alice", "user", sales.text, "/sales", "k", "tab", 1.0))
    assert own.tell(Command("end", page.id))
    store.apply(scope_of("visitor", sales, alice), {}, {"a": "1"}, (), None)
    store.apply(scope_of("shared", sales, None), {}, {"a": "1"}, (), None)
    for row in [*store.outline(Where())]:
        raw.apply(row.scope, {}, {"foreign": "1"}, (), None)
    assert alive(store) == {"one", "foreign"} and mixed(store, Served("/", "digest", ("/sales",))) is None
    assert own.list() == (page,) and own.take() == (Command("end", page.id),)
    logged = [record.getMessage() for record in caplog.records if record.name.endswith("encrypted")]
    assert len(logged) == 1 and "is left out: What is stored was encrypted with another key" in logged[0]
    for use in (lambda: [*keeping.rows(store)], lambda: store.read(scope_of("shared", sales, None).id, None)):
        with pytest.raises(StateUnavailable):
            use()
    assert state(tmp_path, "list") == state(tmp_path, "get", "--dashboard", "/sales", "a") == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[-4] for line in told[:2]] == ["2", "2"] and told[2:] == ["1"]
    assert keeping.forget(store, keeping.Whose("hub:user:alice"), lambda seconds: None) == 2
    assert own.take() == (Command("end", page.id),)
    assert state(tmp_path, "forget", "--dashboard", "/sales", "--yes") == 0
    assert capsys.readouterr().out == "Erased 2 entries of /sales.\n"
    for one in (store, raw):
        one.close()


def state(folder: Path, *arguments: str) -> int:
    """Return the exit status of a command on the store of a folder."""
    extension = options(folder, ONE.hex())
    given = (f"--AppMetaExtension.{name}={getattr(extension, name)}" for name in ("state_url", OPTION))
    return cli.main(["state", *arguments, *given])


def options(folder: Path, *keys: str, mode: int = 0o600) -> AppMetaExtension:
    """Return the options of a server with the store of a folder and a file with these keys."""
    own = {"state_url": f"sqlite:///{folder}/state.db"}
    if keys:
        file = folder / "keys"
        file.write_text("\n".join(("# written by openssl", "", *keys)))
        file.chmod(mode)
        own["state_encryption_keys"] = str(file)
    return AppMetaExtension(config=Config({"AppMetaExtension": own}))


@pytest.mark.parametrize("key", [ONE.hex(), "MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE="])
def test_a_server_has_its_keys_from_a_file(tmp_path: Path, key: str) -> None:
    """In one of two forms. The file's group may read it, as that of a Kubernetes secret does."""
    extension = options(tmp_path, key, TWO.hex(), mode=0o440)
    assert keys_of(extension) == KEYS
    store = opened(extension)
    assert isinstance(store, Encrypted)
    store.apply(SCOPE, {}, {"a": "1"}, (), None)
    store.close()
    assert told(extension) == (f"is kept in sqlite:///{tmp_path}/state.db, encrypted with 2 keys.", ())
    without = options(tmp_path)
    for use in (opened, told):
        with pytest.raises(PolicyError, match="state_encryption_keys: the store is encrypted: name the file"):
            use(without)


@pytest.mark.parametrize("keys", [(), (TWO.hex(),)], ids=["no key", "another key"])
def test_a_store_that_was_away_at_the_start_is_checked_when_it_is_back(tmp_path: Path, keys: Sequence[str]) -> None:
    """A server without its key reads nothing from it, and writes nothing into it; one with the key uses it."""
    (tmp_path / "state.db").mkdir()
    wrong, right = opened(options(tmp_path, *keys)), opened(options(tmp_path, ONE.hex()))
    assert wrong is not None and right is not None
    with pytest.raises(StateUnavailable):
        right.read(SCOPE.id, None)
    (tmp_path / "state.db").rmdir()
    right.apply(SCOPE, {}, {"a": "1"}, (), None)
    before = rows(tmp_path)
    for use in (
        lambda: wrong.read(SCOPE.id, None),
        lambda: wrong.apply(SCOPE, {}, {"a": "2"}, (), None),
        lambda: wrong.add(SCOPE, "n", 1),
        lambda: [*wrong.export(Where())],
        wrong.sweep,
    ):
        with pytest.raises(StateUnavailable, match=r"state_encryption_keys: the store (is|was) encrypted"):
            use()
    assert rows(tmp_path) == before and right.read(SCOPE.id, ("a",))["a"].text == "1"
    for store in (wrong, right):
        store.close()


@pytest.mark.parametrize(
    ("keys", "mode", "said"),
    [
        (["s3cret"], 0o600, "must have one key a line"),
        ([ONE.hex(), "short"], 0o600, "must have one key a line"),
        (["#"], 0o600, "must have one key a line"),
        ([ONE.hex()], 0o660, "chmod 600"),
        ([ONE.hex()], 0o604, "chmod 600"),
        ([ONE.hex()], 0o602, "chmod 600"),
    ],
)
def test_a_file_without_keys_is_refused(tmp_path: Path, keys: Sequence[str], mode: int, said: str) -> None:
    """By name, and without what is in it."""
    with pytest.raises(PolicyError, match=said) as refused:
        opened(options(tmp_path, *keys, mode=mode))
    assert "s3cret" not in str(refused.value) and ONE.hex() not in str(refused.value)
    with pytest.raises(PolicyError, match=r"none cannot be read \(No such file"):
        keys_of(AppMetaExtension(config=Config({"AppMetaExtension": {"state_encryption_keys": "/tmp/none/none"}})))


def test_a_store_is_encrypted_by_a_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server with keys refuses the old one, and reads the copy."""
    store = store_of(tmp_path)
    store.apply(SCOPE, {}, {"a": '"CANARY"'}, (), None)
    store.close()
    extension = options(tmp_path, ONE.hex())
    with pytest.raises(PolicyError, match="the store is not encrypted: `jupyter app-meta state copy`"):
        opened(extension)
    (tmp_path / "new").mkdir()
    urls = (f"sqlite:///{folder}/state.db" for folder in (tmp_path, tmp_path / "new"))
    option = f"--AppMetaExtension.state_encryption_keys={extension.state_encryption_keys}"
    assert cli.main(["state", "copy", *urls, option]) == 0
    assert capsys.readouterr().out == "Copied 1 entries.\n"
    assert [row.text[:3] for row in rows(tmp_path / "new")] == ["e1:"]
    shutil.move(tmp_path / "new" / "state.db", tmp_path / "state.db")
    copied = opened(extension)
    assert copied is not None and texts(copied, SCOPE) == {"a": '"CANARY"'}
    copied.close()
