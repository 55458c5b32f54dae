"""A QEMU driver in a folder that is deep and oddly named, and one VM for all tests that need a guest."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.guest import GuestExecRequest, GuestExecResult
from agent.drivers.qemu import QemuDriver
from core import settings
from core.contract.images import MANIFEST
from core.contract.messages import ImageRef, VmSpec
from tests.qemu.attaching import EMPTY_ISO
from tests.support.clones import Clones

IMAGE = "linux-default"
LONG = 300.0
Run = Callable[..., GuestExecResult]


def spec(*, memory_mb: int = 256, disk_gb: int = 4, image: str | None = IMAGE) -> VmSpec:
    """A small VM that nobody made yet."""
    ref = ImageRef(image, "") if image else None
    return VmSpec(str(uuid.uuid4()), "web", "qemu", "linux", 1, memory_mb, disk_gb, ref)


def silent(step: str, percent: int | None) -> None:
    """Nobody listens and nobody cancels."""


@pytest.fixture(scope="session")
def images() -> Path:
    """The store with the default image."""
    store = settings.load().images
    if not (store / IMAGE / MANIFEST).exists():
        pytest.fail(f"there is no image '{IMAGE}' in {store}: run `make image` first")
    return store


@pytest.fixture(scope="session")
def place(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriverFolders]:
    """Where no unix socket's address would reach; nothing of it outlives the tests."""
    made = DriverFolders(tmp_path_factory.mktemp("qemu") / ("deep, " * 10 + "x") / ("y" * 60) / "vms", images)
    made.vms.mkdir(parents=True)
    yield made
    driver = QemuDriver(made)
    for path in [path for path in made.vms.iterdir() if path.is_dir() and not path.name.startswith(".")]:
        driver.delete(VmSpec(path.name, "left", "qemu", "linux", 1, 256, 4), LONG)


@pytest.fixture
def driver(place: DriverFolders) -> QemuDriver:
    """A driver object that has seen nothing."""
    return QemuDriver(place)


@pytest.fixture
def vm(driver: QemuDriver) -> Iterator[VmSpec]:
    """A VM that was made and not started."""
    made = spec()
    driver.create(made, silent, LONG)
    yield made
    driver.delete(made, LONG)


@pytest.fixture(scope="session")
def shared(place: DriverFolders) -> VmSpec:
    """One VM for all tests that need a guest; see `running`."""
    made = spec()
    QemuDriver(place).create(made, silent, LONG)
    return made


@pytest.fixture
def running(driver: QemuDriver, place: DriverFolders, shared: VmSpec, clones: Clones) -> VmSpec:
    """The shared VM, running, whatever the test before did to it."""
    clones.running(driver, place.vms, shared)
    return shared


@pytest.fixture
def run(driver: QemuDriver, running: VmSpec) -> Run:
    """Runs one command in the running guest."""

    def one(command: str, timeout: float = 30.0, **more: object) -> GuestExecResult:
        return driver.execute(running, GuestExecRequest(command, timeout, **more))  # type: ignore[arg-type]

    return one


@pytest.fixture
def here(place: DriverFolders, tmp_path: Path) -> DriverFolders:
    """The same place, with a media folder."""
    folder = (tmp_path / "media").resolve()
    folder.mkdir()
    (folder / "empty.iso").write_bytes(EMPTY_ISO)
    return replace(place, media=(folder,))


@pytest.fixture
def empty(here: DriverFolders) -> Iterator[VmSpec]:
    """A VM without an image, whose firmware looks for one for ever."""
    made = replace(spec(image=None, disk_gb=1), owner="alice")
    QemuDriver(here).create(made, silent, LONG)
    yield made
    QemuDriver(here).delete(made, LONG)
