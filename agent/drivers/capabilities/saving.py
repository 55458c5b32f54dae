"""Capability: save a VM's memory and power it off."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from core.contract.messages import VmSpec
from core.contract.vms import Observation

SAVED = "its memory is saved: the next start resumes from it"
"""The reason that `observe` gives for a VM that is off so."""


@runtime_checkable
class SavedStatesCapability(Protocol):
    """Has "saved_states" among its capabilities."""

    def save(self, vm: VmSpec, timeout: float) -> Observation:
        """Off, with its memory kept: the next start goes on from there. One that is saved stays so.

        Code "invalid_state" for a VM that is off and has no memory to keep.
        """
