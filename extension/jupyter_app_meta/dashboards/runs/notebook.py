"""What every page of one notebook has in common: its cells, template, theme and kernel. Read once for each change."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_server.services.contents.largefilemanager import LargeFileManager
from nbformat import NotebookNode
from nbformat.sign import MemorySignatureStore, NotebookNotary
from tornado import web
from voila.notebook_renderer import NotebookRenderer
from voila.paths import collect_template_paths
from voila.utils import get_page_config

from ..files import specs
from ..services import Services
from . import displays
from .titles import title

Version = tuple[int, int, int]

_log = logging.getLogger(__name__)
_log.setLevel(logging.ERROR)  # that a notebook is not trusted says nothing here: its cells are run anew


class Renderer(NotebookRenderer):  # type: ignore[misc]  # Voila is not typed
    """Voila's renderer, for a notebook that runs on the kernel that it names."""

    async def fix_notebook(self, notebook: Any) -> Any:
        """Write the kernel that the notebook runs on into its metadata; raises KernelMissing."""
        kernels = specs.installed(self.kernel_spec_manager)
        mapping = self.voila_configuration.language_kernel_mapping
        said = specs.named(notebook.metadata)
        name = specs.chosen(self.notebook_path, said, kernels, mapping)
        language = kernels[name] or said.language or "python"
        notebook.metadata.kernelspec = NotebookNode(name=name, display_name=name, language=language)
        return notebook


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A notebook as Voila renders it, the name and the version of its file."""

    name: str
    notebook: Any
    exporter: Any
    resources: dict[str, Any]
    page_config: dict[str, Any]
    kernel_name: str
    folder: Path
    version: Version


def version(path: Path) -> Version | None:
    """Return what changes whenever the file does; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


async def read(services: Services, path: Path, seen: Version) -> Blueprint:
    """Return the blueprint of a notebook; raises what its contents manager raises for one that is broken."""
    config = {"base_url": services.base_url, "voila_configuration": services.voila, "log": services.log}
    page_config = get_page_config(settings={}, **config)
    if hook := services.voila.page_config_hook:
        page_config = hook(page_config, settings={}, notebook_path=path.name, **config)
    renderer = Renderer(
        voila_configuration=services.voila,
        traitlet_config=services.config,
        notebook_path=path.name,
        template_paths=collect_template_paths(["voila", "nbconvert"], services.voila.template),
        contents_manager=_contents(services, path.parent),
        base_url=services.base_url,
        kernel_spec_manager=services.specs,
        page_config=page_config,
        mathjax_config=page_config["mathjaxConfig"],
        mathjax_url=page_config["fullMathjaxUrl"],
    )
    await renderer.initialize()
    _complete(renderer.notebook)
    displays.prepare(renderer.exporter)
    renderer.resources["metadata"]["name"] = title(path)  # what templates call the page: as the index does
    return Blueprint(
        path.stem,
        renderer.notebook,
        renderer.exporter,
        renderer.resources,
        renderer.page_config,
        renderer.notebook.metadata.kernelspec.name,
        path.parent,
        seen,
    )


def _complete(notebook: Any) -> None:
    """Give code cells what they may lack: all is made anew. What widgets once showed to their author is forgotten."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.setdefault("metadata", NotebookNode())
        if cell.get("cell_type") == "code":
            cell.outputs, cell.execution_count = [], None


class _Contents(LargeFileManager):
    """What reads notebooks, and the pictures that are written into their pages."""

    def file_exists(self, path: str = "") -> bool:
        """Whether there is such a file below the folder; a link that leads out of it stays a link."""
        try:
            return bool(super().file_exists(path))
        except web.HTTPError:
            return False


def _contents(services: Services, folder: Path) -> LargeFileManager:
    """Return what reads notebooks of a folder. It keeps no signatures: nothing here asks for them, or for a home."""
    notary = NotebookNotary(secret=b"not used", store_factory=MemorySignatureStore, log=_log)
    return _Contents(root_dir=str(folder), config=services.config, log=_log, notary=notary)
