"""The result of a check of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckState(StrEnum):
    """`MISSING`: `corral up` needs it as it is asked for; `OPTIONAL`: it is not there, and only some things need it."""

    OK = "ok"
    MISSING = "missing"
    OPTIONAL = "optional"


@dataclass(frozen=True)
class MachineCheck:
    """One thing of this machine. `role` is the part of Corral that uses it; `fix` is a command for a shell, or ""."""

    role: str
    name: str
    state: CheckState
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Needs:
    """What `corral up` would be asked for: hypervisors, and servers of one's own instead of private ones."""

    hypervisors: tuple[str, ...] = ("qemu",)
    database: bool = True  # a private PostgreSQL is to be started
    redis: bool = True
    builds_image: bool = True  # linux-default is not there, and a hypervisor needs it

    @property
    def runs_guests(self) -> bool:
        """Whether any VM is more than a file."""
        return any(hypervisor != "fake" for hypervisor in self.hypervisors)

    def offers(self, *hypervisors: str) -> bool:
        """Whether one of these is asked for."""
        return bool(set(hypervisors) & set(self.hypervisors))


def absent(needed: bool) -> CheckState:
    """The state of what is not there."""
    return CheckState.MISSING if needed else CheckState.OPTIONAL
