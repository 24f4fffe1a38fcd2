"""Where a dashboard is: paths with parameters, and which file a name in a directory means. Pure.

1. A path is absolute. Each of its parameters stands for one segment: ``/customers/{customer_id}``.
2. Two paths of the same shape are one path, even if their parameters have other names.
3. A name that could leave its directory, or is not meant to be seen, means no file: dots, hidden
   and ``_``-prefixed parts, encoded slashes, backslashes, NUL, and links that lead outside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, unquote_to_bytes

from ..errors import DashboardError

RESERVED = ("api", "login", "logout", "static", "voila")
SUFFIX = ".ipynb"
TEXTS = (".py", ".md")
"""The suffixes of notebooks in text. Of notebooks with one name the first in ``SUFFIXES`` is served."""
SUFFIXES = (SUFFIX, *TEXTS)

PLAIN = "~!$&'()*+,;=:@"
"""The characters of a segment that are not encoded, in addition to letters, digits, ``_``, ``.`` and ``-``."""

_parameter = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_segment = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")
_base = re.compile(r"/(?:(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})+/)*")  # a cookie's path has no semicolon
_encoded = re.compile(r"%(2f|5c|00)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Route:
    """A path such as ``/customers/{customer_id}``."""

    path: str

    @classmethod
    def of(cls, path: str) -> Route:
        """Return the route of a path; raises DashboardError for a path that is not valid."""
        if not isinstance(path, str):
            raise DashboardError(f"path must be a string such as '/sales', not {path!r}.")
        if not path.startswith("/"):
            raise DashboardError(f"The path {path!r} must begin with a slash: {'/' + path!r}.")
        route = cls("/" + path.strip("/"))
        names = [match[1] for match in map(_parameter.fullmatch, route.segments) if match]
        for segment in route.segments:
            if segment in (".", "..") or not (_parameter.fullmatch(segment) or _segment.fullmatch(segment)):
                raise DashboardError(f"The path {path!r} has a part {segment!r} that is neither plain nor {{a_name}}.")
        if "self" in names:
            raise DashboardError(f"The path {path!r} has a parameter called self: give it another name.")
        if len(set(names)) != len(names):
            raise DashboardError(f"The path {path!r} has the same parameter twice.")
        if route.segments and route.segments[0] in RESERVED:
            raise DashboardError(f"The path {path!r} is the server's own: it must not begin with /{route.segments[0]}.")
        return route

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts between the slashes."""
        return tuple(self.path.strip("/").split("/")) if self.path != "/" else ()

    @property
    def shape(self) -> str:
        """The path without its parameters' names. Two paths of the same shape are in conflict."""
        return _parameter.sub("{}", self.path)

    @property
    def parameters(self) -> frozenset[str]:
        """The names of the path's parameters."""
        return frozenset(_parameter.findall(self.path))

    @property
    def has_parameters(self) -> bool:
        """Whether the path has parameters, and so stands for many URLs."""
        return self.shape != self.path

    def order(self, *, is_folder: bool) -> tuple[bool, int, tuple[bool, ...]]:
        """Sorts by which URLs come first: pages before folders, longer before shorter, plain before parameters."""
        return is_folder, -len(self.segments), tuple(bool(_parameter.fullmatch(segment)) for segment in self.segments)

    def hides(self, directory: Route) -> bool:
        """Whether its URLs are those of all notebooks directly below a directory's path."""
        below = (*directory.segments, "{name}")
        pairs = zip(self.segments, below, strict=False)
        return len(self.segments) == len(below) and all(_parameter.fullmatch(own) or own == its for own, its in pairs)

    def filled(self, params: Mapping[str, str]) -> tuple[str, ...]:
        """Return the segments with the values of parameters; a parameter without a value stays."""
        return tuple(params.get(match[1], s) if (match := _parameter.fullmatch(s)) else s for s in self.segments)

    def means(self, segments: Sequence[str], *, is_folder: bool) -> bool:
        """Whether these decoded segments are one of its URLs, or of a folder's: below its URL."""
        own = self.segments
        if len(segments) <= len(own) if is_folder else len(segments) != len(own):
            return False
        return all(_parameter.fullmatch(mine) or mine == its for mine, its in zip(own, segments, strict=False))

    def pattern(self) -> str:
        """Return the regular expression of its URLs, below the server's base URL."""
        parts = (f"/(?P<{match[1]}>[^/]+)" if (match := _parameter.fullmatch(s)) else f"/{re.escape(s)}" for s in self)
        return "".join(parts) + "/?"

    def address(self, params: Mapping[str, str]) -> str:
        """Return the one path of its URL with these parameters, below the server's base URL."""
        names = ((match[1] if (match := _parameter.fullmatch(segment)) else None, segment) for segment in self)
        return "/" + "/".join(segment if name is None else quote(params[name], safe=PLAIN) for name, segment in names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.segments)


def base(url: str) -> str:
    """Return a base URL with a slash before and after it; raises DashboardError for one that no browser can reach."""
    inner = url.strip("/") if isinstance(url, str) else "?"
    text = f"/{inner}/" if inner else "/"
    if not _base.fullmatch(text) or is_devious(text) or not all(map(is_segment, unquote(text).split("/"))):
        raise DashboardError(f"base_url must be a path of ASCII characters such as '/apps/', not {url!r}.")
    return text


def spelled(raw_path: str) -> str:
    """Return an undecoded path in its one spelling: only characters that must be encoded are encoded."""
    return "/".join(
        quote(unquote_to_bytes(segment.encode("latin-1", "replace")), safe=PLAIN) for segment in raw_path.split("/")
    )


def is_devious(raw_path: str) -> bool:
    """Whether a request's undecoded path hides a slash or a NUL."""
    return bool(_encoded.search(raw_path))


def is_reserved(path: str) -> bool:
    """Whether a path below the base URL is one of the server's own."""
    return path.split("/")[1] in RESERVED


def is_segment(value: str) -> bool:
    """Whether a parameter's value is one segment, and does not lead out of its directory."""
    return value not in (".", "..") and "/" not in value and "\0" not in value


def is_plain(name: str) -> bool:
    """Whether a name could be that of a notebook that is meant to be seen."""
    return not any(part == "" or part[0] in "._" or "\\" in part or "\0" in part for part in name.split("/"))


def find(directory: Path, name: str, suffix: str = SUFFIX) -> Path | None:
    """Return the file of this name and suffix in a directory; None if no such file may be served as a notebook."""
    parts = (name.removesuffix(SUFFIX) if suffix == SUFFIX else name).split("/")
    if not is_plain(name):
        return None
    try:
        path = directory.joinpath(*parts[:-1], parts[-1] + suffix).resolve(strict=True)
        inside = path.relative_to(directory.resolve())
    except (OSError, ValueError, RuntimeError):
        return None
    hidden = any(part[0] in "._" for part in inside.parts)
    return path if path.is_file() and path.suffix == suffix and not hidden else None


def short(name: str) -> str:
    """Return a notebook's name: its file's name without the suffix, unless that would be another file's name."""
    stem = name.removesuffix(SUFFIX)
    return name if stem.endswith(SUFFIX) else stem
