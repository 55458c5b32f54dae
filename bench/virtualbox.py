"""The VirtualBox driver's operations against the same VBoxManage calls by hand; no VM is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.virtualbox import VirtualBoxDriver
from agent.drivers.virtualbox.folder import folder_of
from agent.drivers.virtualbox.observing import VirtualBoxWatch
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from bench.stats import Row, ms
from core import settings
from core.contract.messages import VmSpec
from tools.virtualbox import root
from tools.virtualbox.sandbox import Sandbox

_SECONDS = 300.0
# A call: finding the program and a death signal for it, and how much two runs of the same differ.
_ADDED_SECONDS, _ADDED_SHARE = 0.02, 0.1
_OURS, _BY_HAND = "vm-bench-ours", "vm-bench-hand"
_CALLS = {"create": 7, "observe": 1, "observe_all": 2, "attach": 5, "snapshot": 5, "restore": 4, "delete": 2}


class Recorder(VBoxManage):
    """Remembers the arguments of each call."""

    def __init__(self, program: str) -> None:
        super().__init__(program)
        self.recorded: list[tuple[str, ...]] = []

    def run(self, *arguments: str, timeout: float = _SECONDS) -> str:
        self.recorded.append(arguments)
        return super().run(*arguments, timeout=timeout)


def all_of() -> Iterator[Row]:
    """A row for each operation: its calls, and its seconds beside those of the same calls for another VM."""
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder, _vboxmanage(Path(folder)) as program:
        place = DriverFolders(Path(folder) / "vms", settings.load().images, (Path(folder) / "media",))
        place.media[0].mkdir()
        os.environ["CORRAL_VBOXMANAGE"] = program
        driver, recorder = VirtualBoxDriver(place), Recorder(program)
        driver.manage = recorder
        watch = VirtualBoxWatch(recorder, place.vms)
        for name, operation in _operations(driver, watch):
            yield _row(name, operation, recorder, place)


def _operations(driver: VirtualBoxDriver, watch: VirtualBoxWatch) -> Iterator[tuple[str, Callable[[], object]]]:
    vm = VmSpec(_OURS, "bench", "virtualbox", "linux", 1, 256, 4)
    disk = DiskRequest("SATA Controller", 1, 0, "hdd", f"{_OURS}.vdi", create_if_missing=True, size_gb=1)
    yield "create", lambda: driver.create(vm, _silent, _SECONDS)
    watch.observe_all()
    yield "observe", lambda: driver.observe(vm.id)
    yield "observe_all", watch.observe_all
    yield "attach", lambda: driver.disk_attach(vm, disk, _SECONDS)
    yield "snapshot", lambda: driver.snapshot_create(vm, "snap-1", False, _silent, _SECONDS)
    yield "restore", lambda: driver.snapshot_restore(vm, "snap-1", False, _silent, _SECONDS)
    driver.snapshot_delete(vm, "snap-1", _silent, _SECONDS)
    driver.disk_detach(vm, "SATA Controller", 1, 0, _SECONDS)
    yield "delete", lambda: driver.delete(vm, _SECONDS)


def _row(name: str, operation: Callable[[], object], recorder: Recorder, place: DriverFolders) -> Row:
    recorder.recorded.clear()
    began = time.perf_counter()
    operation()
    ours = time.perf_counter() - began
    calls = list(recorder.recorded)
    by_hand = sum(_again(recorder, call, place) for call in calls)
    added = ours - by_hand
    measured = f"{len(calls)} calls, {ours:.2f} s = {by_hand:.2f} s + {ms(added)}"
    good = len(calls) <= _CALLS[name] and added <= _ADDED_SECONDS * len(calls) + _ADDED_SHARE * by_hand
    return Row(f"VirtualBox: {name}", measured, f"{_CALLS[name]} calls, 20 ms each + 10 %", good)


def _again(recorder: Recorder, call: tuple[str, ...], place: DriverFolders) -> float:
    ours, hand = folder_of(place.vms, _OURS), folder_of(place.vms, _BY_HAND)
    hand.path.mkdir(parents=True, exist_ok=True)
    arguments = [each.replace(_OURS, _BY_HAND).replace(ours.uuid, hand.uuid) for each in call]
    began = time.perf_counter()
    subprocess.run([recorder.program, *arguments], capture_output=True, check=False, timeout=_SECONDS)
    return time.perf_counter() - began


@contextmanager
def _vboxmanage(home: Path) -> Iterator[str]:
    own = shutil.which(settings.load().vboxmanage)
    if own is not None:
        yield own
        return
    built = root.build(settings.load().virtualbox, lambda _: None)
    with Sandbox(built, home / "virtualbox", [home, settings.load().images]) as sandbox:
        yield str(sandbox.program)


def _silent(step: str, percent: int | None) -> None:
    """Nobody listens."""
