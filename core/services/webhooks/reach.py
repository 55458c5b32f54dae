"""Which addresses webhooks may reach: those of the internet, and of networks that the operator allows."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from core.settings import Network

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052


def may_reach(address: str, allowed: Sequence[Network]) -> bool:
    """Whether that address is one of the internet, or in a network that the operator allows."""
    judged = ipaddress.ip_address(address.partition("%")[0])
    if any(judged in network for network in allowed):
        return True
    return all(each.is_global and not each.is_multicast for each in (judged, *_within(judged)))


def _within(judged: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to."""
    if isinstance(judged, ipaddress.IPv4Address):
        return []
    translated = ipaddress.IPv4Address(judged.packed[-4:]) if judged in _NAT64 else None
    teredo = judged.teredo[1] if judged.teredo else None
    return [each for each in (judged.ipv4_mapped, judged.sixtofour, teredo, translated) if each]
