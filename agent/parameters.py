"""What a call must say: its VM and its parameters, each checked when it is asked for."""

from __future__ import annotations

import base64
from typing import Any

from core.contract.errors import Invalid
from core.contract.messages import Call, VmSpec


def vm_of(call: Call) -> VmSpec:
    """The VM that it is about."""
    if call.vm is None:
        raise Invalid(f"{call.verb}: the call names no VM")
    return call.vm


def param(call: Call, name: str, kind: Any, *, optional: bool = False) -> Any:
    """One parameter, of that type or those types."""
    value = call.params.get(name)
    if value is None and optional:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Invalid(f"{call.verb}: parameter '{name}' is missing or of the wrong type")
    return value


def environment_of(call: Call) -> dict[str, str]:
    """The variables of a command."""
    environment: dict[str, str] = param(call, "environment", dict, optional=True) or {}
    if not all(isinstance(value, str) for value in environment.values()):
        raise Invalid(f"{call.verb}: every value of 'environment' must be a string")
    return environment


def stdin_of(call: Call) -> bytes | None:
    """The input of a command."""
    text = param(call, "stdin_b64", str, optional=True)
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except ValueError:
        raise Invalid(f"{call.verb}: parameter 'stdin_b64' is not base64") from None
