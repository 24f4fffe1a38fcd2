"""Redis, PostgreSQL and MariaDB as servers of a test's own, on Unix sockets that nothing else knows."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jupyter_app_meta.errors import StateUnavailable
from jupyter_app_meta.state.stores.base import Keep, Store, for_ever
from jupyter_app_meta.state.stores.open import open_store

ENCRYPTED, KEYS = "encrypted+", (b"1" * 32, b"2" * 32)
"""How a URL begins whose store is to be encrypted, and with which keys."""


def open_any(url: str, keep: Keep = for_ever) -> Store:
    """Open the store of a URL that `empty_store` yields."""
    keys = KEYS if url.startswith(ENCRYPTED) else ()
    return open_store(url.removeprefix(ENCRYPTED), keep, keys)


class Server(ABC):
    """A database server that can be stopped and started again, with nothing of it left at the end."""

    end = signal.SIGINT

    def __init__(self, folder: Path, account: str | None) -> None:
        self.folder, self.account = folder, account
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """What `open_store` takes."""

    @property
    @abstractmethod
    def command(self) -> list[str]:
        """What starts it."""

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **_as(self.account)
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(self.end)
            try:
                self.process.wait(30)
            finally:
                self.process.kill()
                self.process.wait()
                self.process = None

    def _answers(self) -> bool:
        store = open_store(self.url)
        try:
            store.check()
        except StateUnavailable:
            return False
        finally:
            store.close()
        return True


class RedisServer(Server):
    """A Redis that keeps nothing on a disk."""

    @property
    def url(self) -> str:
        """What `open_store` takes."""
        return f"unix://{self.folder}/redis"

    @property
    def command(self) -> list[str]:
        """What starts it."""
        place = ["--port", "0", "--unixsocket", str(self.folder / "redis")]
        return [_redis(), *place, "--save", "", "--appendonly", "no", "--dir", str(self.folder)]


class PostgresServer(Server):
    """A PostgreSQL with an empty database, which trusts each client that reaches its socket."""

    @property
    def url(self) -> str:
        """What `open_store` takes."""
        return f"postgresql://app@/postgres?host={self.folder}"

    @property
    def command(self) -> list[str]:
        """What starts it."""
        options = ["listen_addresses=", f"unix_socket_directories={self.folder}", "fsync=off"]
        return [str(_postgres() / "postgres"), "-D", str(self.folder / "data"), *(f"-c{option}" for option in options)]

    def start(self) -> None:
        """Start it, and make its data first."""
        if not (self.folder / "data").exists():
            make = [str(_postgres() / "initdb"), "-D", str(self.folder / "data")]
            options = ["-A", "trust", "-U", "app", "-E", "UTF8", "--no-sync", "--no-locale"]
            subprocess.run([*make, *options], check=True, capture_output=True, cwd=self.folder, **_as(self.account))
        super().start()


class MariaServer(Server):
    """A MariaDB with an empty database, which trusts each client that reaches its socket."""

    end = signal.SIGTERM

    @property
    def url(self) -> str:
        """What `open_store` takes."""
        return f"mariadb://root@/test?unix_socket={self.folder}/socket"

    @property
    def command(self) -> list[str]:
        """What starts it."""
        options = [f"--socket={self.folder}/socket", "--skip-networking", f"--pid-file={self.folder}/pid"]
        return [_maria("mariadbd"), *self._options, *options, *self.more]

    more: tuple[str, ...] = ()
    """What is changed of its defaults."""

    @property
    def _options(self) -> list[str]:
        own = ["--user=root"] if os.getuid() == 0 else []
        light = ["--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M"]
        return ["--no-defaults", *own, f"--datadir={self.folder}/data", *light]

    def start(self) -> None:
        """Start it, and make its data first."""
        if not (self.folder / "data").exists():
            make = [_maria("mariadb-install-db"), *self._options, "--auth-root-authentication-method=normal"]
            subprocess.run(make, check=True, capture_output=True, cwd=self.folder)
        super().start()


def outside(server: Server, *, autocommit: bool = True) -> Any:
    """Return a connection of another client to a SQL database. Its cursors take ``%s``."""
    if isinstance(server, MariaServer):
        import pymysql  # most tests need none

        return pymysql.connect(
            user="root", unix_socket=f"{server.folder}/socket", database="test", autocommit=autocommit
        )
    return psycopg.connect(server.url, autocommit=autocommit)


def asked(db: Any, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows that a statement gives on a connection of `outside`."""
    with closing(db.cursor()) as cursor:
        cursor.execute(statement, values or None)
        return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def running(kind: type[Server]) -> Iterator[Server]:
    """Run a server until the block ends; a machine without its program skips the test, but in CI."""
    account = "postgres" if kind is PostgresServer and os.getuid() == 0 else None
    PROGRAMS[kind]()
    # A socket's path must be short, and PostgreSQL's account must reach it.
    folder = Path(tempfile.mkdtemp(prefix="state-"))
    if account is not None:
        shutil.chown(folder, account)
    server = kind(folder, account)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@contextmanager
def empty_store(kind: str, folder: Path) -> Iterator[str]:
    """Yield the URL of a store of one kind, with its server where it needs one."""
    match kind:
        case "encrypted":
            yield f"{ENCRYPTED}sqlite:///{folder}/own/state.db"
        case "sqlite":
            yield f"sqlite:///{folder}/own/state.db"
        case "sqlalchemy":
            yield f"sqlite+pysqlite:///{folder}/state.db"
        case _:
            with running(KINDS[kind]) as server:
                yield server.url


def _as(account: str | None) -> dict[str, Any]:
    """Return how a process is started as another account: PostgreSQL refuses root."""
    return {} if account is None else {"user": account, "group": account, "extra_groups": []}


def _redis() -> str:
    names = (os.environ.get("REDIS_SERVER", ""), "redis-server", "valkey-server")
    return next((found for name in names if name and (found := shutil.which(name))), "") or _missing("Redis")


def _postgres() -> Path:
    named = os.environ.get("POSTGRES_BIN", "")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    onpath = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    folders = [*([Path(named)] if named else []), *installed, *onpath]
    return next((folder for folder in folders if (folder / "initdb").exists()), None) or Path(_missing("PostgreSQL"))


def _maria(program: str) -> str:
    # Debian keeps servers in a folder that is on the path of root only.
    path = os.pathsep.join([os.environ.get("MARIADB_BIN", ""), os.environ.get("PATH", ""), "/usr/sbin"])
    return shutil.which(program, path=path) or _missing("MariaDB")


def _missing(program: str) -> str:
    message = f"there is no {program}: tools/ensure-databases.sh installs one"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


KINDS: dict[str, type[Server]] = {"redis": RedisServer, "postgresql": PostgresServer, "mariadb": MariaServer}
PROGRAMS: dict[type[Server], Callable[[], object]] = {
    RedisServer: _redis,
    PostgresServer: _postgres,
    MariaServer: lambda: (_maria("mariadbd"), _maria("mariadb-install-db")),
}
