"""How long what is stored is kept."""

from __future__ import annotations

from jupyter_app_meta.model import SessionInfo
from jupyter_app_meta.server.app import AppMetaExtension
from jupyter_app_meta.server.links.granting import Places
from jupyter_app_meta.server.links.options import DAY
from jupyter_app_meta.state.keys import scope_of


def test_what_a_console_shares_is_not_kept_for_ever() -> None:
    """A console has no path, so nothing finds its state once its kernel has ended; a notebook's is kept."""
    places, extension = Places("/home", "hub"), AppMetaExtension()
    console, notebook = (places.space("k-1", SessionInfo(path=path).path, "edit") for path in (None, "a.ipynb"))
    assert extension.keep(scope_of("shared", console, None)) == 7 * DAY
    assert extension.keep(scope_of("shared", notebook, None)) is None
