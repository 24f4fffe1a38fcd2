"""An nginx in front of a server: a deployer's own lines, and what surrounds them on a machine that has one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from harness import NO_TLS
from stage import eventually

CONFIGURATION = """
daemon off; master_process off; worker_processes 1;
pid {home}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi; uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  {lines}
}}
"""

UPGRADE = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }"
"""What passes WebSockets on needs, once for all servers."""


@contextmanager
def nginx(home: Path, lines: str, is_up: Callable[[], bool]) -> Iterator[None]:
    """Run an nginx with these lines inside its ``http`` until the block ends; a machine without one skips the test."""
    configuration, log = home / "nginx.conf", home / "nginx.log"
    configuration.write_text(CONFIGURATION.format(home=home, lines=lines))
    with log.open("wb") as written, ExitStack() as ends:
        argv = [program(), "-p", str(home), "-c", str(configuration)]
        process = subprocess.Popen(argv, stdout=written, stderr=written)
        ends.callback(process.wait, 60)
        ends.callback(process.terminate)
        eventually(lambda: is_up() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield


def program() -> str:
    """Return where nginx is; skips the test where there is none."""
    candidates = (os.environ.get("NGINX", ""), "nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx")
    found = next((path for name in candidates if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no nginx: tools/ensure-nginx.sh installs one")
    return found


def answers(url: str) -> bool:
    """Whether a server answers at this address, whatever it says."""
    try:
        return httpx.get(url, timeout=5, verify=NO_TLS).status_code > 0
    except httpx.TransportError:
        return False
