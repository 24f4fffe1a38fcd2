"""Why a page cannot be opened, and what to do about it. The texts contain no data of a visitor."""

from __future__ import annotations

import traceback

from jinja2 import TemplateNotFound
from jupyter_client.kernelspec import NoSuchKernel

from ...errors import BadNotebook
from ...server.gateway.client import GatewayFailed


def reason(error: BaseException) -> str:
    """Return the traceback, after a sentence with the fix if the cause is known. A bad notebook's sentence says all."""
    if isinstance(error, BadNotebook):
        return str(error)
    hint = _hint(error.__cause__ or error) or _hint(error)
    return "\n".join(filter(None, (hint, "".join(traceback.format_exception(error)).rstrip())))


def _hint(error: BaseException) -> str:
    if isinstance(error, NoSuchKernel):
        return (
            f"The kernel {error.name!r} is not installed. Install it, or choose in the notebook one of the kernels "
            "that `jupyter kernelspec list` shows."
        )
    if isinstance(error, GatewayFailed):
        return str(error)
    if isinstance(error, TemplateNotFound):
        return f"The template {error.name!r} is missing: install it, or choose another (VoilaConfiguration.template)."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}. The account of this server must be able to read and write there."
    return ""
