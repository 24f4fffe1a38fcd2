"""How Sphinx builds this documentation: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

from jupyter_app_meta import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "jupyter-app-meta"
author = "jupyter-app-meta contributors"
copyright = author
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "generated",
]
exclude_patterns = ["_build", "_generated", "jupyterhub", "deploy", "images", "**.ipynb_checkpoints"]
# Other projects' names: without their inventories, which are not at hand offline, they are no links.
nitpick_ignore_regex = [(r"py:.*", r"(?!jupyter_app_meta\.(model|datastructures|errors|testing|app_meta)).*")]

html_theme = "pydata_sphinx_theme"
html_title = "jupyter-app-meta"
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_static_path = ["_static"]
html_css_files = ["docs.css"]

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
myst_url_schemes = ("http", "https", "mailto")

nb_execution_mode = "auto"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_show_tb = True

toc_object_entries = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
