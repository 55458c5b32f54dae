"""A bench for each driver: VMs of its own in a folder of its own, and all of them gone afterwards."""

from __future__ import annotations

import importlib
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest

from agent.drivers.base import Driver, DriverFolders
from agent.drivers.capabilities.execs import ExecsCapability
from agent.drivers.capabilities.files import FilesCapability
from agent.drivers.capabilities.forwards import PortForwardsCapability
from agent.drivers.capabilities.guest import GuestCapability, GuestExecRequest, GuestExecResult, GuestNetworkCapability
from agent.drivers.capabilities.hardware import AdaptersCapability, DisksCapability
from agent.drivers.capabilities.metrics import MetricsCapability
from agent.drivers.capabilities.moving import MovingCapability
from agent.drivers.capabilities.resizing import ResizingCapability
from agent.drivers.capabilities.saving import SavedStatesCapability
from agent.drivers.capabilities.snapshots import SnapshotsCapability
from agent.drivers.capabilities.terminals import TerminalsCapability
from agent.drivers.qemu import QemuDriver
from agent.drivers.registry import CLASSES
from agent.drivers.virtualbox.power import missing_kernel_driver
from core import settings
from core.contract.errors import DriverFailure
from core.contract.images import MANIFEST
from core.contract.messages import ImageRef, VmSpec
from core.contract.vms import Hardware, Misbehaviour, Observation
from tests import doubles
from tests.support.waiting import until

IMAGE = "linux-default"
DOUBLE = "double"  # of cloud-hypervisor
DRIVERS = ("fake", "qemu", "virtualbox", "cloud-hypervisor", DOUBLE)


class EveryVerb(
    Driver,
    SavedStatesCapability,
    SnapshotsCapability,
    DisksCapability,
    AdaptersCapability,
    ResizingCapability,
    PortForwardsCapability,
    GuestCapability,
    GuestNetworkCapability,
    MetricsCapability,
    MovingCapability,
    ExecsCapability,
    FilesCapability,
    TerminalsCapability,
    Protocol,
):
    """All there is; a test asks the bench for what not every driver has."""


@dataclass(frozen=True)
class Bench:
    """One driver under test. `quick` is long enough for a boot on a slow machine.

    `boots`: VMs can be started here, which a VirtualBox without its kernel driver says it can't; where it can, it runs
    the same tests. `image`: what VMs are made from; None for an empty disk, and then there is no guest to talk to, nor
    where `guest` says so. `disk_format` and `adapter_type` are some that the driver has.
    """

    name: str
    place: DriverFolders
    quick: float = 300.0
    boots: bool = True
    image: str | None = IMAGE
    guest: bool = True
    disk_format: str = "vdi"
    adapter_type: str = "82540EM"

    def new_driver(self) -> EveryVerb:
        """An object that remembers nothing."""
        module, _, kind = CLASSES[self.name].rpartition(".")
        driver: EveryVerb = getattr(importlib.import_module(module), kind)(self.place)
        return driver

    def spec(self, name: str = "web") -> VmSpec:
        """A small VM that nobody made yet. The fake is slow enough there to be cancelled."""
        return VmSpec(
            id=str(uuid.uuid4()),
            name=name,
            hypervisor=self.name,
            os_type="linux",
            vcpus=1,
            memory_mb=256,
            disk_gb=4,
            image=ImageRef(self.image) if self.image else None,
            hardware=Hardware(fake=Misbehaviour(slow={"create": 0.1, "start": 0.1})),
        )

    def need(self, capability: str) -> None:
        """Skips a test of what this driver does not promise."""
        if capability not in self.new_driver().capabilities:
            pytest.skip(f"the driver '{self.name}' does not promise '{capability}'")
        if capability in ("execs", "files", "guest", "guest_network", "terminals"):
            self.need_guest()

    @property
    def has_guest(self) -> bool:
        """Whether a running VM has a guest that the driver talks to."""
        return self.guest and "guest" in self.new_driver().capabilities and self.image is not None

    def need_guest(self) -> None:
        """Skips a test that talks to one where there is none."""
        if not self.has_guest:
            pytest.skip(f"VMs of '{self.name}' have no guest here")

    def need_boot(self) -> None:
        """Skips a test that starts a VM where none can be started."""
        if not self.boots:
            pytest.skip(f"no VM of '{self.name}' can be started here: {self.new_driver().probe().problem}")

    def clear(self) -> None:
        """Deletes every VM there is."""
        driver = self.new_driver()
        for seen in driver.observe_all():
            driver.delete(self.spec_of(seen), self.quick)

    def spec_of(self, seen: Observation) -> VmSpec:
        """Enough of a spec to delete what was seen."""
        return VmSpec(seen.vm_id, "left", self.name, "linux", 1, 256, 4)

    def run(self, vm: VmSpec, command: str, timeout: float = 30.0) -> GuestExecResult:
        """One command in its guest."""
        return self.new_driver().execute(vm, GuestExecRequest(command, timeout))


def silent(step: str, percent: int | None) -> None:
    """Nobody listens and nobody cancels."""


@pytest.fixture(scope="session", params=DRIVERS)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The driver under test; no VM of it outlives the tests."""
    images = settings.load().images
    if request.param == "qemu" and not (images / IMAGE / MANIFEST).exists():
        pytest.fail(f"there is no image '{IMAGE}' in {images}: run `make image` first")
    home = tmp_path_factory.mktemp("bench")
    media = home / "media"
    media.mkdir()
    made = Bench(request.param, DriverFolders(home / "vms", images, (media,)))
    if request.param in ("cloud-hypervisor", DOUBLE):
        made = request.getfixturevalue("cloud_hypervisor")(made, home, double=request.param == DOUBLE)
    if request.param == "virtualbox":
        request.getfixturevalue("vboxmanage")
        made = replace(made, boots=not missing_kernel_driver(), image=None)
    yield made
    made.clear()


@pytest.fixture(scope="session")
def cloud_hypervisor() -> Iterator[Callable[..., Bench]]:
    """What a bench becomes with the real program, or with its double, which has an image without a guest agent."""
    with pytest.MonkeyPatch.context() as patched:

        def become(made: Bench, home: Path, *, double: bool) -> Bench:
            made = replace(made, name="cloud-hypervisor", disk_format="raw", adapter_type="virtio")
            if double:
                patched.setenv("CLOUD_HYPERVISOR", str(doubles.PROGRAM))
                place = replace(made.place, images=doubles.store(home / "images", IMAGE))
                return replace(made, place=place, guest=False)
            patched.undo()
            if shutil.which(settings.load().cloud_hypervisor) is None:
                pytest.skip("Cloud Hypervisor is not installed here: its double is tested instead")
            return replace(made, boots=made.new_driver().probe().healthy)

        yield become


@pytest.fixture
def driver(bench: Bench) -> EveryVerb:
    """A driver object that has seen nothing."""
    return bench.new_driver()


@pytest.fixture
def vm(bench: Bench) -> Iterator[VmSpec]:
    """A VM that was made and not started."""
    spec = bench.spec()
    bench.new_driver().create(spec, silent, bench.quick)
    yield spec
    bench.new_driver().delete(spec, bench.quick)


@pytest.fixture(scope="session")
def shared(bench: Bench) -> VmSpec:
    """One VM for all tests that need a guest; see `running`."""
    spec = bench.spec("shared")
    bench.new_driver().create(spec, silent, bench.quick)
    return spec


@pytest.fixture
def running(bench: Bench, request: pytest.FixtureRequest) -> VmSpec:
    """The shared VM, running, whatever the test before did to it."""
    bench.need_boot()
    shared: VmSpec = request.getfixturevalue("shared")
    driver = bench.new_driver()
    if isinstance(driver, QemuDriver):
        request.getfixturevalue("clones").running(driver, bench.place.vms, shared)
    else:
        driver.start(shared, silent, bench.quick)
    if bench.has_guest:  # a test before may have ended its agent, which is started anew
        until(lambda: _answers(bench, shared))
    return shared


def _answers(bench: Bench, vm: VmSpec) -> bool:
    try:
        return bench.run(vm, "true").exit_code == 0
    except DriverFailure:
        return False
