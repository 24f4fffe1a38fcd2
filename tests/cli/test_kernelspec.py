"""``jupyter app-meta kernelspec``, run as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from tests.cli.conftest import Site

CELL = """
import sys, jupyter_app_meta
print(sys.executable, jupyter_app_meta.app_meta().mode, *get_ipython().extension_manager.loaded)
"""


def kernel(folder: Path, name: str = "python3-app-meta") -> tuple[Path, dict[str, object]]:
    """Return the folder and content of an installed kernelspec."""
    place = folder / "share" / "jupyter" / "kernels" / name
    return place, json.loads((place / "kernel.json").read_text())


def said_by_kernel(argv: list[str]) -> str:
    """Start a kernel with this command, run the cell, return what it printed."""
    manager = KernelManager()
    assert manager.kernel_spec is not None
    manager.kernel_spec.argv[:] = argv
    manager.start_kernel(stderr=subprocess.DEVNULL)
    client = manager.client()
    printed: list[str] = []
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        client.execute_interactive(CELL, timeout=60, output_hook=lambda m: printed.append(m["content"].get("text", "")))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
    return "".join(printed)


def test_install_registers_this_interpreter(site: Site) -> None:
    """The kernelspec starts the interpreter that ran the command, loads the extension, and has its logos."""
    prefix = site.root / "env"
    result = site.run("kernelspec", "install", "--prefix", str(prefix))
    folder, spec = kernel(prefix)
    assert (result.returncode, result.stdout) == (0, f"Installed the kernel python3-app-meta in {folder}\n")
    assert spec["argv"] == [
        sys.executable,
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
        "--ext=jupyter_app_meta",
    ]
    assert spec["display_name"] == "Python 3 (request-aware)"
    assert {path.name for path in folder.iterdir()} == {
        "kernel.json",
        "logo-32x32.png",
        "logo-64x64.png",
        "logo-svg.svg",
    }


def test_the_kernel_starts_with_the_extension(site: Site) -> None:
    """A kernel that is started from the kernelspec has the extension loaded."""
    site.run("kernelspec", "install", "--prefix", str(site.root))
    argv = kernel(site.root)[1]["argv"]
    assert isinstance(argv, list)
    words = said_by_kernel(argv).split()
    assert words[:2] == [sys.executable, "script"]
    assert "jupyter_app_meta" in words[2:]


@pytest.mark.py313
def test_a_foreign_environment_registers_its_kernel(site: Site, python313: str) -> None:
    """The command of another environment registers that environment's kernel with this one's server."""
    command = [python313, "-m", "jupyter_app_meta.cli", "kernelspec", "install", "--prefix", str(site.root)]
    subprocess.run([*command, "--name", "py313", "--display-name", "Python 3.13"], check=True, capture_output=True)
    _, spec = kernel(site.root, "py313")
    assert spec["display_name"] == "Python 3.13"
    assert isinstance(spec["argv"], list)
    assert said_by_kernel(spec["argv"]).split()[0] == python313


def test_install_needs_no_jupyter_server(site: Site) -> None:
    """The command works in a kernel's environment, where there is no jupyter_server."""
    site.hide("jupyter_server")
    result = site.run("kernelspec", "install", "--prefix", str(site.root))
    assert (result.returncode, result.stderr) == (0, "")


def test_install_for_the_user(site: Site) -> None:
    """`--user` installs into the user's own data folder; a name without display name is shown as such."""
    data = site.root / "data"
    result = site.run("kernelspec", "install", "--user", "--name", "mine", JUPYTER_DATA_DIR=str(data))
    assert result.returncode == 0
    spec = json.loads((data / "kernels/mine/kernel.json").read_text())
    assert spec["display_name"] == "mine (request-aware)"


def test_install_replaces(site: Site) -> None:
    """A kernel of the same name is replaced as a whole."""
    site.run("kernelspec", "install", "--prefix", str(site.root))
    folder, _ = kernel(site.root)
    (folder / "kernel.js").write_text("old")
    assert site.run("kernelspec", "install", "--prefix", str(site.root), "--display-name", "New").returncode == 0
    assert kernel(site.root)[1]["display_name"] == "New"
    assert not (folder / "kernel.js").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a b", "ä", "-x", "a/b", "Upper", "a\n"])
def test_a_bad_name_is_refused(site: Site, name: str) -> None:
    """A name that is not a valid kernel name is refused in one line, and nothing is written."""
    result = site.run("kernelspec", "install", "--prefix", str(site.root / "env"), f"--name={name}")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "is not a kernel name" in result.stderr
    assert not (site.root / "env").exists()


def test_an_unknown_argument_is_refused_with_the_nearest(site: Site) -> None:
    """A misspelt argument is refused with the nearest valid one, and nothing is written."""
    result = site.run("kernelspec", "install", "--prefix", str(site.root / "env"), "--nmae", "x")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "jupyter app-meta: unknown option --nmae; did you mean --name?\n"
    assert not (site.root / "env").exists()


def test_a_place_must_be_named(site: Site) -> None:
    """Where to install is never guessed."""
    result = site.run("kernelspec", "install")
    assert result.returncode == 2
    assert "--sys-prefix" in result.stderr


def test_a_place_that_cannot_be_written_is_one_line(site: Site) -> None:
    """A folder that cannot be written is an error of one line, with exit status 1."""
    (site.root / "file").write_text("")
    result = site.run("kernelspec", "install", "--prefix", str(site.root / "file"))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "cannot write" in result.stderr


def test_remove_undoes_install(site: Site) -> None:
    """`remove` removes what `install` wrote, once."""
    place = ("--prefix", str(site.root), "--name", "mine")
    site.run("kernelspec", "install", *place)
    assert site.run("kernelspec", "remove", *place).returncode == 0
    assert not (site.root / "share/jupyter/kernels/mine").exists()
    again = site.run("kernelspec", "remove", *place)
    assert again.returncode == 1
    assert "there is no kernel 'mine'" in again.stderr


def test_remove_leaves_other_kernels_alone(site: Site) -> None:
    """A kernel that does not load our extension is not ours, so it stays."""
    folder = site.root / "share/jupyter/kernels/other"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text('{"argv": ["python", "-m", "ipykernel"]}')
    assert site.run("kernelspec", "remove", "--prefix", str(site.root), "--name", "other").returncode == 1
    assert folder.exists()


def test_kernel_of_another_package_is_replaced_only_if_told_to(site: Site, tmp_path: Path) -> None:
    """``--name python3`` does not silently replace ipykernel's own kernel."""
    folder = tmp_path / "env" / "share" / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text('{"argv": ["python", "-m", "ipykernel_launcher"], "display_name": "theirs"}')
    where = ("--prefix", str(tmp_path / "env"), "--name", "python3")
    result = site.run("kernelspec", "install", *where)
    assert (result.returncode, result.stdout) == (1, "")
    assert "the kernel 'python3'" in result.stderr and "was not installed by jupyter-app-meta" in result.stderr
    assert "theirs" in (folder / "kernel.json").read_text()
    assert site.run("kernelspec", "install", *where, "--replace").returncode == 0
    assert site.run("kernelspec", "install", *where).returncode == 0  # now it is ours
    assert "theirs" not in (folder / "kernel.json").read_text()
