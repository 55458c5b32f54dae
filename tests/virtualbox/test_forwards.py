"""Port forwards on the real VBoxManage, of a VM that is off: VirtualBox listens by what it keeps, once it runs."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.virtualbox import VirtualBoxDriver, forwards, power
from agent.drivers.virtualbox.folder import folder_of
from agent.network.network import HostNetworking
from core.contract.errors import DriverFailure
from core.contract.messages import Forward, VmSpec
from core.contract.vms import Adapter

if TYPE_CHECKING:
    from tests.virtualbox.conftest import Make

LONG = 100.0
WEB, DNS = Forward("tcp", 20080, 80), Forward("udp", 20080, 53)


def kept(driver: VirtualBoxDriver, place: DriverFolders, vm: VmSpec) -> set[tuple[int, str, Forward]]:
    """What VirtualBox tells of our rules."""
    info = driver.manage.info(folder_of(place.vms, vm.id).uuid) or {}
    return {(rule.slot, rule.address, rule.forward) for rule in forwards.parse(info)}


def test_rules_are_those_of_the_spec_on_the_first_nat_adapter(
    driver: VirtualBoxDriver, place: DriverFolders, make: Make
) -> None:
    vm = make(hardware={"network": {"adapter1": {"type": "intnet"}, "adapter2": {}, "adapter3": {}}})
    for wanted in ([WEB], [WEB, DNS], [WEB, DNS], [replace(WEB, guest_port=8080)], []):
        driver.set_port_forwards(replace(vm, forwards=wanted), LONG)
        assert kept(driver, place, vm) == {(1, "127.0.0.1", forward) for forward in wanted}
        assert driver.port_forwards(vm.id) == []  # it does not run
    driver.set_port_forwards(replace(vm, forwards=[WEB]), LONG)
    driver.adapter_set(vm, Adapter(1, mode="intnet"), LONG)
    driver.set_port_forwards(replace(vm, forwards=[WEB]), LONG)
    assert kept(driver, place, vm) == {(2, "127.0.0.1", WEB)}
    driver.adapter_set(vm, Adapter(2, mode="null"), LONG)
    with pytest.raises(DriverFailure, match="no adapter of mode 'nat'") as failure:
        driver.set_port_forwards(replace(vm, forwards=[WEB]), LONG)
    assert failure.value.code == "invalid_state"


def test_rules_made_by_hand_stay_and_others_addresses_are_followed(
    driver: VirtualBoxDriver, place: DriverFolders, vm: VmSpec
) -> None:
    uuid = folder_of(place.vms, vm.id).uuid
    driver.manage.run("modifyvm", uuid, "--nat-pf1", "by hand,tcp,127.0.0.1,20022,,22")
    vm = replace(vm, forwards=[WEB])
    driver.set_port_forwards(vm, LONG)
    VirtualBoxDriver(replace(place, network=HostNetworking("0.0.0.0"))).set_port_forwards(vm, LONG)  # noqa: S104
    assert kept(driver, place, vm) == {(0, "0.0.0.0", WEB)}  # noqa: S104
    with pytest.raises(DriverFailure, match="already exists"):
        driver.set_port_forwards(replace(vm, forwards=[Forward("tcp", 20022, 22)]), LONG)
    assert kept(driver, place, vm) == {(0, "0.0.0.0", WEB)}  # noqa: S104
    assert "by hand" in driver.manage.run("showvminfo", uuid)


def test_a_start_makes_the_rules_those_of_its_spec_and_minds_strangers(
    driver: VirtualBoxDriver, place: DriverFolders, vm: VmSpec
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        stranger = Forward("tcp", taken.getsockname()[1], 80)
        with pytest.raises(DriverFailure, match=str(stranger.host_port)) as failure:
            driver.start(replace(vm, forwards=[stranger]), lambda *_: None, LONG)
        assert failure.value.code == "port_taken"
    if not power.missing_kernel_driver():
        pytest.skip("a VM can be started here: the laws of all drivers say the rest")
    with pytest.raises(DriverFailure, match="vboxdrv"):
        driver.start(replace(vm, forwards=[WEB]), lambda *_: None, LONG)
    assert kept(driver, place, vm) == {(0, "127.0.0.1", WEB)}
