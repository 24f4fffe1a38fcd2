"""Which names a server answers to, if only this machine can reach it.

1. A website can make its own name lead to this machine (DNS rebinding). Its scripts then belong to the origin of the
   pages here, and could read them without a login. So a server that listens on loopback addresses answers only to the
   names of this machine and to those that the deployer lists. The rules are jupyter_server's.
2. The name is that of the request itself, because such a script can write X-Forwarded-Host.
3. A server that other machines reach cannot know its names, and answers to all. So does an application to which another
   server hands its requests, unless ``allow_all`` is False: that server judges the name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from ipaddress import ip_address

from ....server.reports.logs import printable

LONGEST = 100
"""How many characters of a refused name are logged."""


class Hosts:
    """The names of one server, and the addresses on which it listens."""

    def __init__(self, names: Iterable[str] = (), *, allow_all: bool | None = None, log: logging.Logger) -> None:
        """Take the names beside localhost; ``allow_all`` is None if the addresses decide whether names are judged."""
        self._names = {"localhost", *map(_name, names)}
        self._allow_all, self._log = allow_all, log
        self._addresses: set[str] = set()
        self._has_said = False

    def listens(self, addresses: Iterable[str]) -> None:
        """Learn on which addresses the server listens."""
        self._addresses.update(addresses)

    def answers_to(self, host: str) -> bool:
        """Whether the server answers a request with this ``Host``. The first refusal is logged."""
        if not self._judges or self._is_known(_name(host)):
            return True
        if not self._has_said:
            self._has_said = True
            self._log.warning(
                "Refused a request for the host %s, because this server answers to the names of this machine only. If "
                "visitors shall reach it under that name, list the name in local_hostnames.",
                printable(host, LONGEST),
            )
        return False

    @property
    def _judges(self) -> bool:
        if self._allow_all is not None:
            return not self._allow_all
        return bool(self._addresses) and all(map(_is_loopback, self._addresses))

    def _is_known(self, name: str) -> bool:
        return name in self._names or _is_loopback(name)


def _name(host: str) -> str:
    """Return a host without its port; an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _is_loopback(text: str) -> bool:
    try:
        return ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False
