"""Options that say how browsers reach a server and which other sites may show it, with their checks."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import DashboardError
from ..commands.allowed import Allowed

_origin = re.compile(r"https?://[^/?#@\s,;*]+")
_ancestor = re.compile(r"'self'|'none'|https?:|(?:https?://)?(?:\*\.)?[A-Za-z0-9.-]+(?::(?:\d+|\*))?|\*")
_OURS = ("'self'", "'none'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The deployer's options for addresses, proxies, other origins, cookies and what operators see."""

    cookie_secret: bytes | None = field(default=None, repr=False)
    cookie_secret_file: str | Path | None = None
    server_id: str = ""
    public_url: str = ""
    local_hostnames: Sequence[str] = ()
    allow_remote_access: bool | None = None
    allow_origin: str = ""
    allow_origin_pat: str = ""
    frame_ancestors: str = "'self'"
    trust_xheaders: bool = False
    page_cookies: Sequence[str] = ()
    redirect_origins: Sequence[str] = ()
    metrics_token: str | None = field(default=None, repr=False)
    log_users: bool = True

    @property
    def ancestors(self) -> tuple[str, ...]:
        """The sites that may show pages in a frame."""
        return tuple(self.frame_ancestors.split())

    @property
    def is_framed(self) -> bool:
        """Whether other sites may show our pages in a frame."""
        return any(source not in _OURS for source in self.ancestors)

    def names(self, public: tuple[str, str] | None) -> list[str]:
        """Return the names beside localhost to which a server answers; ``public`` is the address of ``public_url``."""
        return [*self.local_hostnames, *([public[1]] if public else [])]

    @property
    def allowed(self) -> Allowed:
        """What notebooks may do to pages; raises DashboardError."""
        return Allowed.of(self.page_cookies, self.redirect_origins)

    def check(self, log: logging.Logger) -> None:
        """Raise DashboardError for options that contradict each other; warn about risky ones."""
        if self.cookie_secret and self.cookie_secret_file:
            raise DashboardError("cookie_secret cannot be combined with cookie_secret_file: pass only one.")
        if self.allow_origin not in ("", "*") and not _origin.fullmatch(self.allow_origin):
            raise DashboardError("allow_origin must be an origin such as 'https://portal.example.org', without a path.")
        if self.allow_origin and self.allow_origin_pat:
            raise DashboardError("allow_origin cannot be combined with allow_origin_pat: pass only one.")
        self._check_pattern()
        _ = self.allowed
        for source in self.ancestors or ("",):
            if not _ancestor.fullmatch(source):
                raise DashboardError(
                    "frame_ancestors must be sources separated by spaces, such as \"'self' https://portal.example.org\"."
                )
        if self.allow_origin == "*":
            log.warning("allow_origin='*': scripts of any site can use the pages of visitors who are logged in here.")
        if "*" in self.ancestors:
            log.warning(
                "frame_ancestors='*': any site can show these pages in a frame and trick visitors into clicks there."
            )

    def settings(self) -> dict[str, Any]:
        """Return the settings of the web application."""
        headers = {
            "Content-Security-Policy": f"frame-ancestors {' '.join(self.ancestors)}",
            "Cross-Origin-Opener-Policy": "same-origin",
        }
        pattern = self.allow_origin_pat and rf"(?:{self.allow_origin_pat})\Z"  # older jupyter_servers match a beginning
        origins = {"allow_origin": self.allow_origin, "allow_origin_pat": pattern}
        return {"headers": headers, **{name: value for name, value in origins.items() if value}}

    def _check_pattern(self) -> None:
        try:
            re.compile(self.allow_origin_pat)
        except re.error as error:
            raise DashboardError(f"allow_origin_pat must be a regular expression ({error}).") from error
