"""Laws of drivers that ask a guest about its network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb


@pytest.fixture(autouse=True)
def _promised(bench: Bench) -> None:
    bench.need("guest_network")


def test_a_guest_tells_its_address(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    # By hand, as a boot under emulation may answer minutes before it has come to its network.
    each = "for each in /sys/class/net/e*; do"
    bench.run(running, f"modprobe virtio_net; {each} ip addr replace 10.0.2.15/24 dev ${{each##*/}}; done")
    (adapter,) = driver.guest_interfaces(running, 20.0)
    assert adapter.addresses == ["10.0.2.15"]
    assert adapter.mac_address == adapter.mac_address.lower()


def test_what_is_off_has_no_network_to_tell_of(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    for each in (vm, replace(vm, id="nowhere")):
        with pytest.raises(DriverFailure) as failure:
            driver.guest_interfaces(each, 5.0)
        assert failure.value.code == "vm_not_running"
