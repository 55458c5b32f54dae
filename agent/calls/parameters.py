"""The parameters of a call: its VM, and the values of its verb."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from core.contract.errors import Invalid
from core.contract.messages import Call, VmSpec

Q = TypeVar("Q", bound=Struct)


def vm_of(call: Call) -> VmSpec:
    """The VM that it is about."""
    if call.vm is None:
        raise Invalid(f"{call.verb}: the call names no VM")
    return call.vm


def asked(call: Call, kind: type[Q]) -> Q:
    """The params, which are of that kind for its verb; a `TypeError` for a verb whose params are others."""
    if not isinstance(call.params, kind):
        raise TypeError(f"{call.verb} asks no {kind.__name__}")
    return call.params
