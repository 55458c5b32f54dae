"""A Cloud Hypervisor driver on the double, with VMs that have no guest."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.cloud_hypervisor import CloudHypervisorDriver
from core.contract.messages import ImageRef, VmSpec
from tests import doubles

IMAGE = "linux-default"
LONG = 60.0


def silent(step: str, percent: int | None) -> None:
    """Nobody listens and nobody cancels."""


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the program."""
    monkeypatch.setenv("CLOUD_HYPERVISOR", str(doubles.PROGRAM))


@pytest.fixture
def place(tmp_path: Path) -> DriverFolders:
    """A host of its own, with media."""
    media = tmp_path / "media"
    media.mkdir()
    return DriverFolders(tmp_path / "vms", doubles.store(tmp_path / "images", IMAGE), (media,))


@pytest.fixture
def driver(double: None, place: DriverFolders) -> CloudHypervisorDriver:
    """A driver object that has seen nothing."""
    return CloudHypervisorDriver(place)


@pytest.fixture
def vm(driver: CloudHypervisorDriver) -> Iterator[VmSpec]:
    """A VM that was made and not started."""
    made = VmSpec(str(uuid.uuid4()), "web", driver.name, "linux", 1, 256, 4, ImageRef(IMAGE))
    driver.create(made, silent, LONG)
    yield made
    driver.delete(made, LONG)
