"""From a URL to a store: what is refused, and what is imported."""

from __future__ import annotations

import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from jupyter_app_meta.errors import PolicyError, RequirementMissing, StateUnavailable
from jupyter_app_meta.state.stores.open import open_store


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mongodb://user:s3cret@host/db", "no store for 'mongodb'"),
        ("redis", "no store for 'redis'"),
        ("", "no store for ''"),
        ("/var/state.db", "no store for '/var/state.db'"),
        ("sqlite://", "sqlite:////absolute/path"),
        ("sqlite:///", "sqlite:////absolute/path"),
        ("sqlite:///:memory:", "sqlite:////absolute/path"),
        ("sqlite://state:s3cret.db", "sqlite:////absolute/path"),
        ("redis://user:s3cret@host:port", "not a Redis URL"),
        ("postgresql://user:s3cret@host:port/db", "not a database URL"),
        ("postgresql+parrot://user:s3cret@host/db", r"'postgresql\+parrot', because this driver is not supported: use"),
        (
            "mysql+parrot://user:s3cret@host/db",
            r"'mysql\+parrot', because this driver is not supported: use sqlite:///",
        ),
        ("sqlite+aiosqlite:///state.db", "because this driver is not supported, as it is asynchronous: use sqlite:///"),
        ("mysql+aiomysql://user:s3cret@host/db", r"'mysql\+aiomysql', because .* as it is asynchronous"),
        ("postgresql+asyncpg://user:s3cret@host/db", r"'postgresql\+asyncpg', because .* as it is asynchronous"),
        ("mysql+pymysql://user:s3cret@host:port/db", "not a database URL"),
        ("mongodb+srv://user:s3cret@host/db", r"no store for 'mongodb\+srv': use sqlite:///"),
        ("../sql://user:s3cret@host/db", r"no store for '\.\./sql': use sqlite:///"),
    ],
)
def test_a_url_of_no_store_is_named(url: str, problem: str) -> None:
    """The error names the option and the scheme, and shows no password."""
    with pytest.raises(PolicyError, match=problem) as refused:
        open_store(url)
    assert str(refused.value).startswith("AppMetaExtension.state_url: ") and "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("redis://localhost", "redis", "state-redis"),
        ("postgresql://localhost/app", "sqlalchemy", "state-sql"),
        ("mysql+mysqldb://localhost/app", "sqlalchemy", "state-sql"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, url: str, package: str, extra: str) -> None:
    """With the command that installs it."""
    for name in [name for name in sys.modules if name.split(".")[0] == package or ".state.stores." in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RequirementMissing, match=rf"needs {package}: pip install 'jupyter-app-meta\[{extra}\]'"):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "module", "package"),
    [
        ("mysql+mysqldb://user:s3cret@host/db", "MySQLdb", "mysqlclient"),
        ("mariadb://user:s3cret@host/db", "pymysql", r"jupyter-app-meta\[state-sql\]"),
        ("postgresql+psycopg2://user:s3cret@host/db", "psycopg2", "psycopg2-binary"),
        ("oracle+oracledb://user:s3cret@host/db", "oracledb", "oracledb"),
    ],
)
def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch, url: str, module: str, package: str) -> None:
    """With what installs it, whose name is not always that of the module."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RequirementMissing, match=f"needs {package}: pip install '{package}'") as missing:
        open_store(url)
    assert "s3cret" not in str(missing.value)


@pytest.mark.parametrize(
    ("url", "driver", "option"),
    [
        ("mariadb://user:s3cret@/db?sslmode=s3cret", "pymysql", "sslmode"),
        ("mysql://user:s3cret@/db?ssl=s3cret", "pymysql", "ssl"),
        ("mysql://user:s3cret@/db?read_timeout=s3cret", "pymysql", "read_timeout"),
        ("postgresql://user:s3cret@/db?parrot=s3cret", "psycopg", "parrot"),
        ("postgresql+pg8000://user:s3cret@/db?sslmode=s3cret", "pg8000", "sslmode"),
    ],
)
def test_an_option_that_a_driver_does_not_take_is_refused(url: str, driver: str, option: str) -> None:
    """Each driver has its own. The error names them, and not what they are set to."""
    with pytest.raises(PolicyError, match=rf"the driver {driver} does not take .*\({option}\)\.") as refused:
        open_store(url).check()
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))


def test_a_file_that_a_driver_does_not_find_is_an_error_of_the_store() -> None:
    """It is read when the driver connects. Pages work without their state."""
    with pytest.raises(StateUnavailable, match="cannot be used: FileNotFoundError"):
        open_store("mariadb://user@localhost/db?ssl_ca=/not/there").check()


def test_a_scheme_of_nothing_is_no_matter_of_sqlalchemy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without SQLAlchemy, too, the URL is what is wrong."""
    for name in [name for name in sys.modules if name.split(".")[0] == "sqlalchemy" or ".state.stores." in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(PolicyError, match="no store for 'mongodb': use sqlite:///"):
        open_store("mongodb://user:s3cret@host/db")


def test_a_file_needs_neither_redis_nor_sqlalchemy(tmp_path: Path) -> None:
    """Servers that keep state in a file do not pay for what others use."""
    code = (
        "import sys; from jupyter_app_meta.state.stores.open import open_store; "
        f"open_store('sqlite:///{tmp_path}/state.db').check(); "
        "print(sorted({'redis', 'sqlalchemy', 'psycopg', 'tornado', 'traitlets'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "[]\n"
