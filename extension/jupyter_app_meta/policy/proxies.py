"""The deployer's reverse proxies: which peers are proxies, and which client's request a proxy passes on."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from starlette.datastructures import Address

from ..errors import PolicyError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

HOPS = ("x-forwarded-for", "forwarded", "x-real-ip")


def nearest_stranger(
    headers: tuple[tuple[str, str], ...], peer: Address, is_proxy: Callable[[IPAddress | None], bool]
) -> Address | None:
    """Walk X-Forwarded-For from the right, past our own proxies; return None if the walk ends in doubt.

    Only the header's exact name counts, because proxies pass on a client's own ``X_Forwarded_For``.
    """
    told = {name.lower() for name, _ in headers}
    lines = [value for name, value in headers if name.lower() == "x-forwarded-for"]
    hops = [hop for hop in ",".join(lines).split(",") if hop.strip()]
    if not hops:
        return None if told.intersection(HOPS) else peer
    addresses = [address(hop) for hop in reversed(hops)]
    nearest = next((found for found in addresses if not is_proxy(found)), addresses[-1])
    return Address(str(nearest), 0) if nearest else None


def network(text: str) -> Network:
    """Return the network that an option's value names; raise PolicyError if it is not a network."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise PolicyError("trusted_proxies", f"{text!r} is not an address or CIDR such as 10.0.0.0/8.") from error


def address(text: str) -> IPAddress | None:
    """Return a hop's address: ``10.0.0.1``, ``10.0.0.1:80``, ``2001:db8::1``, ``[2001:db8::1]:80``."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
