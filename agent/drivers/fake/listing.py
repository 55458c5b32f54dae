"""The list of fake VMs: ten thousand every two seconds, of which only changed files are read again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from agent.drivers.fake.state import STATE, FakeVmRecord
from core.contract.errors import Invalid
from core.contract.messages import decode
from core.contract.vms import Observation


@dataclass(frozen=True)
class StateOnDisk:
    """One VM's file as it was read. Its observation is fixed, unless the VM is to crash at some time."""

    version: tuple[int, int]
    state: FakeVmRecord
    observation: Observation


class Listing:
    """Every fake VM of a folder. What it remembers is a cache of files: each is replaced whole, so its inode tells."""

    def __init__(self, vms: Path) -> None:
        self._vms = vms
        self._seen: dict[str, StateOnDisk] = {}

    def observe_all(self) -> list[Observation]:
        """One observation for each VM with a whole state."""
        try:
            names = os.listdir(self._vms)  # noqa: PTH208  # a Path for each of them costs more than the rest
        except FileNotFoundError:
            names = []
        self._seen = {name: found for name in names if (found := self._look(name)) is not None}
        return [
            seen.observation if seen.state.crash_at is None else seen.state.observation(name)
            for name, seen in self._seen.items()
        ]

    def _look(self, vm_id: str) -> StateOnDisk | None:
        path = f"{self._vms}/{vm_id}/{STATE}"
        try:
            status = os.stat(path)  # noqa: PTH116  # (the same)
            version = (status.st_ino, status.st_mtime_ns)
            known = self._seen.get(vm_id)
            if known is not None and known.version == version:
                return known
            with open(path, "rb") as file:
                state = decode(FakeVmRecord, file.read())
            return StateOnDisk(version, state, state.observation(vm_id))
        except (FileNotFoundError, NotADirectoryError, Invalid):
            return None
