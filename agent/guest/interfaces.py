"""The network interfaces of a guest, as its agent lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.drivers.capabilities.guest import GuestInterface
from agent.guest import qga


def of_guest(channel: Path, timeout: float) -> list[GuestInterface]:
    """All but the loopback and those without hardware; IPv4 addresses alone."""
    listed = qga.ask(channel, "guest-network-get-interfaces", timeout)
    with qga.understood():
        return [_interface(each) for each in listed if each.get("hardware-address") and each["name"] != "lo"]


def _interface(each: dict[str, Any]) -> GuestInterface:
    addresses = [
        str(address["ip-address"]) for address in each.get("ip-addresses", []) if address["ip-address-type"] == "ipv4"
    ]
    return GuestInterface(str(each["name"]), str(each["hardware-address"]).lower(), addresses)
