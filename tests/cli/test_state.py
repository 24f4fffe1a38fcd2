"""``jupyter app-meta state``: what an operator sees and erases, without a server."""

from __future__ import annotations

import json
import os
import pty
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_app_meta import cli
from jupyter_app_meta.state import keeping
from jupyter_app_meta.state.keys import Identity, Scope, Space, scope_of
from jupyter_app_meta.state.revoked import Revoked
from jupyter_app_meta.state.sessions import Command, Session, Sessions
from jupyter_app_meta.state.stores.base import Store, Where
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.stores.servers import Lease, Served, alive

pytestmark = pytest.mark.usefixtures("unpatched")

SALES, STOCK = (Space.run("/", path) for path in ("/sales", "/stock"))
ALICE, BOB = (Identity("hub", "hub", "user", name) for name in ("alice", "bob"))


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of the store."""
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A store with the state of two people on two dashboards, and a secret of the servers."""
    store = open_store(url)
    for who in (ALICE, BOB):
        store.apply(scope_of("session", SALES, who, "tab-1"), {}, {"step": "2"}, (), None)
        store.apply(scope_of("visitor", SALES, who), {}, {"stars": '["' + "x" * 99 + '"]'}, (), None)
        store.apply(scope_of("visitor", STOCK, who), {}, {"n": "1"}, (), None)
    store.apply(scope_of("shared", SALES, None), {}, {"votes": "3"}, (), None)
    store.apply(Scope("meta", ""), {}, {"cookie_secret": "hidden-7f3a"}, (), None)
    yield store
    store.close()


def run(url: str, *arguments: str) -> int:
    """Return the exit status of a command."""
    return cli.main(["state", *arguments, f"--AppMetaExtension.state_url={url}"])


def test_it_lists_who_has_what(url: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """With sizes and without values, and nothing that servers keep for themselves."""
    assert run(url, "list") == 0
    shown = capsys.readouterr().out
    assert [line.split() for line in shown.splitlines()][:1] == [
        ["session", "/sales", "hub:user:alice", "1", "entries,", "1", "bytes"]
    ]
    assert len(shown.splitlines()) == 7 and "xxx" not in shown and "hidden-7f3a" not in shown


def test_it_shows_and_exports(url: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a person, on each dashboard; of a dashboard, everybody's. Long values are cut where they are shown."""
    assert run(url, "show", "--user", "hub:user:alice") == 0
    shown = capsys.readouterr().out
    assert "visitor  /stock  hub:user:alice  'n' = 1\n" in shown and "…\n" in shown and "bob" not in shown
    assert run(url, "export", "--dashboard", "/sales") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(line["person"], line["key"]) for line in lines} == {
        *((f"hub:user:{name}", key) for name in ("alice", "bob") for key in ("step", "stars")),
        (None, "votes"),
    }
    assert run(url, "show", "--dashboard", "/none/") == 0
    assert capsys.readouterr() == ("", "Nothing is stored for /none.\n")


def test_it_forgets_a_person(url: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """In each tab and dashboard; grants are refused and pages ended. Others keep theirs."""
    server = Sessions(store, "aaaa")
    Lease(store, "aaaa").take()
    rows = [
        server.open(Session("", "", who.text, who.username, "user", SALES.text, "/sales", "k", None, 1.0))
        for who in (ALICE, BOB)
    ]
    assert run(url, "forget", "--user", "hub:user:alice") == 2
    assert "add --yes" in capsys.readouterr().err
    assert len(list(keeping.export(store, "hub:user:alice"))) == 3
    assert run(url, "forget", "--user", "hub:user:alice", "--yes") == 0
    assert capsys.readouterr().out == "Erased 3 entries of hub:user:alice.\n"
    assert list(keeping.export(store, "hub:user:alice")) == []
    assert len(list(keeping.export(store, "hub:user:bob"))) == 3
    assert Revoked(store).not_before(ALICE) and Revoked(store).not_before(BOB) is None
    assert server.take() == (Command("end", rows[0].id),)


def test_what_is_written_while_a_person_is_forgotten_goes_too(store: Store) -> None:
    """A server may believe a grant for a moment more."""
    Lease(store, "aaaa").take()

    def late(seconds: float) -> None:
        store.apply(scope_of("visitor", SALES, ALICE), {}, {"late": "1"}, (), None)

    assert keeping.forget(store, keeping.Whose("hub:user:alice"), late) == 4
    assert list(keeping.export(store, "hub:user:alice")) == []
    with pytest.raises(ValueError, match="name a person or a dashboard"):
        keeping.forget(store, keeping.Whose())


def test_it_forgets_a_dashboard(url: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Of everybody; other dashboards stay."""
    assert run(url, "forget", "--dashboard", "/sales", "--yes") == 0
    assert capsys.readouterr().out == "Erased 5 entries of /sales.\n"
    assert {keeping.place_of(row) for row in keeping.rows(store)} == {"/stock"}


def test_it_asks_before_it_erases(url: str, store: Store) -> None:
    """On a terminal. Any answer but yes erases nothing."""
    pid, terminal = pty.fork()
    if not pid:
        option = f"--AppMetaExtension.state_url={url}"
        words = ["-m", "jupyter_app_meta", "state", "forget", "--user=hub:user:alice", option]
        os.execv(sys.executable, [sys.executable, *words])
    shown = b""
    while not shown.endswith(b"[y/N] "):
        shown += os.read(terminal, 1024)
    os.write(terminal, b"no\n")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    assert (status, b"Erase 3 entries of hub:user:alice for good?" in shown) == (1, True)
    assert len(list(keeping.export(store, "hub:user:alice"))) == 3


def test_it_sweeps(url: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a server has swept within the hour."""
    store.apply(scope_of("shared", SALES, None), {}, {"over": "1"}, (), 0.001)
    while "over" in store.read(scope_of("shared", SALES, None).id, None):
        pass
    assert keeping.sweep(store) is not None
    assert run(url, "sweep") == 0
    assert capsys.readouterr().out.startswith("Erased ")


def test_it_sweeps_what_was_not_used_for_as_long_as_the_deployer_says(url: str, store: Store) -> None:
    """Of visitors and of their tabs; what is shared stays, and so does what is used."""
    moment = 1e-9  # of a day
    used = f"--AppMetaExtension.state_retention={{'visitor': 1, 'session': {moment}}}"
    assert run(url, "sweep", used) == 0
    assert {row.scope.audience for row in keeping.rows(store)} == {"visitor", "shared"}
    assert run(url, "sweep", f"--AppMetaExtension.state_retention={{'visitor': {moment}}}") == 0
    assert {row.scope.audience for row in keeping.rows(store)} == {"shared"}


@pytest.mark.parametrize(
    ("place", "arguments", "status", "said"),
    [
        ("off", ["list"], 1, "state is not kept"),
        ("sqlite:////tmp/no-such-folder/state.db", ["list"], 1, "there is no state yet"),
        ("redis://ada:s3cret@localhost:1/0", ["list"], 1, "jupyter app-meta: "),
        ("mongodb://ada:s3cret@localhost", ["sweep"], 1, "state_url"),
        ("off", ["list", "--AppMetaExtension.state_ur=x"], 2, "did you mean"),
    ],
)
def test_a_store_that_cannot_be_read_is_named(
    place: str, arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the password of its URL."""
    assert run(place, *arguments) == status
    shown = capsys.readouterr()
    assert said in shown.err and "s3cret" not in shown.err + shown.out


def test_a_person_is_named_fully(url: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Realm, kind and username; or a dashboard."""
    assert run(url, "export", "--user", "alice") == 2
    assert "such as hub:user:alice" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        run(url, "forget", "--yes")


def test_a_path_of_several_deployments_is_not_guessed(
    url: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dashboards of two teams may have one path: the operator says which is meant."""
    other = Space.run("/team/", "/sales")
    store.apply(scope_of("shared", other, None), {}, {"votes": "9"}, (), None)
    assert run(url, "forget", "--dashboard", "/sales", "--yes") == 2
    assert "--deployment, one of /, /team/." in capsys.readouterr().err
    assert run(url, "forget", "--dashboard", "/sales", "--deployment", "/team/", "--yes") == 0
    assert store.read(scope_of("shared", SALES, None).id, None) and not store.read(
        scope_of("shared", other, None).id, None
    )
    assert run(url, "forget", "--user", "hub:user:alice", "--deployment", "/team/", "--yes") == 2


def test_the_list_is_json_for_programs(url: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """With the same owners and sizes; another command does not propose its own unknown option."""
    assert run(url, "list", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0] == {
        "audience": "session",
        "dashboard": "/sales",
        "person": "hub:user:alice",
        "entries": 1,
        "bytes": 1,
    }
    assert found[2] == {"audience": "shared", "dashboard": "/sales", "person": "", "entries": 1, "bytes": 1}
    assert run(url, "sweep", "--json") == 2
    assert "did you mean --json" not in capsys.readouterr().err


def test_a_long_name_is_shown_apart_from_what_follows(
    url: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator copies it from the list: a person without a login has a long name."""
    browser = Identity("jupyter_server.auth.identity.PasswordIdentityProvider", "none", "browser", "0" * 32)
    long = Space.run("/", f"/{'folder/' * 9}sales")
    store.apply(scope_of("visitor", long, browser), {}, {"n": "1"}, (), None)
    assert run(url, "list") == 0
    found = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["visitor", long.place, keeping.person_of(next(store.export(Where(space=long.text)))), "1"] in [
        line[:4] for line in found
    ]


def test_names_cannot_control_the_terminal(url: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """What a visitor is called is printed without control characters."""
    odd = Identity("hub", "hub", "user", "\x1b[2J")
    store.apply(scope_of("visitor", SALES, odd), {}, {"n": "1"}, (), None)
    assert run(url, "list") == 0 and "\x1b" not in capsys.readouterr().out


def test_a_value_is_read_and_set(url: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A dashboard's, or a person's on it. A new dashboard needs the name of its deployment."""
    on_sales = ("--dashboard", "/sales")
    assert run(url, "get", *on_sales, "votes") == 0 and run(url, "set", *on_sales, "votes=0", 'title="é"') == 0
    assert run(url, "get", *on_sales, "title") == 0
    assert capsys.readouterr().out == "3\nSet 'votes', 'title' of /sales.\n\"\\u00e9\"\n"
    alice = ("--user", "hub:user:alice")
    assert run(url, "set", *on_sales, *alice, "stars=[]") == 0 and run(url, "get", *on_sales, *alice, "stars") == 0
    assert capsys.readouterr().out.endswith("[]\n")
    assert store.read(scope_of("visitor", SALES, ALICE).id, None)["stars"].text == "[]"
    assert store.read(scope_of("visitor", SALES, BOB).id, None)["stars"].text != "[]"
    assert run(url, "set", "--dashboard", "/new", "n=1") == 1
    capsys.readouterr()
    assert run(url, "set", "--dashboard", "/new/", "--deployment", "/", "n=0") == 0
    new = "Set 'n' of /new.\nNo state was stored there: check that a dashboard of / is at /new.\n"
    assert capsys.readouterr().out == new
    assert run(url, "set", "--dashboard", "/new/", "n=1") == 0 and capsys.readouterr().out == "Set 'n' of /new.\n"
    assert store.read(scope_of("shared", Space.run("/", "/new"), None).id, None)["n"].text == "1"


def test_the_first_value_is_put_where_a_running_server_has_the_dashboard(
    url: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its row in the store says so. Several deployments are not guessed; the configuration may name its own."""
    Lease(store, "aaaa", Served.of("/", {"/fresh": "fresh", "/both": "both"})).take()
    Lease(store, "bbbb", Served.of("/team/", {"/both": "both"})).take()
    assert run(url, "set", "--dashboard", "/fresh", "n=1") == 0
    assert capsys.readouterr().out == "Set 'n' of /fresh.\n"
    assert run(url, "set", "--dashboard", "/both", "n=1") == 1
    assert "add --deployment" in capsys.readouterr().err
    assert run(url, "set", "--dashboard", "/both", "--deployment", "/team/", "n=1") == 0
    assert run(url, "set", "--dashboard", "/own", "n=1", "--AppMetaExtension.state_deployment=sales") == 0
    assert "check that a dashboard of sales is at /own" in capsys.readouterr().out
    for deployment, path in (("/", "/fresh"), ("/team/", "/both"), ("sales", "/own")):
        assert store.read(scope_of("shared", Space.run(deployment, path), None).id, None)["n"].text == "1"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["set", "votes"], 2, "must be a key and its value"),
        (["set", "votes=three"], 2, "a text has quotes"),
        (["set", "votes=NaN"], 2, "JSON has no such number"),
        (["set", "votes=1e999"], 2, "JSON has no such number"),
        (["set", f"n={'[' * 60}{']' * 60}"], 2, "nested"),
        (["set", f"{'k' * 300}=1"], 2, "state_limits['key']"),
        (["set", "a=1", "b=2", "--AppMetaExtension.state_limits={'keys':2}"], 1, "state_limits['keys']"),
        (["set", "--user", "hub:user:carol", "n=1"], 1, "after a visit"),
        (["set", "--user", "carol", "n=1"], 2, "such as hub:user:alice"),
        (["get", "none"], 1, "/sales has no 'none'"),
    ],
)
def test_a_value_that_cannot_be_set_is_refused(
    url: str, store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, said: str
) -> None:
    """By name, and nothing has changed."""
    verb, *rest = arguments
    assert run(url, verb, "--dashboard", "/sales", *rest) == status
    assert said in capsys.readouterr().err
    assert list(store.read(scope_of("shared", SALES, None).id, None)) == ["votes"]


def test_a_value_of_several_deployments_is_not_guessed(
    url: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """The operator names the deployment that is meant."""
    store.apply(scope_of("shared", Space.run("/team/", "/sales"), None), {}, {"votes": "9"}, (), None)
    assert run(url, "set", "--dashboard", "/sales", "votes=0") == 2
    assert "--deployment, one of /, /team/." in capsys.readouterr().err
    assert run(url, "get", "--dashboard", "/sales", "--deployment", "/team/", "votes") == 0
    assert capsys.readouterr().out == "9\n"


def test_a_store_is_copied(url: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is left of each time, the servers' secret and revocations, and without what belongs to a server."""
    shared = scope_of("shared", SALES, None)
    store.apply(shared, {}, {"soon": "1"}, (), 1000)
    store.apply(shared, {}, {str(number): "1" for number in range(1100)}, (), None)
    Revoked(store).revoke(BOB)
    Lease(store, "aaaa").take()
    target = f"sqlite:///{tmp_path}/new/copy.db"
    (tmp_path / "target").write_text(target)
    assert run("off", "copy", url, str(tmp_path / "target")) == 0
    assert capsys.readouterr().out == (
        "Copied 1110 entries. Servers use the store: what they store from now on is not copied.\n"
    )
    copied = open_store(target)
    kept = [(row.scope, row.key, row.text) for row in keeping.rows(copied)]
    assert kept == [(row.scope, row.key, row.text) for row in keeping.rows(store)]
    assert copied.read("", None) == {} and Revoked(copied).not_before(BOB) and not alive(copied)
    assert copied.read(Scope("meta", "").id, None)["cookie_secret"].text == "hidden-7f3a"
    [soon] = [row for row in copied.export(Where(scope=shared.id)) if row.key == "soon"]
    assert soon.expires is not None and 0 < soon.expires - time.time() <= 1000
    copied.close()
    assert run("off", "copy", url, target) == 1
    assert "has state already" in capsys.readouterr().err


def test_a_copy_has_no_password_among_its_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And names a file without a URL, or a store that there is not."""
    for source, status, said in (
        ("redis://:s3cret@localhost:1/0", 2, "write it into a file"),
        ("redis://localhost:1/0?password=s3cret", 2, "write it into a file"),
        ("unix:///none?db=0&password=s3cret", 2, "write it into a file"),
        ("postgresql://localhost:1/db?sslpassword=s3cret", 2, "write it into a file"),
        ("mariadb://localhost:1/db?passwd=s3cret", 2, "write it into a file"),
        (str(tmp_path / "none"), 1, "cannot be read"),
        ("ftp://x", 1, "no store for"),
        (f"sqlite:///{tmp_path}/typo.db", 1, "typo.db does not exist"),
        ("redis://localhost:1/0", 1, "cannot be used"),
    ):
        assert run("off", "copy", source, f"sqlite:///{tmp_path}/copy.db") == status
        shown = capsys.readouterr()
        assert said in shown.err and "s3cret" not in shown.err + shown.out
    assert [file.name for file in tmp_path.glob("*.db")] == []
