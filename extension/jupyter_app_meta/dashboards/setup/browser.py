"""Opens the start page in a browser. The token is kept out of its arguments, which every account can read."""

from __future__ import annotations

import os
import tempfile
import webbrowser
from html import escape
from pathlib import Path

_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={url}">
<a href="{url}">Open the dashboards</a>
"""


def open_page(url: str, *, secret: bool) -> Path | None:
    """Open a URL. If it has a secret, open it through a file that only this account can read, and return the file."""
    if not secret:
        webbrowser.open(url)
        return None
    handle, name = tempfile.mkstemp(prefix="app-meta-open-", suffix=".html")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(_PAGE.format(url=escape(url, quote=True)))
    webbrowser.open(Path(name).as_uri())
    return Path(name)
