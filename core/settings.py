"""Every setting, from the environment, read and checked in one place.

A field's `Variable` names the variable of the environment and says what it is for. `load()` reads them; an unusable
value is a `SystemExit` that names the variable, the value and what is expected.
"""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from msgspec import Meta

from core import redis_urls
from core.variables import RANGE, Variable, read

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network
else:  # msgspec takes no union of two classes that it does not know
    Network = ipaddress._BaseNetwork  # noqa: SLF001 - it is what both derive from
Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]  # 0: none
Range = tuple[Count, Count]

# Of the client library and of commands in guests, which have the prefix and are no settings of a server.
_NOT_OURS = frozenset({"CORRAL_URL", "CORRAL_TOKEN", "CORRAL_CONTEXT", "CORRAL_CONFIG", "CORRAL_EXEC", "CORRAL_KEEPER"})
_PREFIX = "CORRAL_"
_REDIS = ("redis_url", "agent_redis_url", "redis_nodes")


def _cached(name: str) -> Path:
    # By content and outside any checkout: several clones share it.
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "corral" / name


@dataclass(frozen=True)
class Settings:
    """The settings of this process, one for each variable."""

    home: Annotated[Path, Variable("CORRAL_HOME", "all state: databases, logs, VMs, `credentials.json`")] = field(
        default_factory=lambda: Path(".corral").absolute()
    )
    images: Annotated[Path, Variable("CORRAL_IMAGES", "the folder with the image store")] = field(
        default_factory=partial(_cached, "images")
    )
    virtualbox: Annotated[Path, Variable("CORRAL_VIRTUALBOX", "the folder of the tests' VirtualBox")] = field(
        default_factory=partial(_cached, "virtualbox")
    )
    lab: Annotated[Path, Variable("CORRAL_LAB", "the lab's folder, for development")] = field(
        default_factory=partial(_cached, "lab")
    )
    vboxmanage: Annotated[str, Variable("CORRAL_VBOXMANAGE", "VirtualBox's program, if it is not in `PATH`")] = (
        "VBoxManage"
    )
    cloud_hypervisor: Annotated[
        str, Variable("CLOUD_HYPERVISOR", "Cloud Hypervisor's program, if it is not in `PATH`")
    ] = "cloud-hypervisor"
    firmware: Annotated[
        Path | None, Variable("CORRAL_FIRMWARE", "the firmware for VMs of Cloud Hypervisor whose image has no kernel")
    ] = None
    kvm_trial_seconds: Annotated[
        Count, Variable("CORRAL_KVM_TRIAL_SECONDS", "seconds that a trial guest may take to show that KVM works")
    ] = 8
    media: Annotated[
        tuple[Path, ...],
        Variable(
            "CORRAL_MEDIA",
            "colon-separated folders with disks and DVDs that users may attach (default: `media` in the host's folder)",
            os.pathsep,
        ),
    ] = ()
    host: Annotated[str, Variable("CORRAL_BIND", "the address that the API listens on")] = "127.0.0.1"
    port: Annotated[Port, Variable("CORRAL_PORT", "the port that the API listens on")] = 8000
    # Below Linux's own range for outgoing connections, so that none of those holds a port when its server comes back.
    ports: Annotated[
        Range,
        Variable(
            "CORRAL_PORTS", "the range of ports for the servers and port forwards of a fleet on one machine", RANGE
        ),
    ] = (20000, 31999)
    api_workers: Annotated[Count, Variable("CORRAL_API_WORKERS", "the number of API processes")] = 2
    workers: Annotated[Count, Variable("CORRAL_WORKERS", "the number of workers of `corral up`")] = 1
    flower_port: Annotated[
        Port, Variable("CORRAL_FLOWER_PORT", "the port of Flower, on loopback; log in as the administrator")
    ] = 5555
    fake: Annotated[bool, Variable("CORRAL_FAKE", "1: allow the fake driver, whose VMs run nothing; for tests")] = False
    trusted_proxies: Annotated[
        tuple[Network, ...],
        Variable(
            "CORRAL_TRUSTED_PROXIES",
            "addresses or networks of reverse proxies whose `X-Forwarded-For` is trusted",
            ",",
        ),
    ] = ()
    vbox_networks: Annotated[
        tuple[str, ...],
        Variable(
            "CORRAL_VBOX_NETWORKS",
            "networks beside NAT that VirtualBox adapters may join: `bridged:eth1, hostonly:vboxnet0, intnet:lab`",
            ",",
        ),
    ] = ()
    webhook_networks: Annotated[
        tuple[Network, ...],
        Variable(
            "CORRAL_WEBHOOK_NETWORKS",
            "private networks that webhooks may reach, beside the internet; read by API and workers",
            ",",
        ),
    ] = ()
    egress_allow: Annotated[
        tuple[Network, ...],
        Variable(
            "CORRAL_EGRESS_ALLOW",
            "networks (`10.20.0.0/16, fd00:1::/64`) that guests may reach although they are private",
            ",",
        ),
    ] = ()
    egress_deny: Annotated[
        tuple[Network, ...],
        Variable(
            "CORRAL_EGRESS_DENY",
            "networks that guests may not reach, such as a management network with public addresses",
            ",",
        ),
    ] = ()
    vm_uids: Annotated[
        Range, Variable("CORRAL_VM_UIDS", "the range of user ids for VMs, if the agent runs as root", RANGE)
    ] = (
        2_000_000,
        2_999_999,
    )
    database_url: Annotated[
        str, Variable("DATABASE_URL", "PostgreSQL (default: `corral up` starts one)", secret=True)
    ] = ""
    redis_url: Annotated[str, Variable("REDIS_URL", "Redis (default: `corral up` starts one)", secret=True)] = ""
    public_url: Annotated[
        str, Variable("CORRAL_PUBLIC_URL", "the API's address for hosts (default: the one `corral host add` used)")
    ] = ""
    agent_redis_url: Annotated[
        str, Variable("CORRAL_AGENT_REDIS_URL", "Redis's address for new hosts (default: `REDIS_URL`)", secret=True)
    ] = ""
    redis_nodes: Annotated[
        tuple[str, ...],
        Variable("CORRAL_REDIS_NODES", "further Redis servers, for the hosts' accounts", ",", secret=True),
    ] = ()
    pull_mb_per_second: Annotated[
        int,
        Meta(ge=0),
        Variable("CORRAL_PULL_MB_PER_SECOND", "the most MB per second at which a host gets images; 0: no limit"),
    ] = 0
    pulled_days: Annotated[
        int, Meta(ge=0), Variable("CORRAL_PULLED_DAYS", "days until an unused pulled image is removed; 0: never")
    ] = 30
    pulled_free_mb: Annotated[
        int,
        Meta(ge=0),
        Variable("CORRAL_PULLED_FREE_MB", "MB of free disk below which unused pulled images are removed"),
    ] = 5120
    rate_burst: Annotated[Count, Variable("RATE_LIMIT_BURST", "requests per minute and user")] = 100
    rate_hourly: Annotated[Count, Variable("RATE_LIMIT_HOURLY", "requests per hour and user")] = 1000
    wait_seconds: Annotated[Count, Variable("CORRAL_WAIT_SECONDS", "the longest wait of a request, in seconds")] = 120
    max_body_mb: Annotated[
        Count, Variable("CORRAL_MAX_BODY_MB", "the largest body in MB, but for images and files")
    ] = 1
    offline_after_seconds: Annotated[
        Count, Variable("CORRAL_OFFLINE_AFTER", "seconds without a heartbeat until a host is offline")
    ] = 15
    low_disk_mb: Annotated[
        int, Variable("CORRAL_LOW_DISK_MB", "MB of free disk below which a host takes no new VMs; read by workers")
    ] = 2048
    sweep_seconds: Annotated[Count, Variable("CORRAL_SWEEP_SECONDS", "seconds between two sweeps")] = 2
    resend_seconds: Annotated[
        Count, Variable("CORRAL_RESEND_SECONDS", "seconds until an unanswered command is sent again")
    ] = 5
    host_secret_days: Annotated[
        int,
        Meta(ge=0),
        Variable("CORRAL_HOST_SECRET_DAYS", "days until a host's secret is rotated; 0: never; read by workers"),
    ] = 90
    host_secret_overlap_seconds: Annotated[
        Count, Variable("CORRAL_HOST_SECRET_OVERLAP", "seconds within which a host must use its next secret")
    ] = 3600
    metrics_token: Annotated[
        str,
        Variable(
            "CORRAL_METRICS_TOKEN",
            "the bearer token for `/metrics` (`corral up` writes it to `credentials.json`)",
            secret=True,
        ),
    ] = ""
    metrics_port: Annotated[
        Port, Variable("CORRAL_METRICS_PORT", "the port of `/metrics` of a worker or an agent; 0: none")
    ] = 0
    metrics_bind: Annotated[str, Variable("CORRAL_METRICS_BIND", "the address of that port")] = "127.0.0.1"
    cgroup: Annotated[
        str,
        Variable(
            "CORRAL_CGROUP",
            "the control group (version 2) below which an agent puts its VMs (default: the agent's own)",
        ),
    ] = ""
    log_level: Annotated[str, Variable("CORRAL_LOG_LEVEL", "`DEBUG`, `INFO`, `WARNING` or `ERROR`")] = "INFO"


@cache
def _hints() -> Mapping[str, Any]:
    return get_type_hints(Settings, include_extras=True)


@cache
def variables() -> Mapping[str, Variable]:
    """The variable of each field, in order."""
    return {
        each.name: next(mark for mark in _hints()[each.name].__metadata__ if isinstance(mark, Variable))
        for each in fields(Settings)
    }


def load() -> Settings:
    """The settings of this process. An empty variable counts as one that is not set."""
    values = {}
    for name, variable in variables().items():
        if text := os.environ.get(variable.name, "").strip():
            values[name] = _read(name, text)
    return Settings(**values)


def unknown() -> dict[str, str]:
    """Variables that have our prefix and mean nothing, each with the one that it was most likely meant to be, or ""."""
    known = {each.name for each in variables().values()} | _NOT_OURS
    odd = sorted(name for name in os.environ if name.startswith(_PREFIX) and name not in known)
    return {name: next(iter(get_close_matches(name, known, n=1)), "") for name in odd}


def complaints() -> list[str]:
    """A sentence on each of those."""
    return [
        f"{name} is not a setting{f' (did you mean {meant}?)' if meant else ''}: `corral settings` lists them"
        for name, meant in unknown().items()
    ]


def report() -> None:
    """Has the log say so."""
    for text in complaints():
        log.warning("%s", text)


def masked(name: str, value: object) -> str:
    """A field's value for people to read: a secret is not shown."""
    if variables()[name].secret and value:
        return "***"
    if isinstance(value, tuple):
        return (variables()[name].split or ",").join(map(str, value))
    return "" if value is None else str(int(value) if isinstance(value, bool) else value)


def _read(name: str, text: str) -> Any:
    variable, hint = variables()[name], _hints()[name]
    try:
        value = read(variable, hint, text)
    except ValueError as error:
        shown = "***" if variable.secret else repr(text)
        raise SystemExit(f"{variable.name}={shown}: {error}") from None
    if name not in _REDIS:
        return value
    several = isinstance(value, tuple)
    urls = tuple(_verified(variable.name, url) for url in (value if several else (value,)))
    return urls if several else urls[0]


def _verified(variable: str, url: str) -> str:
    try:
        return redis_urls.checked(url)
    except ValueError as error:
        raise SystemExit(f"{variable}: {error}") from None
