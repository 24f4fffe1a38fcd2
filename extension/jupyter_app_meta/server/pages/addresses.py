"""Which notebook the address of a page names. Pure.

1. A path is split at its slashes, and each segment is unquoted once, as the server does. A session's path is not
   quoted, so it is compared unchanged.
2. If two programs may read an address differently, its page is unknown: an address with an empty segment, ``.`` or
   ``..``, an encoded slash, a backslash or control character, or bytes that are not UTF-8.
3. Whole segments of the base URL, of the shell's prefix and of the path are compared. Case and the Unicode form
   matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

Segments = tuple[str, ...]

DRIVES = ("RTC:",)
"""Prefixes that jupyter-collaboration writes before the paths of its drive; the server's own path may lack them."""

LABS = ("lab", "doc")
"""Shells of the form ``/lab[/workspaces/name]/tree/path``."""

PLAIN_SHELLS = ("notebooks", "tree", "edit", "consoles")
"""Shells of the form ``/notebooks/path``, also below one of ``WRAPPERS``."""

WRAPPERS = ("nbclassic", "retro")

SHELLS = (*LABS, *PLAIN_SHELLS, *WRAPPERS, "terminals")
"""Shells that show many documents. An address without a path does not say which document is shown."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a page of this server, without its fragment, and the segments of its path below the base URL."""

    url: str
    segments: Segments
    has_query: bool

    @classmethod
    def of(cls, url: str, host: str, base_url: str) -> Address | None:
        """Return the address of a page of the server at this host and base URL; None for any other."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        if parts.scheme not in ("http", "https") or parts.netloc != host:
            return None
        found = _below(parts.path, base_url)
        return cls(parts._replace(fragment="").geturl(), found, bool(parts.query)) if found else None

    @property
    def is_shell(self) -> bool:
        """Whether a shell has this address. Case does not matter, because some servers ignore it."""
        return self.segments[0].casefold() in SHELLS

    @property
    def is_lab(self) -> bool:
        """Whether JupyterLab, which drops the query from its address, has this address."""
        return self.segments[0] in LABS

    @property
    def document(self) -> str | None:
        """The path of the document that a shell shows; None for any other page."""
        rest = _in_lab(self.segments) if self.is_lab else _in_plain_shell(self.segments)
        return "/".join(rest) if rest and rest[-1] else None

    def names(self, paths: Iterable[str | None]) -> str | None:
        """Return which of these paths it shows; None if it shows none, or if two differ only in their drive."""
        known, page = {path for path in paths if path}, self.document
        if page is None or page in known:
            return page
        same = [path for path in known if _without_drive(path) == _without_drive(page)]
        return same[0] if len(same) == 1 else None


def segments(path: str) -> Segments | None:
    """Return the unquoted segments of a path; None if it can be read in two ways.

    The last one is empty if the path ends with a slash.
    """
    try:
        found = tuple(unquote(segment, errors="strict") for segment in path.split("/"))
    except UnicodeDecodeError:
        return None
    return found[1:] if found[0] == "" and all(found[1:-1]) and all(map(_is_plain, found)) else None


def _is_plain(segment: str) -> bool:
    return segment not in (".", "..") and not any(char in "/\\\x7f" or char < " " for char in segment)


def _below(path: str, base_url: str) -> Segments | None:
    """Return the segments of a path below a base URL, which ends with a slash; None if it is not below it."""
    base, found = segments(base_url), segments(path)
    if base is None or found is None or found[: len(base) - 1] != base[:-1]:
        return None
    return found[len(base) - 1 :]


def _in_lab(found: Segments) -> Segments:
    rest = found[1:]
    if rest[:1] == ("workspaces",):
        rest = rest[2:]
    return rest[1:] if rest[:1] == ("tree",) else ()


def _in_plain_shell(found: Segments) -> Segments:
    rest = found[1:] if found[0] in WRAPPERS else found
    return rest[1:] if rest and rest[0] in PLAIN_SHELLS else ()


def _without_drive(path: str) -> str:
    drive = next((drive for drive in DRIVES if path.startswith(drive)), "")
    return path[len(drive) :]
