"""What ``check`` says about the store of state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from databases import KEYS
from traitlets.config import Config

from jupyter_app_meta.cli.check import _state, report
from jupyter_app_meta.cli.checks.report import Status
from jupyter_app_meta.server.app import AppMetaExtension
from jupyter_app_meta.state.keys import Identity, Space, scope_of
from jupyter_app_meta.state.stores import legible, sealed, secret
from jupyter_app_meta.state.stores.base import Where
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.stores.servers import Lease, Served

pytestmark = pytest.mark.usefixtures("unpatched")


def told(**options: str) -> list[tuple[Status, str]]:
    """Return the rows about a store."""
    found = _state(AppMetaExtension(config=Config({"AppMetaExtension": options})))
    return [(row.status, row.finding) for row in found]


def test_the_store_is_named_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is, or that it is off."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    assert told() == [(Status.INFO, f"is kept in sqlite:///{tmp_path}/app-meta/state.db.")]
    assert told(state_url="off") == [(Status.INFO, "is not kept (off).")]
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_the_store_is_said(tmp_path: Path) -> None:
    """Without the password of its URL."""
    assert told(state_url="mongodb://ada:s3cret@host")[0][0] is Status.FAULT
    named, away = told(state_url="redis://ada:s3cret@localhost:1/0")
    assert named == (Status.INFO, "is kept in redis://localhost:1/0.")
    assert away[0] is Status.RISK and away[1].endswith("Pages work without their state until it can be used.")
    assert "s3cret" not in str(away)
    file = tmp_path / "state.db"
    store = open_store(f"sqlite:///{file}")
    store.check()
    store.close()
    file.chmod(0o644)
    assert told(state_url=f"sqlite:///{file}")[1] == (
        Status.RISK,
        f"Other accounts may read the state file {file}: chmod 600 {file}",
    )


def test_the_id_among_servers_is_named(tmp_path: Path) -> None:
    """With the process that has it now. Nothing is taken from that server."""
    url = f"sqlite:///{tmp_path}/state.db"
    options = ["--Serve.server_id=aaaa", f"--AppMetaExtension.state_url={url}"]

    def row() -> str:
        (found,) = [row.finding for row in report(None, options).rows if row.subject == "server id"]
        return found

    assert row() == "aaaa: the ids of this server's kernels begin with it."
    assert list(tmp_path.iterdir()) == []
    store = open_store(url)
    lease = Lease(store, "aaaa")
    lease.take()
    assert f" The id belongs to a server that runs now (process {os.getpid()} on " in row()
    lease.take()
    store.close()


def test_a_server_of_other_dashboards_that_shares_state_is_named(tmp_path: Path) -> None:
    """While it runs: dashboards at the same path have the same state, because the option has no value."""
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "page.py").write_text("# %%\n1\n")
    url = f"sqlite:///{tmp_path}/state.db"

    def rows(*options: str) -> list[str]:
        found = report(None, [f"--AppMetaExtension.state_url={url}", *options], str(tmp_path / "books")).rows
        return [row.finding for row in found if row.subject == "state" and row.status is Status.RISK]

    store = open_store(url)
    Lease(store, "aaaa", Served.of("/", {"/page": "page", "/more": "more"})).take()
    (said,) = rows()
    assert f"(process {os.getpid()} on " in said and "the same state of /page." in said
    assert rows("--AppMetaExtension.state_deployment=sales") == []
    store.close()


def test_how_much_can_be_read_is_counted(tmp_path: Path) -> None:
    """Also where the first can be read, or none. The row says what to do, and whose the first of the others is."""
    url, file = f"sqlite:///{tmp_path}/state.db", tmp_path / "keys"
    file.write_text(KEYS[0].hex())
    file.chmod(0o600)
    mine, other, raw = (open_store(url, keys=keys) for keys in (KEYS[:1], KEYS[1:], ()))
    mine.apply(secret.META, {}, {"cookie_secret": "00"}, (), None)
    space, options = Space.run("/", "/sales"), {"state_url": url, "state_encryption_keys": str(file)}
    alice = scope_of("visitor", space, Identity("hub", "hub", "user", "alice"))
    mine.apply(alice, {}, {"good": "1", "moved": "2"}, (), None)
    all_good = "3 of the 3 stored entries can be read with the keys of this server."
    assert told(**options)[-1] == (Status.INFO, all_good)
    other.apply(alice, {}, {"foreign": "1"}, (), None)
    texts = {entry.key: entry.text for entry in raw.export(Where(scope=alice.id))}
    raw.apply(alice, {}, {"moved": texts["good"], "plain": "1"}, (), None)
    status, said = told(**options)[-1]
    assert status is Status.RISK
    assert said.startswith("2 of the 5 stored entries can be read with the keys of this server. Of the others, ")
    assert "1 is damaged: restore a copy" in said
    assert "1 is encrypted with another key: add that key to the file of AppMeta" in said
    assert "1 is not encrypted: `jupyter app-meta state copy` encrypts" in said
    assert said.endswith(" The first of them is of hub:user:alice on /sales.")
    fault, (status, said) = told(state_url=url)
    assert fault == (
        Status.FAULT,
        "AppMetaExtension.state_encryption_keys: the store is encrypted: name the file with its keys.",
    )
    assert said.startswith("1 of the 5 stored entries can be read") and "4 are encrypted: name the file" in said
    some = legible.count(raw.outline(Where()), sealed.flaw, 2)
    assert (some.looked, some.is_all) == (2, False)
    assert " of the first 2 stored entries can be read" in some.told and some.told.endswith("were not looked at.")
    for store in (mine, other, raw):
        store.close()
