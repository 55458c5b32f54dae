"""The kernel's interfaces, by netlink: a bridge with the host's address, and a tap for each VM on it."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from agent.network.bridge import Bridge
from core.contract.errors import DriverFailure

_SYSCTL = Path("/proc/sys/net/ipv4")


def ensure(bridge: Bridge, taps: Collection[str], *, from_loopback: bool) -> None:
    """The bridge, up and with its address, and just those taps on it. `from_loopback`: forwards listen there."""
    with IPRoute() as kernel:
        index = _ensure_link(kernel, bridge.name, kind="bridge")
        # By itself it has that of one of its taps, and another when that VM leaves: guests would lose their gateway.
        _set_address(kernel, index, bridge.mac_address)
        kernel.addr("replace", index=index, address=str(bridge.gateway), prefixlen=bridge.subnet.prefixlen)
        kernel.link("set", index=index, state="up")
        for name in taps:
            tap = _ensure_link(kernel, name, kind="tuntap", mode="tap", uid=os.geteuid())
            kernel.link("set", index=tap, master=index, state="up")
        for name in _taps_on(kernel, index) - set(taps):
            _remove(kernel, name)
    _write("ip_forward", "1")
    # What comes from 127.0.0.1 may go to a guest; that no guest sends there, the firewall sees to.
    _write(f"conf/{bridge.name}/route_localnet", "1" if from_loopback else "0")


def remove(bridge: Bridge) -> None:
    """Takes away the bridge and the taps on it, as far as they are there."""
    with IPRoute() as kernel:
        for index in kernel.link_lookup(ifname=bridge.name):
            for name in _taps_on(kernel, index):
                _remove(kernel, name)
        _remove(kernel, bridge.name)


def _ensure_link(kernel: Any, name: str, **what: Any) -> int:
    if not kernel.link_lookup(ifname=name):
        try:
            kernel.link("add", ifname=name, **what)
        except NetlinkError as error:
            raise DriverFailure(f"the interface '{name}' can't be made: {os.strerror(error.code)}") from None
    (index,) = kernel.link_lookup(ifname=name)
    return int(index)


def _set_address(kernel: Any, index: int, mac_address: str) -> None:
    (link,) = kernel.get_links(index)
    if link.get("address") != mac_address:
        kernel.link("set", index=index, address=mac_address)


def _taps_on(kernel: Any, index: int) -> set[str]:
    links = kernel.get_links()
    return {
        str(link.get("ifname"))
        for link in links
        if link.get("master") == index and link.get(("linkinfo", "kind")) == "tun"
    }


def _remove(kernel: Any, name: str) -> None:
    for index in kernel.link_lookup(ifname=name):
        with suppress(NetlinkError):  # it went meanwhile
            kernel.link("del", index=index)


def _write(name: str, value: str) -> None:
    path = _SYSCTL / name
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except OSError as error:
        raise DriverFailure(f"{path} can't be set to {value}: {error.strerror}") from None
