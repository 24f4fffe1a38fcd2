"""Print constraints that install the oldest releases that pyproject.toml allows: those of its lower bounds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

BOUND = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?>=(?P<release>[0-9.]+)")
EXTRAS = ("server", "dashboards", "asgi")
"""What deployers install. Of the tools that only the tests need, the newest do."""


def bounds(project: dict[str, Any], extras: tuple[str, ...] = EXTRAS) -> dict[str, str]:
    """Return the lower bound of each requirement; of two bounds the greater, which both allow."""
    wanted = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    found: dict[str, str] = {}
    for match in filter(None, map(BOUND.fullmatch, wanted)):
        found[match["name"]] = max(found.get(match["name"], "0"), match["release"], key=_order)
    return found


def _order(release: str) -> list[int]:
    return [int(part) for part in release.split(".")]


def main() -> None:
    """Print them."""
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8")
    for name, release in sorted(bounds(tomllib.loads(text)["project"]).items()):
        print(f"{name}=={release}")


if __name__ == "__main__":
    main()
