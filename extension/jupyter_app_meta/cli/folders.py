"""The folders in which ``serve`` would write, and whether it could. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from traitlets import TraitError

from ..dashboards.setup import runtime
from ..dashboards.web import cookies
from ..errors import AppMetaError, DashboardError
from .configuration import quiet
from .notebooks import builder_of
from .report import Row, Status


def rows(config: str | None, options: list[str]) -> Iterator[Row]:
    """Yield where ``serve`` would keep sockets, keys and the secret of its cookies, or why it could not."""
    try:
        folder = runtime.parent()
    except DashboardError as error:
        yield Row(Status.FAULT, "runtime folder", str(error))
        return
    yield Row(Status.OK, "runtime folder", f"kernels' sockets and keys are kept in {folder} while the server runs.")
    with quiet():
        try:
            found = list(_secret(builder_of(folder, config, options).options))
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
