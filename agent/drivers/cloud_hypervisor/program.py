"""The program of Cloud Hypervisor: its path, its version, and a probe that boots a guest."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from agent.drivers.local import trial
from agent.system import process
from core import settings
from core.contract.errors import DriverFailure

INSTALL = "corral hypervisor install cloud-hypervisor"
# The first that can be told each disk's format, and restores a memory that it was not started with; older ones would
# ignore the one and lack the other.
OLDEST = (52, 0)
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


class TooOld(DriverFailure):
    """A version that lacks what the driver needs."""

    code = "program_too_old"


@dataclass(frozen=True)
class Version:
    """Of a program; `name` as it tells it, such as "53.0"."""

    number: tuple[int, int]

    @property
    def name(self) -> str:
        """As people write it."""
        return ".".join(map(str, self.number))

    @property
    def names_system(self) -> bool:
        """Whether a machine's UUID is called `system_uuid`; before, `uuid`."""
        return self.number >= (53, 0)

    @property
    def restore_mode(self) -> str:
        """How a memory comes back quickest. From v53 on "OnDemand" reads all of it at once all the same, behind the
        guest's back, and refuses snapshots meanwhile: there it is no better, and less sure."""
        return "OnDemand" if self.number < (53, 0) else "Copy"


def path() -> str:
    """The program; `process.MissingProgram` says how to get it."""
    name = settings.load().cloud_hypervisor
    found = shutil.which(name)
    if found is None:
        raise process.MissingProgram(f"the program '{name}' is not installed: {INSTALL}")
    return str(Path(found).absolute())


def version() -> Version:
    """Of the program that is installed; `TooOld` when it can't be used."""
    return read_version(process.run([path(), "--version"], 10.0))


def read_version(said: str) -> Version:
    """From its own words."""
    found = _VERSION.search(said)
    if found is None:
        raise DriverFailure(f"Cloud Hypervisor's version can't be read from {said.strip()[:80]!r}")
    number = Version((int(found[1]), int(found[2])))
    if number.number < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise TooOld(f"Cloud Hypervisor {number.name} is too old; {oldest} or later is needed: {INSTALL}")
    return number


def runs_guests(store: Path) -> bool:
    """Whether KVM really runs a guest of its here; True where there is no kernel to try it with."""
    return trial.passed("cloud-hypervisor", Path(path()), store, _boots) is not False


def _boots(kernel: Path) -> bool:
    """By the command line, without a socket; the serial port is its standard output."""
    machine = ["--cpus", "boot=1", "--memory", "size=256M", "--console", "off", "--serial", "tty"]
    guest = ["--kernel", str(kernel), "--cmdline", trial.CMDLINE.replace("panic=-1", "panic=0")]
    return process.says([path(), *machine, *guest], trial.LAST_WORDS, settings.load().kvm_trial_seconds)
