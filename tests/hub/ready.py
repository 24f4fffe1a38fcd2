"""A Hub with the very configuration of the documentation, and notebooks for its service of dashboards."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import free_port, kernelspec
from stage import KERNEL, write

from hub import Hub, hub_running

READY = Path(__file__).parents[2] / "docs" / "jupyterhub"

HUB_CONFIG = """
import os
own = c.JupyterHub.services, [role for role in c.JupyterHub.load_roles if role["name"] != "user"]
load_subconfig({ready!r})
here = {{"url": "http://127.0.0.1:{port}", "environment": {environment!r}}}
c.JupyterHub.services = [{{**c.JupyterHub.services[0], **here}}, *own[0]]
c.JupyterHub.load_roles = [*c.JupyterHub.load_roles, *own[1]]
os.environ["PATH"] = {path!r} + os.pathsep + os.environ["PATH"]
"""
"""What a test adds to the ready configuration: a free port, the harness's own services, and where our command is."""


@contextmanager
def ready_hub(home: Path, *cells: str, config: str = "") -> Iterator[Hub]:
    """Run it in ``home``: its service shows these cells to analysts (``sales``) and to everybody (``public``)."""
    ready = shutil.copytree(READY, home / "ready")
    kernelspec(home, KERNEL)
    for name in ("sales", "public"):
        write(ready / "dashboards" / f"{name}.ipynb", *cells)
    hub_config = HUB_CONFIG.format(
        ready=str(ready / "jupyterhub_config.py"),
        port=free_port(),
        path=str(Path(sys.executable).parent),
        environment={"JUPYTER_DATA_DIR": str(home / "data"), "JUPYTER_RUNTIME_DIR": str(home / "runtime")},
    )
    with hub_running(home, config=config, hub_config=hub_config) as hub:
        hub.wait(lambda: "Dashboards are served" in hub.log, "the service")
        yield hub
