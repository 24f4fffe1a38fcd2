"""Whether templates can be used: each of their parts exists, and can be read. Nothing is filled in.

Our own template is not checked, because it comes with the package.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateError, TemplateSyntaxError, nodes
from traitlets.config import Config
from voila.configuration import VoilaConfiguration
from voila.exporter import VoilaExporter

from ... import frame
from ...errors import DashboardError
from . import looks

MAIN = "index.html.j2"
PARTS = (nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include)


def check(voila: VoilaConfiguration, config: Config) -> None:
    """Raise DashboardError if the template that is configured cannot be used."""
    if problem := broken(voila.template, config):
        raise DashboardError(f"VoilaConfiguration.template {voila.template!r} cannot be used: {problem}")


def check_pages(folders: Sequence[str | Path]) -> None:
    """Raise DashboardError if a page in these folders cannot be read."""
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    for path in (path for folder in folders for path in sorted(Path(folder).glob("*.html"))):
        try:
            environment.parse(path.read_text("utf-8"))
        except TemplateSyntaxError as error:
            raise DashboardError(f"template_paths: {_said(str(path), error)}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DashboardError(f"template_paths: {path} cannot be read ({type(error).__name__}).") from None


def named(metadata: object, voila: VoilaConfiguration) -> str:
    """Return the template that a notebook's metadata name; empty if they name none, or may not."""
    own = metadata.get("voila") if isinstance(metadata, dict) else None
    name = own.get("template") if isinstance(own, dict) and voila.allow_template_override != "NO" else None
    return name if isinstance(name, str) else ""


def broken(template: str, config: Config) -> str:
    """Return why a template cannot be used; empty if it can."""
    if template == frame.NAME:
        return ""
    if template not in looks.templates():
        return f"it is not installed (installed are: {', '.join(looks.templates())})."
    exporter: Any = VoilaExporter(template_paths=looks.paths(template), template_name=template, config=config)
    return next(_problems(exporter.environment), "")


def _problems(environment: Environment) -> Iterator[str]:
    sought, seen = {MAIN: True}, set[str]()
    while sought:
        name, is_needed = sought.popitem()
        seen.add(name)
        try:
            source, _, _ = environment.loader.get_source(environment, name)  # type: ignore[union-attr]  # it has one
            parts = dict(_parts(environment.parse(source, name)))
        except TemplateSyntaxError as error:
            yield _said(name, error)
        except (TemplateError, OSError, UnicodeDecodeError) as error:
            if is_needed:
                yield f"its part {name} cannot be read ({type(error).__name__})."
        else:
            sought |= {part: is_needed for part, is_needed in parts.items() if part not in seen}


def _parts(template: nodes.Template) -> Iterator[tuple[str, bool]]:
    """Yield the files that a template includes, and whether it cannot do without. A name may be computed: it is not."""
    for part in template.find_all(PARTS):
        said = getattr(part, "template", None)
        if isinstance(said, nodes.Const) and isinstance(said.value, str):
            yield said.value, part in template.body and not getattr(part, "ignore_missing", False)


def _said(name: str, error: TemplateSyntaxError) -> str:
    return f"{name}, line {error.lineno}: {error.message}."
