"""The addresses that webhooks may reach: those of the internet, and of networks that the operator allows."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from core.contract.networks import CLOSED
from core.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
_LEADING = (_NAT64, ipaddress.ip_network("::ffff:0:0/96"))  # to IPv4 addresses, which are looked at themselves


def may_reach(address: str, allowed: Sequence[Network]) -> bool:
    """Whether that address is one of the internet, or in a network that the operator allows."""
    judged = ipaddress.ip_address(address.partition("%")[0])
    if any(judged in network for network in allowed):
        return True
    return all(_is_of_the_internet(each) for each in (judged, *_within(judged)))


def _is_of_the_internet(address: Address) -> bool:
    return address.is_global and not any(address in network for network in CLOSED if network not in _LEADING)


def _within(judged: Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to."""
    if isinstance(judged, ipaddress.IPv4Address):
        return []
    translated = ipaddress.IPv4Address(judged.packed[-4:]) if judged in _NAT64 else None
    teredo = judged.teredo[1] if judged.teredo else None
    return [each for each in (judged.ipv4_mapped, judged.sixtofour, teredo, translated) if each]
