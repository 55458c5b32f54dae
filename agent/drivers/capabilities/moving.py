"""Moving: a VM that is off leaves its host for another, with all that it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from agent.drivers.base import Progress
from core.contract.messages import VmSpec
from core.contract.moves import MovedFile
from core.contract.vms import Observation

Fetched = Callable[[MovedFile], Path]
"""Where that is which was sent of a file, verified."""


@runtime_checkable
class MovingCapability(Protocol):
    """Has "moves" among its capabilities."""

    def moved_files(self, vm: VmSpec, progress: Progress, timeout: float) -> list[MovedFile]:
        """All that the VM consists of, its snapshots too. It stays as it is.

        Code "invalid_state" for a VM that is not off, or that has media attached, which are no part of it.
        """

    def moved_file(self, vm_id: str, file: MovedFile, first: int) -> Iterator[bytes]:
        """What is sent of one of them, from that byte on."""

    def take_in(
        self, vm: VmSpec, files: list[MovedFile], fetched: Fetched, progress: Progress, timeout: float
    ) -> Observation:
        """Those files are a VM here, off, and lasting; a VM that is here with its `home` stays as it is.

        What was fetched may be links to the VM's files then, and is to be removed before the VM is started.
        Who sent them is not trusted: nothing of them leads out of the VM's folder, and `DriverFailure` with code
        "state_damaged" says what is wrong with them.
        """
