"""Guests that were booted once: VMs of the QEMU driver that go on where another one was when it had booted.

The driver's own snapshot of that one, memory included, is put into the folder of the next, which resumes from it and
does not boot. A clone has its template's size and machine id, and until it boots its MAC address.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.local import disks, records, restores
from agent.drivers.local.folder import LocalVmFolder, folder_of, locked
from agent.drivers.qemu import QemuDriver
from core import filelocks
from core.contract.messages import VmSpec
from core.contract.states import Observed
from core.contract.vms import Observation

BOOTED = "booted"
LONG = 300.0
# Its agent answers long before it has booted, and every clone would do the rest of that anew.
_SETTLED = "systemctl is-system-running --wait; udevadm settle"


class Clones:
    """Of one run of the tests: `home` is the same for all of its processes, of which the first one boots."""

    def __init__(self, home: Path, images: Path) -> None:
        self._home, self._place = home, DriverFolders(home / "vms", images)

    def running(self, driver: QemuDriver, vms: Path, vm: VmSpec) -> Observation:
        """A VM that tests share, running: from the beginning again if one has switched it off."""
        if driver.observe(vm.id).state not in (Observed.STOPPED, Observed.ABSENT):
            return driver.start(vm, _silent, LONG)
        driver.delete(vm, LONG)
        driver.create(vm, _silent, LONG)
        return self.start(driver, vms, vm)

    def start(self, driver: QemuDriver, vms: Path, vm: VmSpec) -> Observation:
        """Starts a VM that was made and never started. It has no snapshot then, as after a boot."""
        self.prepare(vms, vm)
        seen = driver.start(vm, _silent, LONG)
        driver.snapshot_delete(vm, BOOTED, _silent, LONG)
        return seen

    def prepare(self, vms: Path, vm: VmSpec) -> None:
        """Its next start resumes. The snapshot stays in its folder."""
        template, folder = self._template(vm), folder_of(vms, vm.id)
        snapshot = records.read(template, BOOTED)
        assert snapshot is not None
        with locked(vms, vm.id, LONG) as lock:
            for layer in disks.chain(template, snapshot.layer):
                _copy(template.layers / layer, folder.layers / layer)
                folder.give(folder.layers / layer)
            folder.snapshots.mkdir(exist_ok=True)
            _copy(template.snapshots / BOOTED, folder.snapshots / BOOTED)
            own = folder.state().adapters
            restores.put_back(folder, snapshot, QemuDriver.record.file, running=True, lock=lock)
            folder.change(adapters=own)

    def _template(self, like: VmSpec) -> LocalVmFolder:
        """The one of that size, booted if it is not there yet."""
        size = f"{like.vcpus}-{like.memory_mb}-{like.disk_gb}"
        vm = replace(like, id=f"template-{size}", name="template")
        with self._alone(size):
            folder = folder_of(self._place.vms, vm.id)
            if records.read(folder, BOOTED) is None:
                driver = QemuDriver(self._place)
                driver.create(vm, _silent, LONG)
                driver.start(vm, _silent, LONG)
                driver.execute(vm, GuestExecRequest(_SETTLED, LONG))
                driver.snapshot_create(vm, BOOTED, True, _silent, LONG)
                driver.stop(vm, 0.0, _silent, LONG)
            return folder

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        self._home.mkdir(parents=True, exist_ok=True)
        with filelocks.locked(self._home / f"{name}.lock"):
            yield


def _copy(file: Path, to: Path) -> None:
    subprocess.run(["cp", "-r", "--reflink=auto", "--sparse=always", str(file), str(to)], check=True)


def _silent(step: str, percent: int | None) -> None:
    """Nobody listens."""
