"""Every setting, from the environment, read in one place. Standard library only."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path


def _path(name: str, default: str) -> Path:
    return Path(os.environ.get(name) or default).expanduser().absolute()


def _cached(name: str) -> str:
    # By content and outside any checkout: several clones share it.
    return f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/corral/{name}"


def _paths(name: str) -> tuple[Path, ...]:
    return tuple(Path(each).expanduser().absolute() for each in os.environ.get(name, "").split(os.pathsep) if each)


def _names(name: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in os.environ.get(name, "").split(",") if each.strip())


def _int(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise SystemExit(f"{name}={text!r} is not a whole number") from None


def _flag(name: str) -> bool:
    text = os.environ.get(name, "")
    if text not in ("", "0", "1"):
        raise SystemExit(f"{name}={text!r} is neither 1 nor 0")
    return text == "1"


def _range(name: str, default: tuple[int, int]) -> tuple[int, int]:
    text = os.environ.get(name, "")
    first, _, last = text.partition("-")
    if not text:
        return default
    if not (first.isdecimal() and last.isdecimal()) or not 0 < int(first) <= int(last):
        raise SystemExit(f"{name}={text!r} is not a range like {default[0]}-{default[1]}")
    return int(first), int(last)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(name: str) -> tuple[Network, ...]:
    parts = os.environ.get(name, "").replace(",", " ").split()
    try:
        return tuple(ipaddress.ip_network(part) for part in parts)
    except ValueError as error:
        raise SystemExit(f"{name}: {error}") from None


@dataclass(frozen=True)
class Settings:
    """What the environment says; `load()` reads it. The names in the comments are the variables."""

    home: Path = field(default_factory=lambda: _path("CORRAL_HOME", ".corral"))
    images: Path = field(default_factory=lambda: _path("CORRAL_IMAGES", _cached("images")))
    virtualbox: Path = field(default_factory=lambda: _path("CORRAL_VIRTUALBOX", _cached("virtualbox")))  # of the tests
    lab: Path = field(default_factory=lambda: _path("CORRAL_LAB", _cached("lab")))
    vboxmanage: str = field(default_factory=lambda: os.environ.get("CORRAL_VBOXMANAGE") or "VBoxManage")
    # The program, and a firmware for its VMs whose image has no kernel.
    cloud_hypervisor: str = field(default_factory=lambda: os.environ.get("CLOUD_HYPERVISOR") or "cloud-hypervisor")
    firmware: Path | None = field(default_factory=lambda: next(iter(_paths("CORRAL_FIRMWARE")), None))
    kvm_trial_seconds: int = field(default_factory=lambda: _int("CORRAL_KVM_TRIAL_SECONDS", 8))
    media: tuple[Path, ...] = field(default_factory=lambda: _paths("CORRAL_MEDIA"))  # colon-separated directories
    host: str = field(default_factory=lambda: os.environ.get("CORRAL_BIND", "127.0.0.1"))
    port: int = field(default_factory=lambda: _int("CORRAL_PORT", 8000))
    # What a fleet of one machine takes its other ports from. Below Linux's own range for outgoing connections, so that
    # none of those holds a port when its server comes back to it.
    ports: tuple[int, int] = field(default_factory=lambda: _range("CORRAL_PORTS", (20000, 31999)))
    api_workers: int = field(default_factory=lambda: _int("CORRAL_API_WORKERS", 2))
    workers: int = field(default_factory=lambda: _int("CORRAL_WORKERS", 1))  # of the control plane, by `make up`
    flower_port: int = field(default_factory=lambda: _int("CORRAL_FLOWER_PORT", 5555))
    # For tests and demonstrations alone: a driver whose VMs are files and run nothing.
    fake: bool = field(default_factory=lambda: _flag("CORRAL_FAKE"))
    # Addresses or networks of reverse proxies whose X-Forwarded-For is believed.
    trusted_proxies: tuple[Network, ...] = field(default_factory=lambda: _networks("CORRAL_TRUSTED_PROXIES"))
    # What adapters of VirtualBox may join beside NAT, each as "mode:name": "bridged:eth1", "hostonly:vboxnet0".
    vbox_networks: tuple[str, ...] = field(default_factory=lambda: _names("CORRAL_VBOX_NETWORKS"))
    # What of private networks guests may reach after all, and what of the world they may not.
    egress_allow: tuple[Network, ...] = field(default_factory=lambda: _networks("CORRAL_EGRESS_ALLOW"))
    egress_deny: tuple[Network, ...] = field(default_factory=lambda: _networks("CORRAL_EGRESS_DENY"))
    vm_uids: tuple[int, int] = field(default_factory=lambda: _range("CORRAL_VM_UIDS", (2_000_000, 2_999_999)))
    database_url: str = field(default_factory=lambda: os.environ.get("DATABASE_URL", ""))
    redis_url: str = field(default_factory=lambda: os.environ.get("REDIS_URL", ""))
    rate_burst: int = field(default_factory=lambda: _int("RATE_LIMIT_BURST", 100))  # a minute and user
    rate_hourly: int = field(default_factory=lambda: _int("RATE_LIMIT_HOURLY", 1000))  # an hour and user
    wait_seconds: int = field(default_factory=lambda: _int("CORRAL_WAIT_SECONDS", 120))  # a held request's limit
    max_body_mb: int = field(default_factory=lambda: _int("CORRAL_MAX_BODY_MB", 1))
    silent_after_seconds: int = field(default_factory=lambda: _int("CORRAL_SILENT_AFTER", 15))
    low_disk_mb: int = field(default_factory=lambda: _int("CORRAL_LOW_DISK_MB", 2048))  # below it: no new VMs there
    sweep_seconds: int = field(default_factory=lambda: _int("CORRAL_SWEEP_SECONDS", 2))
    resend_seconds: int = field(default_factory=lambda: _int("CORRAL_RESEND_SECONDS", 5))
    metrics_token: str = field(default_factory=lambda: os.environ.get("CORRAL_METRICS_TOKEN", ""))
    # Who shows it may read figures, wherever they are. A port is a worker's or an agent's own; 0: none. The API has
    # /metrics on its own port.
    metrics_port: int = field(default_factory=lambda: _int("CORRAL_METRICS_PORT", 0))
    metrics_bind: str = field(default_factory=lambda: os.environ.get("CORRAL_METRICS_BIND", "127.0.0.1"))
    cgroup: str = field(default_factory=lambda: os.environ.get("CORRAL_CGROUP", ""))  # the agent's own without it
    log_level: str = field(default_factory=lambda: os.environ.get("CORRAL_LOG_LEVEL", "INFO"))


def load() -> Settings:
    """The settings of this process."""
    return Settings()
