"""The files for containers and systemd: their commands are commands of ours, and the programs can read them."""

from __future__ import annotations

import json
import logging
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from jupyter_app_meta.cli import arguments
from jupyter_app_meta.cli.serve import Serve

DEPLOY = Path(__file__).resolve().parents[2] / "docs" / "deploy"


def commands() -> dict[str, list[str]]:
    """Return the command of each file."""
    docker = re.search(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    unit = re.search(r"^ExecStart=(.*)$", (DEPLOY / "dashboards.service").read_text(), re.MULTILINE)
    assert docker and unit
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(compose["services"]) == {"dashboards", "store", "nginx"}
    return {
        "Dockerfile": json.loads(docker[1]),
        "compose.yaml": compose["services"]["dashboards"]["command"],
        "dashboards.service": shlex.split(unit[1]),
    }


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "dashboards.service"])
def test_each_command_is_one_of_ours(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` takes all options of the command. The users of the container are in a file of ours."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "people.toml").write_text("[alice]\n")
    monkeypatch.chdir(tmp_path)
    program, command, *given = [word.replace("/run/secrets/people", "people.toml") for word in commands()[name]]
    assert (Path(program).name, command) == ("jupyter-app-meta", "serve")
    arguments.refuse_misspelt(given)
    app = Serve(log=logging.getLogger(__name__))
    app.initialize(given)
    app.builder().check()
    assert app.port_retries == 0


def test_programs_read_the_files(tmp_path: Path) -> None:
    """systemd and nginx accept their files, where these programs are."""
    if analyze := shutil.which("systemd-analyze"):
        unit = (DEPLOY / "dashboards.service").read_text()
        unit = re.sub(r"ExecStart=\S+", f"ExecStart={shutil.which('true')}", unit).replace(
            "User=dashboards", "User=root"
        )
        (tmp_path / "dashboards.service").write_text(unit)
        done = subprocess.run(
            [analyze, "verify", "--man=no", str(tmp_path / "dashboards.service")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "dashboards.service" not in done.stderr, done.stderr
    if nginx := shutil.which("nginx"):
        text = (DEPLOY / "nginx.conf").read_text().replace("//dashboards:", "//127.0.0.1:")
        text = text.replace("listen 80", f"listen unix:{tmp_path}/door")
        text = f"pid {tmp_path}/pid; error_log {tmp_path}/log;\n{text}"
        (tmp_path / "nginx.conf").write_text(text)
        done = subprocess.run(
            [nginx, "-t", "-c", str(tmp_path / "nginx.conf")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
