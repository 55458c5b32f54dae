"""The network interfaces of a guest, as its agent lists them."""

from __future__ import annotations

from pathlib import Path

from agent.drivers.capabilities.guest import GuestInterface
from agent.guest import qga
from agent.guest.replies import QgaInterface


def of_guest(channel: Path, timeout: float) -> list[GuestInterface]:
    """All but the loopback and those without hardware; IPv4 addresses alone."""
    listed = qga.ask(channel, "guest-network-get-interfaces", timeout)
    return [_interface(each) for each in listed if each.hardware_address and each.name != "lo"]


def _interface(each: QgaInterface) -> GuestInterface:
    addresses = [address.ip_address for address in each.ip_addresses if address.ip_address_type == "ipv4"]
    return GuestInterface(each.name, each.hardware_address.lower(), addresses)
