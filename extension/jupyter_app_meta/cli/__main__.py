"""``python -m jupyter_app_meta.cli`` for where the script is not on PATH."""

from __future__ import annotations

import sys

from . import main

sys.exit(main())
