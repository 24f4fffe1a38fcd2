"""From a URL to a store: what is refused, and what is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_app_meta.errors import PolicyError, RequirementMissing
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
        ("postgresql+psycopg2://user:s3cret@host/db", "this driver is not supported: use sqlite:///, postgresql://"),
        ("sqlite+aiosqlite:///state.db", "this driver is not supported"),
        ("mysql+pymysql://user:s3cret@host/db", r"no store for 'mysql\+pymysql', because it takes Alice and alice for"),
        ("mariadb://user:s3cret@host/db", "because it takes Alice and alice for one person: use sqlite:///"),
        ("oracle://user:s3cret@host/db", "because it has no empty text"),
        ("mssql+pyodbc://user:s3cret@host/db", "because it does not let writers of one scope take turns"),
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
    [("redis://localhost", "redis", "state-redis"), ("postgresql://localhost/app", "sqlalchemy", "state-sql")],
)
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, url: str, package: str, extra: str) -> None:
    """With the command that installs it."""
    for name in [name for name in sys.modules if name.split(".")[0] == package or ".state.stores." in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RequirementMissing, match=rf"needs {package}: pip install 'jupyter-app-meta\[{extra}\]'"):
        open_store(url)


def test_a_file_needs_neither_redis_nor_sqlalchemy(tmp_path: Path) -> None:
    """Servers that keep state in a file do not pay for what others use."""
    code = (
        "import sys; from jupyter_app_meta.state.stores.open import open_store; "
        f"open_store('sqlite:///{tmp_path}/state.db').check(); "
        "print(sorted({'redis', 'sqlalchemy', 'psycopg', 'tornado', 'traitlets'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "[]\n"
