"""Laws of drivers whose VMs have network adapters to be set: those asked for, in their slots."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.vms import Adapter, AdapterWish, Hardware

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb

SECOND = Adapter(1, mode="null", type="virtio")


def silent(step: str, percent: int | None) -> None:
    """Nobody listens."""


@pytest.fixture(autouse=True)
def _promised(bench: Bench) -> None:
    bench.need("adapters")


def test_a_vm_has_one_adapter_unless_others_are_asked_for(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    (first,) = driver.adapters(vm)
    assert (first.slot, first.enabled, first.mode, first.type, first.cable_connected) == (
        0,
        True,
        "nat",
        "virtio",
        True,
    )
    assert first.mac_address
    asked = {
        "adapter1": AdapterWish(adapter_type="virtio"),
        "adapter2": AdapterWish(type="null", cable_connected=False),
        "adapter3": AdapterWish(enabled=False),
    }
    more = replace(bench.spec(), hardware=Hardware(network=asked))
    driver.create(more, silent, bench.quick)
    assert [(each.slot, each.mode, each.cable_connected) for each in driver.adapters(more)] == [
        (0, "nat", True),
        (1, "null", False),
    ]
    driver.delete(more, bench.quick)


def test_an_adapter_is_added_changed_and_taken_away(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    for wanted in (
        SECOND,
        replace(SECOND, mode="nat"),
        replace(SECOND, type=bench.adapter_type, cable_connected=False),
    ):
        now = driver.adapter_set(vm, wanted, bench.quick)
        assert now == replace(wanted, mac_address=now.mac_address)
        assert bench.new_driver().adapter_set(vm, wanted, bench.quick) == now
        assert bench.new_driver().adapters(vm)[1:] == [now]
    for off in (replace(SECOND, enabled=False), replace(SECOND, mode="none")):
        driver.adapter_set(vm, SECOND, bench.quick)
        assert not driver.adapter_set(vm, off, bench.quick).enabled
        assert [each.slot for each in driver.adapters(vm)] == [0]
    driver.adapter_set(vm, Adapter(0, enabled=False), bench.quick)
    assert driver.adapters(vm) == []


@pytest.mark.parametrize(
    "change",
    [{"slot": 8}, {"slot": -1}, {"mode": "wifi"}, {"type": "ne2000"}, {"mac_address": "01:00:00:00:00:00"}],
)
def test_what_no_vm_can_have_is_refused(
    bench: Bench, driver: EveryVerb, shared: VmSpec, change: dict[str, Any]
) -> None:
    before = driver.adapters(shared)
    with pytest.raises(DriverFailure) as failure:
        driver.adapter_set(shared, replace(SECOND, **change), bench.quick)
    assert failure.value.code == "invalid_request", failure.value.message
    assert driver.adapters(shared) == before


def test_a_running_vm_loses_its_cable_and_gets_new_hardware_or_a_refusal(
    bench: Bench, driver: EveryVerb, running: VmSpec
) -> None:
    (first,) = driver.adapters(running)
    pulled = driver.adapter_set(running, replace(first, cable_connected=False), bench.quick)
    assert pulled == replace(first, cable_connected=False)
    assert bench.new_driver().adapters(running) == [pulled]
    assert driver.adapter_set(running, first, bench.quick) == first
    for wanted in (replace(first, enabled=False), first, SECOND, replace(SECOND, enabled=False)):
        before = driver.adapters(running)
        now, refusal = None, None
        try:
            now = driver.adapter_set(running, wanted, bench.quick)
        except DriverFailure as failure:
            refusal = failure.code
        there = driver.adapters(running)
        if now is None:
            assert (refusal, there) == ("invalid_state", before)
        else:
            assert (now.slot, now.enabled) == (wanted.slot, wanted.enabled)
            assert [each for each in there if each.slot == wanted.slot] == [now] * now.enabled
    assert driver.adapters(running) == [first]


def test_a_vm_that_is_not_there_has_no_adapters(bench: Bench, driver: EveryVerb) -> None:
    for verb in (driver.adapters, lambda vm: driver.adapter_set(vm, SECOND, bench.quick)):
        with pytest.raises(DriverFailure) as failure:
            verb(bench.spec())
        assert failure.value.code == "vm_not_found"
