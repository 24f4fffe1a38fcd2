"""The page around a dashboard: the Voila template ``app-meta``, its styles and its script. Pure.

1. The template is a folder of this package, so that the server finds it without an installation. A wheel also installs
   it where Voila's own command looks for templates.
2. A page is rendered before its visitor is known. The template leaves ``MARK`` where the personal part begins.
3. Outputs that need no script are in the page as HTML, and are shown as they arrive (``outputs``).
"""

from __future__ import annotations

from pathlib import Path

NAME = "app-meta"
"""The name of the template."""

BASE = "lab"
"""The template that it extends, and whose files it links to."""

FOLDER = Path(__file__).parent / NAME
"""The folder of the template."""

MARK = "<!--app-meta:header-->"
"""What stands in a rendered page in the place of the header's content."""
