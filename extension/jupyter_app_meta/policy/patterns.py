"""Shell patterns of names, and the form in which names are compared: lower-case, ``_`` as ``-``."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache, wraps

_wildcards = re.compile(r"\[[^\]]*\]|[*?.:-]")


def normal(name: str) -> str:
    """Return the form in which names are compared."""
    return name.strip().lower().replace("_", "-")


def remembered(judge: Callable[[str], bool]) -> Callable[[str], bool]:
    """Return a function that remembers its answers for short names.

    Visitors choose names. Long names are judged again each time, so that visitors cannot fill the memory.
    """
    known = lru_cache(maxsize=4096)(judge)

    @wraps(judge)
    def judged(name: str) -> bool:
        return known(name) if len(name) <= 64 else judge(name)

    return judged


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a normal name matches one of the shell patterns."""
    # Visitors choose names. Only short names are cached, so that visitors cannot fill the memory.
    return _known(name, patterns) if len(name) <= 64 else _matches(name, patterns)


def is_generic(pattern: str) -> bool:
    """Whether a pattern names nothing in particular, such as ``*`` or ``x-*``. Such a pattern vouches for nothing."""
    return len(_wildcards.sub("", pattern)) < 2


def specific(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the patterns that name something in particular."""
    return tuple(pattern for pattern in patterns if not is_generic(pattern))


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return _compiled(patterns).match(name) is not None


_known = lru_cache(maxsize=4096)(_matches)


@lru_cache(maxsize=64)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)) or "(?!)")
