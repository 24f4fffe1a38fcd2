"""What all pages of one notebook share: cells, template, theme and kernel. It is read again when the file changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from nbformat import NotebookNode
from nbformat.sign import MemorySignatureStore, NotebookNotary
from tornado import web
from voila.configuration import VoilaConfiguration
from voila.notebook_renderer import NotebookRenderer
from voila.utils import get_page_config

from ... import frame
from ..files import looks, prepared, specs, texts
from ..files.titles import title
from ..services import Services
from . import displays

Version = tuple[int, int, int]

_log = logging.getLogger(__name__)
_log.setLevel(logging.ERROR)  # whether a notebook is trusted does not matter here: its cells run again


class Exporter(Protocol):
    """Voila's exporter: the parts that a page needs."""

    template_file: str
    raw_template: str

    def generate_from_notebook_node(
        self,
        nb: NotebookNode,
        *,
        resources: dict[str, object],
        extra_context: dict[str, Any],
        page_config: dict[str, object],
    ) -> AsyncIterator[tuple[str, object]]:
        """Yield the pieces of a page."""


class Renderer(NotebookRenderer):  # type: ignore[misc]  # Voila has no types
    """Voila's renderer, for a notebook that runs on the kernel that it names."""

    # ``initialize`` sets these, or gets them as arguments. Voila does not state their types.
    notebook: NotebookNode
    notebook_path: str
    exporter: Exporter
    resources: dict[str, object]
    page_config: dict[str, object]
    kernel_spec_manager: KernelSpecManager
    contents_manager: LargeFileManager
    template_paths: list[str]
    voila_configuration: VoilaConfiguration

    async def load_notebook(self, path: str) -> NotebookNode:
        """Return the notebook of a file; a text is read in a thread, because jupytext is slow."""
        if not texts.is_text(Path(path)):
            return cast(NotebookNode, await super().load_notebook(path))
        folder = Path(self.contents_manager.root_dir)
        return await self.fix_notebook(await asyncio.to_thread(texts.load, folder / path))

    async def fix_notebook(self, notebook: NotebookNode) -> NotebookNode:
        """Write the kernel that the notebook runs on into its metadata; raises KernelMissing."""
        kernels = await specs.asked(self.kernel_spec_manager, again=True)
        mapping: dict[str, str] = self.voila_configuration.language_kernel_mapping
        metadata: NotebookNode = notebook["metadata"]
        said = specs.named(metadata)
        name = specs.chosen(self.notebook_path, said, kernels, mapping)
        language = kernels[name] or said.language or "python"
        metadata["kernelspec"] = NotebookNode(name=name, display_name=name, language=language)
        self._choose_frame(metadata.get("voila"))
        return notebook

    def _choose_frame(self, said: object) -> None:
        """Use our own template for a notebook that names it, because Voila finds only templates that are installed."""
        if not isinstance(said, dict) or said.get("template") != frame.NAME:
            return
        del said["template"]
        if self.voila_configuration.allow_template_override != "NO":
            self.template_paths = looks.paths(frame.NAME)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A notebook as Voila renders it, with the name, folder and version of its file.

    ``notebook`` has all cells, and ``prepared`` those from which pages are made.
    """

    name: str
    file: str
    notebook: NotebookNode
    prepared: NotebookNode
    exporter: Exporter
    resources: dict[str, object]
    page_config: dict[str, object]
    kernel_name: str
    folder: Path
    version: Version


def version(path: Path) -> Version | None:
    """Return a value that changes whenever the file changes; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


async def read(services: Services, path: Path, seen: Version) -> Blueprint:
    """Return the blueprint of a notebook.

    Raises the contents manager's error if the notebook is broken, and jinja2's if its template is.
    """
    renderer = _renderer(services, path)
    await renderer.initialize()
    _frame(renderer)
    notebook = renderer.notebook
    _reset(notebook)
    _load_template(renderer.exporter)
    displays.prepare(renderer.exporter)
    metadata = cast(dict[str, object], renderer.resources["metadata"])
    metadata["name"] = await asyncio.to_thread(
        title, path
    )  # templates show this as the title, and the index shows the same
    kernel: NotebookNode = notebook["metadata"]["kernelspec"]
    ready, resources = prepared.prepare(renderer.exporter, notebook, renderer.resources)
    return Blueprint(
        name=path.stem,
        file=path.name,
        notebook=notebook,
        prepared=ready,
        exporter=renderer.exporter,
        resources=resources,
        page_config=renderer.page_config,
        kernel_name=str(kernel["name"]),
        folder=path.parent,
        version=seen,
    )


def _load_template(exporter: Any) -> None:
    """Raise jinja2's error if a template is missing or broken, so that it ends no page that has begun."""
    exporter.environment.get_template(exporter.template_file)


def _renderer(services: Services, path: Path) -> Renderer:
    page_config = _page_config(services, path)
    return Renderer(
        voila_configuration=services.options.voila,
        traitlet_config=services.options.config,
        notebook_path=path.name,
        template_paths=looks.paths(services.options.voila.template),
        contents_manager=_contents(services, path.parent),
        base_url=services.options.rendered_base,
        kernel_spec_manager=services.specs,
        page_config=page_config,
        mathjax_config=page_config["mathjaxConfig"],
        mathjax_url=page_config["fullMathjaxUrl"],
    )


def _page_config(services: Services, path: Path) -> dict[str, object]:
    """Return the configuration that the page's scripts read: Voila makes it, and the deployer's hook may change it."""
    config: dict[str, object] = {
        "base_url": services.options.rendered_base,
        "voila_configuration": services.options.voila,
        "log": services.log,
    }
    page_config: dict[str, object] = get_page_config(settings={}, **config)
    hook: Callable[..., dict[str, object]] | None = services.options.voila.page_config_hook
    return hook(page_config, settings={}, notebook_path=path.name, **config) if hook else page_config


def _frame(renderer: Renderer) -> None:
    """Keep the pages of our own template from other hosts, and from themes that only the template knows."""
    if str(frame.FOLDER) in renderer.template_paths:
        renderer.page_config.update(fullMathjaxUrl="null", mathjaxConfig="null")  # Voila's own copy of MathJax
    if renderer.page_config.get("jupyterLabTheme") == looks.AUTO:
        renderer.page_config["jupyterLabTheme"] = "light"


def _reset(notebook: NotebookNode) -> None:
    """Drop what the author's own runs left: widgets, outputs and counts. Cells get the fields that they lack."""
    metadata: NotebookNode = notebook["metadata"]
    metadata.pop("widgets", None)
    cells: list[NotebookNode] = notebook["cells"]
    for cell in cells:
        cell.setdefault("metadata", NotebookNode())
        if cell.get("cell_type") == "code":
            cell["outputs"] = []
            cell["execution_count"] = None


class _Contents(LargeFileManager):
    """Reads notebooks, and the pictures that are embedded in their pages."""

    def file_exists(self, path: str = "") -> bool:
        """Whether there is such a file in the folder. Pictures outside of it are not embedded: their links stay."""
        try:
            return bool(super().file_exists(path))
        except web.HTTPError:
            return False


def _contents(services: Services, folder: Path) -> LargeFileManager:
    """Return the manager that reads a folder's notebooks. Its signatures stay in memory: nothing here needs them."""
    notary = NotebookNotary(secret=b"not used", store_factory=MemorySignatureStore, log=_log)
    return _Contents(root_dir=str(folder), config=services.options.config, log=_log, notary=notary)
