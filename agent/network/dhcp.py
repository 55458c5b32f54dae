"""dnsmasq on a bridge: each VM gets its own address by its MAC address, nobody else gets any; and it resolves names."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from agent.network.bridge import Bridge, BridgePort
from agent.system import process, signals
from core import durable
from core.contract.errors import DriverFailure

CONFIG, HOSTS, LEASES, PID_FILE = "dnsmasq.conf", "hosts", "leases", "dnsmasq.pid"
START_SECONDS, STOP_SECONDS = 10.0, 5.0


def ensure(bridge: Bridge, ports: Sequence[BridgePort], folder: Path) -> None:
    """It runs, and knows these ports and no others."""
    hosts = "".join(f"{port.mac_address},{port.address}\n" for port in ports)
    config = _config(bridge, folder)
    if alive(folder) is not None and _read(folder / CONFIG) != config:
        stop(folder)
    durable.write(folder / CONFIG, config, lasting=False)
    changed = _read(folder / HOSTS) != hosts
    durable.write(folder / HOSTS, hosts, lasting=False)
    pid = alive(folder)
    if pid is None:
        _start(folder)
    elif changed:
        signals.send(lambda: alive(folder), signal.SIGHUP)  # reads the hosts anew


def stop(folder: Path) -> None:
    """Ends it, and returns when it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        signals.send(lambda: alive(folder), number)
        deadline = time.monotonic() + STOP_SECONDS
        while alive(folder) is not None and time.monotonic() < deadline:
            time.sleep(0.01)
    (folder / PID_FILE).unlink(missing_ok=True)


def alive(folder: Path) -> int | None:
    """Its process's id; None when the process of that number is none, or not the one with our configuration."""
    text = _read(folder / PID_FILE).strip()
    if not text.isdigit():
        return None
    try:
        command = Path(f"/proc/{text}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    return int(text) if os.fsencode(_option(folder)) in command else None


def _start(folder: Path) -> None:
    """It makes a daemon of itself once it listens, and else says why not."""
    (folder / PID_FILE).unlink(missing_ok=True)
    process.run(["dnsmasq", _option(folder)], START_SECONDS)
    if alive(folder) is None:
        raise DriverFailure(f"dnsmasq ended right after its start with {folder / CONFIG}")


def _option(folder: Path) -> str:
    return f"--conf-file={folder / CONFIG}"


def _config(bridge: Bridge, folder: Path) -> str:
    return "\n".join(
        [
            f"interface={bridge.name}",
            "except-interface=lo",
            "bind-interfaces",
            f"dhcp-range={bridge.subnet.network_address},static,{bridge.subnet.netmask},12h",
            "dhcp-authoritative",
            "no-ping",
            f"dhcp-hostsfile={folder / HOSTS}",
            f"dhcp-leasefile={folder / LEASES}",
            f"pid-file={folder / PID_FILE}",
            "no-hosts",
            "",
        ]
    )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
