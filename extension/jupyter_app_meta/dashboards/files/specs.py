"""Which kernel a notebook runs on: the kernel that it names, and no other.

1. A notebook that names a kernel runs on that kernel, or not at all.
2. With ``VoilaConfiguration.language_kernel_mapping`` the deployer may choose another kernel.
3. A notebook that names no kernel runs on Jupyter's default kernel, if that kernel speaks its language.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager

from ...errors import BadNotebook, KernelMissing
from . import content


class Named(NamedTuple):
    """What a notebook says about its kernel. A field that it does not state is empty."""

    kernel: str
    language: str


@runtime_checkable
class Remote(Protocol):
    """A manager of kernelspecs that are on another machine."""

    is_known: bool

    async def refresh(self) -> None:
        """Ask for them."""


def named(metadata: Mapping[str, Any]) -> Named:
    """Return what a notebook's metadata says about its kernel."""
    spec, info = (_mapping(metadata.get(name)) for name in ("kernelspec", "language_info"))
    return Named(_text(spec.get("name")), _text(spec.get("language") or info.get("name")).lower())


def chosen(notebook: str, said: Named, installed: Mapping[str, str], mapping: Mapping[str, str]) -> str:
    """Return the kernel that a notebook runs on; raises KernelMissing.

    ``installed`` has the language of each kernel; ``mapping`` has the deployer's kernel for a language.
    """
    if said.kernel in installed:
        return said.kernel
    instead = mapping.get(said.language, "")
    if not said.kernel and not instead:
        instead = NATIVE_KERNEL_NAME if said.language in ("", "python") else ""
        instead = instead or next((name for name in sorted(installed) if installed[name] == said.language), "")
    if instead in installed:
        return instead
    missing = said.kernel or instead or f"for the language {said.language}"
    raise KernelMissing(
        f"{notebook} needs the kernel {missing}, which is not installed here (installed are: "
        f"{', '.join(sorted(installed)) or 'none'}). Install it, or choose another kernel in the notebook."
    )


def installed(specs: KernelSpecManager) -> dict[str, str]:
    """Return the installed kernels with their languages. A kernel whose kernelspec cannot be read is left out."""
    found: dict[str, dict[str, Any]] = specs.get_all_specs()
    return {name: _text(_mapping(each.get("spec")).get("language")).lower() for name, each in found.items()}


async def asked(specs: KernelSpecManager, *, again: bool = False) -> dict[str, str]:
    """Return the kernels like ``installed``. A gateway is asked for its own unless it was before; or ``again``."""
    if isinstance(specs, Remote) and (again or not specs.is_known):
        await specs.refresh()
    return installed(specs)


def absent(specs: KernelSpecManager) -> dict[str, str]:
    """Return the installed kernels whose program does not exist on this machine, each with that program."""
    if isinstance(specs, Remote):
        return {}
    found: dict[str, dict[str, Any]] = specs.get_all_specs()
    programs = {name: _program(_mapping(each.get("spec")), each.get("resource_dir")) for name, each in found.items()}
    return {name: program for name, program in programs.items() if program}


def _program(spec: Mapping[str, Any], folder: object) -> str:
    """Return a kernel's program if it does not exist; empty if it does, or if that cannot be known."""
    argv, metadata = spec.get("argv"), _mapping(spec.get("metadata"))
    if not isinstance(argv, list) or not argv or metadata.get("kernel_provisioner"):
        return ""
    program = _text(argv[0]).replace("{resource_dir}", _text(folder))
    is_relative = os.path.dirname(program) and not os.path.isabs(program)  # it is sought in the notebook's folder
    path = Template(_text(_mapping(spec.get("env")).get("PATH"))).safe_substitute(os.environ) or None
    is_ours = program in ("python", "python3", "python{}.{}".format(*sys.version_info))
    return "" if is_relative or is_ours or not program or shutil.which(program, path=path) else program


def missing(notebook: Path, kernels: Mapping[str, str], mapping: Mapping[str, str]) -> str | None:
    """Return a sentence that says why a notebook cannot run: its kernel is missing, or its text is broken; or None."""
    try:
        kernel_of(notebook, kernels, mapping)
    except (KernelMissing, BadNotebook) as error:
        return str(error)
    except OSError:
        return None
    return None


def runnable(notebook: Path, kernels: Mapping[str, str], mapping: Mapping[str, str]) -> str | None:
    """Return the kernel that a notebook runs on; None if it is missing, or the notebook cannot be read."""
    try:
        return kernel_of(notebook, kernels, mapping)
    except (KernelMissing, BadNotebook, OSError):
        return None


def kernel_of(notebook: Path, kernels: Mapping[str, str], mapping: Mapping[str, str]) -> str:
    """Return the kernel that a notebook runs on; raises KernelMissing, and BadNotebook or OSError for a broken file."""
    return chosen(notebook.name, named(metadata(notebook)), kernels, mapping)


def metadata(notebook: Path) -> Mapping[str, Any]:
    """Return a notebook's metadata, {} if it is broken; raises BadNotebook or OSError for a text."""
    return _read(notebook, notebook.stat().st_mtime_ns)


@lru_cache(maxsize=1000)
def _read(notebook: Path, changed: int) -> Mapping[str, Any]:
    try:
        return _mapping(content.read(notebook).get("metadata"))
    except BadNotebook:
        raise
    except (ValueError, AttributeError, RecursionError):  # its page will say that the notebook is broken
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
