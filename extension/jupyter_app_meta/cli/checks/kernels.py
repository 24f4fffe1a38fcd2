"""Which kernels are request-aware, by their kernelspecs and by the packages that their interpreters import."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._version import __version__
from ...requirements import NEEDED, is_older
from ..kernelspec import loads_extension
from .report import Row, Status

if TYPE_CHECKING:
    from jupyter_server.gateway.gateway_client import GatewayClient

TIMEOUT = 30
ASK = "import jupyter_app_meta, ipykernel; print(jupyter_app_meta.__version__, ipykernel.__version__)"
OWN_NAMES = ("python", "python3", "python{}.{}".format(*sys.version_info))  # Jupyter uses its own interpreter for these
OLDEST = NEEDED["ipykernel"]
LOAD = "%load_ext jupyter_app_meta"


def local() -> dict[str, dict[str, Any]]:
    """Return the kernelspecs that Jupyter finds from here."""
    from jupyter_client.kernelspec import KernelSpecManager

    return {name: found["spec"] for name, found in sorted(KernelSpecManager().get_all_specs().items())}


def at_gateway(options: GatewayClient) -> Iterator[Row]:
    """Yield what a gateway answers: its kernels, and whether one of them has this package. One kernel is started."""
    try:
        from ...dashboards.gateway import trial
        from ...server.gateway.client import GatewayFailed
    except ImportError:  # the extra `dashboards` is not installed, and this server needs none of it
        yield Row(Status.INFO, "kernels", "run behind a gateway: run this check there as well.")
        return
    try:
        specs = trial.kernels(options)
        found = ", ".join(sorted(specs)) or "none"
        yield Row(Status.OK if specs else Status.FAULT, "kernels", f"run behind the gateway {options.url}: {found}")
        names = sorted(name for name, spec in specs.items() if spec.get("language") == "python")
        if names:
            yield _judged_there(names[0], trial.version(options, names[0]))
    except GatewayFailed as error:
        yield Row(Status.FAULT, "gateway", str(error))


def _judged_there(name: str, version: str) -> Row:
    if version:
        return Row(Status.OK, f"kernel {name}", f"at the gateway: jupyter-app-meta is installed{_other(version)}")
    missing = "at the gateway: jupyter-app-meta is not installed in its environment. Install it there."
    return Row(Status.RISK, f"kernel {name}", missing)


def judge(name: str, spec: dict[str, Any]) -> tuple[Row, bool]:
    """Return the row of a kernel, and whether it is request-aware by itself."""
    subject, title = f"kernel {name}", f"“{spec.get('display_name', name)}”"
    argv = [str(part) for part in spec.get("argv") or [""]]
    aware = loads_extension(argv)
    if not aware and not _is_ipykernel(spec, argv):
        return Row(Status.INFO, subject, f"{title}: not an ipykernel, so it ignores the stamps."), False
    versions = installed(argv[0], tuple(sorted(spec.get("env", {}).items()))) if _can_ask(spec, argv) else ("", "")
    if versions is None:
        missing = f"jupyter-app-meta is not installed in the environment of {argv[0]}"
        return Row(Status.RISK if aware else Status.INFO, subject, f"{title}: {missing}."), False
    version, ipykernel = versions
    if ipykernel and is_older(ipykernel, OLDEST):
        old = (
            f"ipykernel {ipykernel} sometimes stops receiving messages from its page; dashboards need {OLDEST} or newer"
        )
        return Row(Status.RISK, subject, f"{title}: {old}{_other(version)}."), aware
    how = "request-aware" if aware else f"by `{LOAD}`"
    return Row(Status.OK if aware else Status.INFO, subject, f"{title}: {how}{_other(version)}"), aware


def _is_ipykernel(spec: dict[str, Any], argv: list[str]) -> bool:
    return spec.get("language") == "python" and any("ipykernel" in part for part in argv)


def _can_ask(spec: dict[str, Any], argv: list[str]) -> bool:
    """Whether the kernel's interpreter can be run here, without a provisioner or a wrapping command."""
    provisioner = (
        (spec.get("metadata") or {}).get("kernel_provisioner", {}).get("provisioner_name", "local-provisioner")
    )
    return provisioner == "local-provisioner" and Path(argv[0]).name.startswith("python")


def _other(version: str) -> str:
    return f" (version {version}, here {__version__})" if version and version != __version__ else ""


@lru_cache(maxsize=256)
def installed(executable: str, env: tuple[tuple[str, str], ...] = ()) -> tuple[str, str] | None:
    """Return the versions of this package and of ipykernel that an interpreter imports; None if one is missing."""
    path = sys.executable if executable in OWN_NAMES else executable
    try:
        answer = subprocess.run(  # noqa: S603  # the very command that the server would start
            [path, "-c", ASK],
            env={**os.environ, **dict(env)},
            cwd=Path(path).anchor or "/",
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version, _, ipykernel = answer.stdout.strip().partition(" ")
    return version, ipykernel
