"""Which files beside notebooks are served: pictures, as by Voila, and the files that the deployer names.

1. A file's address is relative to that of its page, as in ``<img src="logo.png">``. ``voila/files/…`` works too.
2. A file belongs to the notebooks in its folder, or in the nearest folder above it that has notebooks. A visitor who
   may see the page of one of them may have the file. The page of one notebook also has the files of folders below it,
   but not of a folder that another mount has an access rule for.
3. These are never served, even if the rules name them: hidden files, files whose names begin with ``_``, notebooks
   (those in text, too), configuration files, files that an option names, such as that of users, and the targets of
   links that lead outside.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import quote, unquote

from jupyter_server import DEFAULT_STATIC_FILES_PATH
from voila.configuration import VoilaConfiguration

from ...errors import DashboardError
from ..paths import RESERVED, SUFFIX, Route, is_devious, is_plain, is_segment
from ..settings import Settings
from . import listing, texts
from .private import NONE, Private

VOILA = ("voila", "files")
"""The path under which Voila itself serves such files."""

MOST_PAGES = 200
"""For how many notebooks of a file's folder the server checks whether the visitor may see them."""


class Place(Protocol):
    """A route, and where its notebooks are."""

    @property
    def route(self) -> Route:
        """The route."""

    @property
    def settings(self) -> Settings:
        """Who may see its pages."""

    @property
    def directory(self) -> Path:
        """The folder of its notebooks."""

    @property
    def is_folder(self) -> bool:
        """Whether the route stands for all notebooks of the folder."""

    def shows(self, path: str) -> bool:
        """Whether a notebook is at this address, which may look like a file's."""

    def is_source(self, file: Path) -> bool:
        """Whether this file is the notebook of the route, even if it does not look like one."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Voila's lists of regular expressions, and patterns such as ``*.csv``."""

    allow: tuple[re.Pattern[str], ...]
    deny: tuple[re.Pattern[str], ...]
    named: tuple[re.Pattern[str], ...] = ()
    denies_named: bool = False
    private: Private = NONE

    @classmethod
    def of(cls, voila: VoilaConfiguration, patterns: Sequence[str], private: Private = NONE) -> Rules:
        """Return the rules of these options; raises DashboardError if one of them is not a regular expression.

        A deployer who names ``*.py`` means it: Voila's default deny-list does not apply to named files, but a deny-list
        of the deployer's own does.
        """
        allow, deny = (_compiled(name, getattr(voila, name)) for name in ("file_allowlist", "file_denylist"))
        is_own = voila.file_denylist != VoilaConfiguration.class_traits()["file_denylist"].default()
        return cls(allow, deny, tuple(map(_anywhere, patterns)), is_own, private)

    def let_through(self, path: str) -> bool:
        """Whether a file at this path, relative to the folder that is served, may be served."""
        if (
            not is_plain(path)
            or path.lower().endswith(SUFFIX)
            or listing.CONFIGURATION.fullmatch(path.rpartition("/")[2])
        ):
            return False
        is_denied = any(rule.fullmatch(path) for rule in self.deny)
        if any(rule.match(path) for rule in self.named):
            return not (is_denied and self.denies_named)
        return any(rule.fullmatch(path) for rule in self.allow) and not is_denied


class Page(NamedTuple):
    """A page that a file belongs to: its path, and the parameters of its route."""

    path: str
    params: dict[str, str]


class Found(NamedTuple):
    """A file, the settings of its pages, and these pages."""

    file: Path
    settings: Settings
    pages: tuple[Page, ...]


def search(path: str, referer: str, places: Collection[Place], rules: Rules) -> Iterator[Found]:
    """Yield the files that an undecoded path below the base URL means; ``referer`` is the page's path, or empty."""
    segments = _segments(path)
    if not segments or _is_servers_own(segments):
        return
    for place in places:
        for params, rest in _below(place, segments):
            file = rules.let_through(rest) and locate(place.directory, rest, rules)
            if file and not any(each.is_source(file) or _is_kept(file, place, each) for each in places):
                yield Found(file, place.settings, tuple(_pages(place, params, rest, file, referer)))
                break


def _is_kept(file: Path, place: Place, other: Place) -> bool:
    """Whether a file is in a folder that another place, further down, has an access rule for."""
    rules = (other.settings.authorize, other.settings.callback, other.settings.gate)
    if place.is_folder or all(rule is None for rule in rules):
        return False
    above, below = place.directory.resolve(), other.directory.resolve()
    return above != below and below.is_relative_to(above) and file.is_relative_to(below)


def locate(directory: Path, relative: str, rules: Rules) -> Path | None:
    """Return a file of a directory; None if no such file may be served."""
    try:
        root = directory.resolve()
        path = (directory / relative).resolve(strict=True)
        inside = path.relative_to(root).as_posix()
    except (OSError, ValueError, RuntimeError):
        return None
    is_served = path.is_file() and rules.let_through(inside) and not rules.private.have(path)
    return path if is_served and not _is_notebook(path) else None


def _is_notebook(path: Path) -> bool:
    """Whether a file is a notebook in text. In doubt it is: it is not served then."""
    try:
        return texts.is_text(path) and texts.looks(path)
    except OSError:
        return True


def _segments(path: str) -> tuple[str, ...]:
    if is_devious(path):
        return ()
    try:
        segments = tuple(unquote(part, errors="strict") for part in path.removeprefix("/").split("/"))
    except UnicodeError:
        return ()
    return segments if all(part and is_segment(part) for part in segments) else ()


def _is_servers_own(segments: tuple[str, ...]) -> bool:
    """Whether an address is one of our routes. Voila's addresses of files, and other "static" folders, are not."""
    if segments[0] == "static":
        return _exists(Path(DEFAULT_STATIC_FILES_PATH, *segments[1:]))
    return segments[0] in RESERVED and segments[: len(VOILA)] != VOILA


def _exists(path: Path) -> bool:
    """Whether a file or folder exists; False for a name that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _below(place: Place, segments: tuple[str, ...]) -> Iterator[tuple[dict[str, str] | None, str]]:
    """Yield possible paths of a file in a place's directory, each with the route's parameters if they are known."""
    own = place.route.segments
    if segments[: len(VOILA)] == VOILA:
        yield (None if place.route.has_parameters else {}), "/".join(segments[len(VOILA) :])
        return
    lengths = (len(own),) if place.is_folder else (max(len(own) - 1, 0), len(own))
    for length in dict.fromkeys(lengths):
        params = _matched(own[:length], segments)
        if params is not None and len(segments) > length:
            whole = length == len(own) or not own[length].startswith("{")
            yield (params if whole else None), "/".join(segments[length:])


def _matched(own: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    """Return the parameters of a route's first segments; None if the segments do not match."""
    if len(segments) < len(own):
        return None
    pairs = list(zip(own, segments, strict=False))
    if not all(name.startswith("{") or name == value for name, value in pairs):
        return None
    return {name[1:-1]: value for name, value in pairs if name.startswith("{")}


def _pages(place: Place, params: dict[str, str] | None, rest: str, file: Path, referer: str) -> Iterator[Page]:
    """Yield the pages that a file belongs to, if they are known."""
    if params is None:  # the Referer, which is the page's address, has the parameters
        params = _matched(place.route.segments, _segments(referer.rstrip("/")))
    if params is None:
        return
    path = "/" + "/".join(quote(params.get(part[1:-1], part), safe="~!$&'()*+,;=:@-") for part in place.route.segments)
    if not place.is_folder:
        yield Page(path, params)
        return
    for name in _beside(place.directory, Path(rest).parent):
        yield Page(f"{path.rstrip('/')}/{quote(name)}", {**params, "name": name})


def _beside(directory: Path, folder: Path) -> Iterator[str]:
    """Yield the notebooks of a file's folder, or of the nearest folder above it that has notebooks."""
    for below in (folder, *folder.parents):
        if shown := listing.of_folder(directory, below):
            yield from shown[:MOST_PAGES]
            return


def _anywhere(pattern: str) -> re.Pattern[str]:
    """Return a regular expression: ``*.csv`` means any folder, ``data/*.csv`` only that folder."""
    expression = fnmatch.translate(pattern)
    return re.compile(expression if "/" in pattern else rf"(?:.*/)?{expression}", re.IGNORECASE)


def _compiled(option: str, rules: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(re.compile(rule, re.IGNORECASE) for rule in rules)
    except re.error as error:
        raise DashboardError(
            f"VoilaConfiguration.{option} must have regular expressions such as '.*\\.png' ({error}): correct it."
        ) from error
