"""Registers the running interpreter's environment as a request-aware kernel."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .options import Refused

DEFAULT_NAME = "python3-app-meta"
DEFAULT_DISPLAY_NAME = "Python 3 (request-aware)"
NATIVE = "python3"
LOGOS = ("logo-32x32.png", "logo-64x64.png", "logo-svg.svg")

# Jupyter's own pattern also accepts "." and "..", which name the folder of all kernels and its parent.
_valid_name = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Place:
    """The name of a kernel and where it is registered: for a user, or in an environment (``prefix``)."""

    name: str
    user: bool = False
    prefix: str | None = None

    def __post_init__(self) -> None:
        if not _valid_name.fullmatch(self.name):
            raise Refused(
                f"{self.name!r} is not a kernel name: use lower-case letters, digits, '.', '-' and '_', "
                "and begin with a letter or digit."
            )

    def kernels(self) -> Path:
        """The folder of all kernels there."""
        if self.prefix is not None:
            return Path(self.prefix).expanduser().absolute() / "share" / "jupyter" / "kernels"
        from jupyter_core.paths import jupyter_data_dir

        return Path(jupyter_data_dir()) / "kernels"

    def folder(self) -> Path:
        """The folder of this kernel."""
        return self.kernels() / self.name


def install(place: Place, display_name: str | None = None, *, replace: bool = False) -> Path:
    """Write the kernelspec and return its folder. One of ours is replaced; another's only if ``replace`` is set."""
    folder = place.folder()
    if not replace:
        _refuse_others(place)
    spec = kernel_spec(display_name or _display_name(place.name))
    try:
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        _write(folder, spec)
    except OSError as error:
        raise Refused(f"cannot write {folder}: {error.strerror or error}.", 1) from error
    return folder


def _refuse_others(place: Place) -> None:
    """Refuse the name of a kernel that is not ours, and a name that would hide this environment's own kernel."""
    folder = place.folder()
    if folder.is_dir() and not loads_extension(_argv(folder)):
        said = f"the kernel {place.name!r} in {place.kernels()} was not installed by jupyter-app-meta."
    elif place.name == NATIVE and not folder.is_dir():
        said = f"{NATIVE!r} is the name of ipykernel's own kernel, which would be hidden."
    else:
        return
    raise Refused(f"{said} Choose another --name, or add --replace.", 1)


def remove(place: Place) -> Path:
    """Remove the kernelspec, and return the folder that it was in."""
    folder = place.folder()
    if not (folder / "kernel.json").is_file():
        raise Refused(f"there is no kernel {place.name!r} in {place.kernels()}.", 1)
    if not loads_extension(_argv(folder)):
        raise Refused(
            f"the kernel {place.name!r} in {place.kernels()} was not installed by jupyter-app-meta: not removed.",
            1,
        )
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise Refused(f"cannot remove {folder}: {error.strerror or error}.", 1) from error
    return folder.parent


def kernel_spec(display_name: str) -> dict[str, Any]:
    """Return the kernelspec of the running interpreter, with the features that its own ipykernel states."""
    from ipykernel.kernelspec import get_kernel_dict

    spec = json.loads((resources() / "kernel.json").read_text("utf-8"))
    own = get_kernel_dict()
    return {
        **spec,
        "argv": [sys.executable, *spec["argv"][1:]],
        "display_name": display_name,
        "metadata": {**spec["metadata"], **own.get("metadata", {})},
    }


def loads_extension(argv: list[str]) -> bool:
    """Whether a kernel that is started like this loads the IPython extension by itself."""
    return any(re.search(r"(?<![\w./\\-])jupyter_app_meta(?![\w./\\-])", argument) for argument in argv[1:])


def resources() -> Path:
    """Return the folder that has kernel.json and the logos, in the installed package or in the source tree."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "kernelspec"
    return inside if inside.is_dir() else package.parent.parent / "kernelspec"


def _display_name(name: str) -> str:
    return DEFAULT_DISPLAY_NAME if name == DEFAULT_NAME else f"{name} (request-aware)"


def _write(folder: Path, spec: dict[str, Any]) -> None:
    for logo in LOGOS:
        shutil.copyfile(resources() / logo, folder / logo)
    (folder / "kernel.json").write_text(json.dumps(spec, indent=2) + "\n", "utf-8")


def _argv(folder: Path) -> list[str]:
    try:
        return [str(part) for part in json.loads((folder / "kernel.json").read_text("utf-8")).get("argv", [])]
    except (OSError, ValueError, AttributeError):
        return []
