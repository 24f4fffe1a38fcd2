"""``python -m jupyter_app_meta.cli``: the command line, if its script is not on PATH."""

from __future__ import annotations

import sys

from . import main

sys.exit(main())
