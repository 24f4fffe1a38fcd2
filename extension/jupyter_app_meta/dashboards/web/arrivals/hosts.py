"""Which names a server answers to, if only this machine can reach it.

1. A website can make its own name lead to this machine (DNS rebinding). Its scripts then belong to the origin of the
   pages here, and could read them without a login. So a server that listens on loopback addresses answers only to the
   names of this machine and to those that the deployer lists. The rules are jupyter_server's.
2. The name is that of the request itself, because such a script can write X-Forwarded-Host.
3. A server that other machines reach cannot know its names, and answers to all.
4. An application in a tornado server that the deployer has made sees where that server listens: on the sockets of this
   process with the port to which a request came. It judges names as its own server would, if the deployer has listed
   names, or if visitors need no login and nothing says that a proxy is in between (``judges_others``).
5. In another host, such as an ASGI server, the host judges the name, unless ``allow_all`` is False.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from ipaddress import ip_address

from ....server.reports.logs import printable
from ...setup import ports

LONGEST = 100
"""How many characters of a refused name are logged."""


class Hosts:
    """The names of one server, and the addresses on which it listens."""

    def __init__(self, names: Iterable[str] = (), *, allow_all: bool | None = None, log: logging.Logger) -> None:
        """Take the names beside localhost; ``allow_all`` is None if the addresses decide whether names are judged."""
        self._names = {"localhost", *map(_name, names)}
        self._allow_all, self._log = allow_all, log
        self._addresses: set[str] = set()
        self._local: dict[int, bool] = {}
        self._has_said = False
        self.judges_others = False

    def listens(self, addresses: Iterable[str]) -> None:
        """Learn on which addresses the server listens."""
        self._addresses.update(addresses)

    def answers_to(self, host: str, came_to: tuple[str, int] | None = None) -> bool:
        """Whether the server answers a request with this ``Host``. The first refusal is logged.

        ``came_to`` is the address and the port of this machine to which the request came, if they are known.
        """
        if not self._judges(came_to) or self._is_known(_name(host)):
            return True
        if not self._has_said:
            self._has_said = True
            self._log.warning(
                "Refused a request for the host %s, because this server answers to the names of this machine only. If "
                "visitors shall reach it under that name, list the name in local_hostnames.",
                printable(host, LONGEST),
            )
        return False

    def _judges(self, came_to: tuple[str, int] | None) -> bool:
        if self._allow_all is not None:
            return not self._allow_all
        if self._addresses:
            return all(map(_is_loopback, self._addresses))
        return self.judges_others and came_to is not None and _is_loopback(came_to[0]) and self._is_local(came_to[1])

    def _is_local(self, port: int) -> bool:
        """Whether this process listens with this port on loopback addresses only. It is looked up once."""
        if port not in self._local:
            self._local[port] = all(map(_is_loopback, ports.listening(port)))
        return self._local[port]

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
