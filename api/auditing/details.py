"""The details of an audit entry: fields of a body that are known to be harmless, and never a secret.

The list says what is shown, not what is hidden: a field that nobody has thought of is left out.
"""

from __future__ import annotations

import re
from typing import Any

from api.web.requests import is_clean
from core import labels
from core.contract.messages import JSON

_LONGEST, _MOST, _DEEPEST = 200, 20, 4
_SHOWN = frozenset(
    {
        # Machines
        *("name", "os_type", "vcpus", "cpus", "memory_mb", "disk_gb", "storage_gb", "size_gb", "disk_size_gb"),
        *("disk_type", "template", "hypervisor", "host", "storage_config", "storage_controllers", "port_count"),
        *("type", "controller", "port", "device", "medium", "create_if_missing", "guest_agent"),
        # Networks
        *("network_config", "network", "bridge", "ip", "adapter_type", "mode", "bridge_adapter", "cable_connected"),
        *("enabled", "mac_address", "host_port", "guest_port", "protocol"),
        # What is done to them
        *("placement", "require", "prefer", "apart_from_group", "strategy", "overcommit"),
        *("force", "timeout_seconds", "headless", "gui", "start_vm", "include_memory", "include_ram", "signal"),
        *("path", "recursive", "permissions", "owner", "group", "working_directory"),
        # Who may
        *("username", "role", "access", "expires_at", "scan_type", "target", "frameworks"),
        *("replaces", "ttl_seconds", "uses", "version", "reason"),
        *("strategy", "deadline_seconds", "at_once", "grace_seconds"),
    }
)
_ADAPTER = re.compile(r"adapter[1-8]")
_PROGRAM = re.compile(r"[A-Za-z0-9_./+-]{1,64}")


def harmless(body: Any, depth: int = 0) -> JSON:
    """The harmless part of a body, which may be anything: it need not have been found right."""
    if not isinstance(body, dict) or depth > _DEEPEST:
        return {}
    found = {name: _value(value, depth) for name, value in list(body.items())[: 4 * _MOST] if _may_be_shown(name)}
    if isinstance(given := body.get("labels"), dict):
        found["labels"] = _labels(given)
    if isinstance(command := body.get("command"), str):
        found |= _program(command)
    return found


def text(value: object) -> str:
    """Any text in a form that PostgreSQL can hold, and not at any length."""
    cut = str(value)[:_LONGEST]
    return cut if is_clean(cut) else ascii(cut)[1:-1]


def _may_be_shown(name: object) -> bool:
    return isinstance(name, str) and (name in _SHOWN or _ADAPTER.fullmatch(name) is not None)


def _value(value: Any, depth: int) -> Any:
    match value:
        case bool() | None:
            return value
        case int() | float():
            return value if -(2**63) <= value < 2**63 else text(value)
        case dict():
            return harmless(value, depth + 1)
        case list():
            return [_value(item, depth + 1) for item in value[:_MOST]] if depth < _DEEPEST else []
        case _:
            return text(value)


def _labels(given: JSON) -> list[str]:
    """Those that can be labels; null, which takes one away, as a hyphen."""
    there = {key: value for key, value in given.items() if labels.KEY.fullmatch(str(key))}
    set_ = {key: value for key, value in there.items() if isinstance(value, str) and labels.VALUE.fullmatch(value)}
    return [*labels.as_texts(set_), *(f"{key}-" for key, value in there.items() if value is None)][:_MOST]


def _program(command: str) -> JSON:
    """A command line may hold a password, so only what it begins with is told, if that looks like a program."""
    first = command.split(maxsplit=1)[0] if command.strip() else ""
    program = {"program": first} if _PROGRAM.fullmatch(first) else {}
    return program | {"command_characters": len(command)}
