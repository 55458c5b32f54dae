"""A real guest on a bridge, and the driver that puts it there."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.qemu import QemuDriver
from agent.network.network import HostNetworking
from core import settings
from core.contract.errors import DriverFailure
from core.contract.images import MANIFEST
from core.contract.messages import Forward, ImageRef, VmSpec
from core.contract.networks import tap_of
from core.contract.states import Observed
from tests.network.conftest import ADDRESS, HOST, WORLD, Machine, inside, links, spec
from tests.qemu.test_port_forwards import TCP_GREETER
from tests.support.waiting import until

IMAGE = "linux-default"
LONG = 100.0


def silent(step: str, percent: int | None) -> None:
    """Nobody listens and nobody cancels."""


@pytest.fixture
def driver(machine: Machine, tmp_path: Path) -> QemuDriver:
    """A driver on a host with the bridge, whose forwards listen to the world."""
    images = settings.load().images
    if not (images / IMAGE / MANIFEST).exists():
        pytest.fail(f"there is no image '{IMAGE}' in {images}: run `make image` first")
    machine.bridged().set_up([])
    return QemuDriver(DriverFolders(tmp_path / "vms", images, network=HostNetworking(HOST, bridged=machine.bridged())))


@pytest.fixture
def vm(driver: QemuDriver) -> Iterator[VmSpec]:
    """A VM that was made and not started."""
    made = replace(spec(Forward("tcp", 2222, 9), vm_id=str(uuid.uuid4())), image=ImageRef(IMAGE))
    driver.create(made, silent, LONG)
    yield made
    driver.delete(made, LONG)


@pytest.mark.timeout(500)
def test_it_has_its_address_is_reached_and_reaches_and_leaves_nothing(
    machine: Machine, driver: QemuDriver, vm: VmSpec
) -> None:
    driver.start(vm, silent, LONG)
    assert driver.port_forwards(vm.id) == vm.forwards
    assert _address(driver, vm) == ADDRESS
    serve = GuestExecRequest(f"setsid perl -e '{TCP_GREETER}' </dev/null >/dev/null 2>&1 &", 30)
    assert driver.execute(vm, serve).exit_code == 0
    assert _greeting(machine, 2222) == b"welcome"
    with inside(machine.world), socket.create_server((WORLD, 80)) as server:
        server.settimeout(30)
        out = GuestExecRequest(f"exec 3<>/dev/tcp/{WORLD}/80 && echo hello >&3", 30)
        assert driver.execute(vm, out).exit_code == 0
        connection, caller = server.accept()
        connection.close()
        assert caller[0] == HOST
    driver.set_port_forwards(replace(vm, forwards=[Forward("tcp", 2223, 9)]), LONG)
    assert _greeting(machine, 2223) == b"welcome"
    driver.stop(vm, 0.0, silent, LONG)
    assert driver.port_forwards(vm.id) == []
    assert tap_of(vm.id) not in links()


def test_a_start_that_fails_leaves_the_bridge_as_it_was(machine: Machine, driver: QemuDriver, vm: VmSpec) -> None:
    stranger = replace(vm, network=replace(vm.network, bridge="br9"))
    with pytest.raises(DriverFailure, match="no bridge 'br9'"):
        driver.start(stranger, silent, LONG)
    outside = replace(vm, network=replace(vm.network, ip="10.0.0.1"))
    with pytest.raises(DriverFailure, match=r"10\.0\.0\.1"):
        driver.start(outside, silent, LONG)
    with socket.create_server((HOST, 2222)), pytest.raises(DriverFailure) as taken:
        driver.start(vm, silent, LONG)
    assert taken.value.code == "port_taken"
    assert driver.observe(vm.id).state is Observed.STOPPED
    assert tap_of(vm.id) not in links()
    assert machine.bridged().port(vm.id) is None


def _address(driver: QemuDriver, vm: VmSpec) -> str:
    """The guest's, once it has one."""

    def first() -> str | None:
        return next((each.addresses[0] for each in driver.guest_interfaces(vm, 5.0) if each.addresses), None)

    return str(until(first, 300, "a boot under emulation may answer minutes before it has come to its network"))


def _greeting(machine: Machine, port: int) -> bytes:
    """What a server behind a forwarded port says first to who comes from the world, once it listens."""
    with inside(machine.world):
        return until(lambda: _said(port))  # type: ignore[no-any-return]


def _said(port: int) -> bytes:
    try:
        with socket.create_connection((HOST, port), 5) as connection:
            return connection.recv(8)
    except OSError:
        return b""
