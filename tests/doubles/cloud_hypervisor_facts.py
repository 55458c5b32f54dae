"""What Cloud Hypervisor's OpenAPI document (v53) says of requests: fields, their types, and which must be there.

A field's type is "bool", "string", "u8" to "u64", a tuple of words, a list with one type in it, or the name of another
object. What it does not know it ignores; the double notes it, so that a test can tell.
"""

from __future__ import annotations

from typing import Any

_PCI = {"id": "string", "iommu": "bool", "pci_segment": "u16", "pci_device_id": "u8"}
_CONSOLE = {"file": "string", "mode": ("Off", "Pty", "Tty", "File", "Socket", "Null"), "socket": "string"}

OBJECTS: dict[str, dict[str, Any]] = {
    "VmConfig": {
        "cpus": "CpusConfig",
        "memory": "MemoryConfig",
        "payload": "PayloadConfig",
        "disks": ["DiskConfig"],
        "net": ["NetConfig"],
        "rng": "RngConfig",
        "balloon": "BalloonConfig",
        "serial": "SerialConfig",
        "console": "ConsoleConfig",
        "vsock": "VsockConfig",
        "pvpanic": "bool",
        "iommu": "bool",
        "watchdog": "bool",
        "platform": "PlatformConfig",
        "landlock_enable": "bool",
        "landlock_rules": ["LandlockConfig"],
    },
    "CpusConfig": {
        "boot_vcpus": "u32",
        "max_vcpus": "u32",
        "kvm_hyperv": "bool",
        "max_phys_bits": "u8",
        "nested": "bool",
    },
    "MemoryConfig": {
        "size": "u64",
        "hotplug_size": "u64",
        "hotplugged_size": "u64",
        "hotplug_method": ("Acpi", "VirtioMem"),
        "mergeable": "bool",
        "shared": "bool",
        "hugepages": "bool",
        "hugepage_size": "u64",
        "prefault": "bool",
        "reserve": "bool",
        "thp": "bool",
    },
    "PayloadConfig": {"firmware": "string", "kernel": "string", "cmdline": "string", "initramfs": "string"},
    "DiskConfig": {
        **_PCI,
        "path": "string",
        "readonly": "bool",
        "direct": "bool",
        "num_queues": "usize",
        "queue_size": "u16",
        "vhost_user": "bool",
        "vhost_socket": "string",
        "serial": "string",
        "backing_files": "bool",
        "sparse": "bool",
        "image_type": ("FixedVhd", "Qcow2", "Raw", "Vhdx", "Unknown"),
        "lock_granularity": ("ByteRange", "Full"),
    },
    "NetConfig": {
        **_PCI,
        "tap": "string",
        "ip": "string",
        "mask": "string",
        "mac": "string",
        "host_mac": "string",
        "mtu": "u16",
        "num_queues": "usize",
        "queue_size": "u16",
        "vhost_user": "bool",
        "vhost_socket": "string",
        "offload_tso": "bool",
        "offload_ufo": "bool",
        "offload_csum": "bool",
    },
    "RngConfig": {**_PCI, "src": "string"},
    "BalloonConfig": {**_PCI, "size": "u64", "deflate_on_oom": "bool", "free_page_reporting": "bool"},
    "SerialConfig": _CONSOLE,
    "ConsoleConfig": {**_CONSOLE, **_PCI},
    "VsockConfig": {**_PCI, "cid": "u32", "socket": "string"},
    "PlatformConfig": {
        "num_pci_segments": "u16",
        "iommu_address_width_bits": "u8",
        "system_serial_number": "string",
        "serial_number": "string",
        "system_uuid": "string",
        "uuid": "string",
        "oem_strings": ["string"],
    },
    "LandlockConfig": {"path": "string", "access": "string"},
    "VmResize": {"desired_vcpus": "u32", "desired_ram": "u64", "desired_balloon": "u64"},
    "VmRemoveDevice": {"id": "string"},
    "VmSnapshotConfig": {"destination_url": "string"},
    "RestoreConfig": {
        "source_url": "string",
        "prefault": "bool",
        "memory_restore_mode": ("Copy", "OnDemand"),
        "resume": "bool",
        "net_fds": ["RestoredNetConfig"],
    },
    "RestoredNetConfig": {"id": "string", "num_fds": "usize"},
}
NEEDED = {
    "CpusConfig": ("boot_vcpus", "max_vcpus"),
    "MemoryConfig": ("size",),
    "RngConfig": ("src",),
    "BalloonConfig": ("size",),
    "SerialConfig": ("mode",),
    "ConsoleConfig": ("mode",),
    "VsockConfig": ("cid", "socket"),
    "LandlockConfig": ("path", "access"),
    "VmRemoveDevice": ("id",),
    "VmSnapshotConfig": ("destination_url",),
    "RestoreConfig": ("source_url",),
    "RestoredNetConfig": ("id",),
}
BITS = {"u8": 8, "u16": 16, "u32": 32, "u64": 64, "usize": 64}


class Unfit(Exception):
    """A request's body that the real one can't read; said as it says it, but for the place."""


def check(kind: str, body: Any, ignored: list[str], at: str = "") -> None:
    """`Unfit` says what is wrong; what is not known is added to `ignored`."""
    if not isinstance(body, dict):
        raise Unfit(f"invalid type: {_named(body)}, expected struct {kind}")
    known = OBJECTS[kind]
    for name, value in body.items():
        if name not in known:
            ignored.append(f"{kind}.{name}")
        elif value is not None or name in NEEDED.get(kind, ()):
            _check_value(known[name], value, ignored)
    for name in NEEDED.get(kind, ()):
        if name not in body:
            raise Unfit(f"missing field `{name}`")


def _check_value(wanted: Any, value: Any, ignored: list[str]) -> None:
    if isinstance(wanted, list):
        if not isinstance(value, list):
            raise Unfit(f"invalid type: {_named(value)}, expected a sequence")
        for each in value:
            _check_value(wanted[0], each, ignored)
    elif isinstance(wanted, tuple):
        _check_word(wanted, value)
    elif wanted in OBJECTS:
        check(wanted, value, ignored)
    elif wanted in BITS:
        _check_number(wanted, value)
    elif wanted == "bool" and not isinstance(value, bool):
        raise Unfit(f"invalid type: {_named(value)}, expected a boolean")
    elif wanted == "string" and not isinstance(value, str):
        raise Unfit(f"invalid type: {_named(value)}, expected a string")


def _check_word(wanted: tuple[str, ...], value: Any) -> None:
    if not isinstance(value, str):
        raise Unfit(f"invalid type: {_named(value)}, expected string or map")
    if value not in wanted:
        *first, last = (f"`{word}`" for word in wanted)
        words = f"one of {', '.join([*first, last])}" if len(first) > 1 else f"{first[0]} or {last}"
        raise Unfit(f"unknown variant `{value}`, expected {words}")


def _check_number(wanted: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit(f"invalid type: {_named(value)}, expected {wanted}")
    if not 0 <= value < 1 << BITS[wanted]:
        raise Unfit(f"invalid value: integer `{value}`, expected {wanted}")


def _named(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean `{str(value).lower()}`"
        case int():
            return f"integer `{value}`"
        case float():
            return f"floating point `{value}`"
        case str():
            return f'string "{value}"'
        case list():
            return "sequence"
        case _:
            return "map"
