"""The folders in which ``serve`` would write, whether it could, and its id among servers. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from traitlets import TraitError

from ...dashboards.builder import Builder
from ...dashboards.peers import MIXED
from ...dashboards.setup import runtime
from ...dashboards.setup.served import served
from ...dashboards.web import cookies
from ...errors import AppMetaError, DashboardError
from ...server.app import AppMetaExtension
from ...server.stores import telling
from .configuration import quiet
from .notebooks import builder_of
from .report import Row, Status


def rows(
    place: str | None, config: str | None, options: list[str], extension: AppMetaExtension | None
) -> Iterator[Row]:
    """Yield where ``serve`` would keep sockets, keys and the secret of its cookies, or why it could not, and its id.

    ``place`` is the notebook or folder that it would serve.
    """
    try:
        folder = runtime.parent()
    except DashboardError as error:
        yield Row(Status.FAULT, "runtime folder", str(error))
        return
    yield Row(Status.OK, "runtime folder", f"kernels' sockets and keys are kept in {folder} while the server runs.")
    with quiet():
        try:
            builder = builder_of(place or folder, config, options)
            found = [*_secret(builder.options), *_server(builder, extension), *_mixed(builder, extension)]
        except (AppMetaError, TraitError, SystemExit):
            found = []  # another row says why ``serve`` refuses these options
    yield from found


def _secret(options: Mapping[str, Any]) -> Iterator[Row]:
    if options["cookie_secret"]:
        return
    file = options["cookie_secret_file"]
    if sentence := cookies.problem(file):
        yield Row(Status.FAULT if file else Status.RISK, "cookie secret", sentence)
    else:
        yield Row(Status.OK, "cookie secret", f"kept in {cookies.secret_path(file)}.")


def _server(builder: Builder, extension: AppMetaExtension | None) -> Iterator[Row]:
    if server_id := builder.options["server_id"]:
        holder = telling.holder(extension, server_id) if extension else None
        rest = f" The id belongs to a server that runs now ({holder})." if holder else ""
        yield Row(Status.INFO, "server id", f"{server_id}: the ids of this server's kernels begin with it.{rest}")


def _mixed(builder: Builder, extension: AppMetaExtension | None) -> Iterator[Row]:
    """Yield a row if a server that runs now mixes the state of its dashboards with that of these."""
    if extension is None:
        return
    if found := telling.mixed(extension, served(extension, builder.base_url, builder.mounts)):
        yield Row(Status.RISK, "state", MIXED.format(*found))
