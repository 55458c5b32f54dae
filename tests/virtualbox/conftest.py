"""The driver on the real VBoxManage, as far as no VM must run."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.virtualbox import VirtualBoxDriver
from agent.network.network import HostNetworking
from core import settings
from core.contract.messages import ImageRef, VmSpec, build
from core.contract.vms import Hardware

LONG = 100.0
# Not as root: what goes around a command would else make control groups of this machine's own.
IN_GUEST = """#!/bin/sh
case "$1" in showvminfo) printf 'VMState="running"\\nGuestAdditionsRunLevel=2\\n'; exit;; esac
case "$3" in copyto) shift 7; exec cat "$1" >"$2";; esac
while [ "$1" != -- ]; do [ "$1" = --putenv ] && export "$2"; shift; done
shift; exec setpriv --reuid 65534 --clear-groups "$@"
"""
Make = Callable[..., VmSpec]


def silent(step: str, percent: int | None) -> None:
    """Nobody listens and nobody cancels."""


def spec(image: str | None = None, **more: Any) -> VmSpec:
    """A small VM that nobody made yet."""
    vm = VmSpec(f"vm-{uuid.uuid4().hex[:12]}", "web", "virtualbox", "linux", 1, 256, 4, owner="alice")
    return replace(vm, image=ImageRef(image) if image else None, **more)


@pytest.fixture(scope="session")
def place(vboxmanage: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriverFolders]:
    """Nothing in it outlives the tests."""
    home = tmp_path_factory.mktemp("virtualbox") / ("deep, " * 10 + "x") / ("y" * 60)
    (home / "media").mkdir(parents=True)
    joinable = frozenset({"intnet:intnet", "intnet:back office"})
    made = DriverFolders(
        home / "vms", settings.load().images, (home / "media",), network=HostNetworking(joinable=joinable)
    )
    yield made
    driver = VirtualBoxDriver(made)
    for path in made.vms.glob("*"):
        driver.delete(replace(spec(), id=path.name), LONG)


@pytest.fixture
def media(place: DriverFolders) -> Path:
    """The host's media folder."""
    return place.media[0]


@pytest.fixture
def driver(place: DriverFolders) -> VirtualBoxDriver:
    """A driver object that has seen nothing."""
    return VirtualBoxDriver(place)


@pytest.fixture
def make(driver: VirtualBoxDriver) -> Iterator[Make]:
    """Makes VMs that are deleted afterwards."""
    made: list[VmSpec] = []

    def one(image: str | None = None, hardware: Any = None, **more: Any) -> VmSpec:
        made.append(spec(image, hardware=build(Hardware, hardware or {}), **more))
        driver.create(made[-1], silent, LONG)
        return made[-1]

    yield one
    for vm in made:
        driver.delete(vm, LONG)


@pytest.fixture
def vm(make: Make) -> VmSpec:
    """A VM with an empty disk, off."""
    return make()


@pytest.fixture(scope="session")
def shared(place: DriverFolders) -> VmSpec:
    """One for all tests that leave it as it was."""
    made = spec()
    VirtualBoxDriver(place).create(made, silent, LONG)
    return made


@pytest.fixture
def in_guest(tmp_path: Path) -> str:
    """A program in VBoxManage's place, which does on this machine what it is told to do in a guest that runs."""
    program = tmp_path / "VBoxManage"
    program.write_text(IN_GUEST)
    program.chmod(0o755)
    return str(program)
