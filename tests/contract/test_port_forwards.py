"""Laws of drivers that forward ports: exactly those asked for, now and after each start, and never someone else's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from core.contract.errors import DriverFailure
from core.contract.messages import Forward, VmSpec
from core.contract.states import Observed

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def silent(step: str, percent: int | None) -> None:
    """Nobody listens."""


def free_port(protocol: str = "tcp") -> int:
    """A port of loopback that nobody has."""
    with socket.socket(socket.AF_INET, KINDS[protocol]) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(params=["tcp", "udp"])
def stranger(request: pytest.FixtureRequest) -> Iterator[Forward]:
    """A forward of a port that another program has."""
    with socket.socket(socket.AF_INET, KINDS[request.param]) as taken:
        taken.bind(("127.0.0.1", 0))
        if request.param == "tcp":
            taken.listen(1)
        yield Forward(request.param, taken.getsockname()[1], 80)


@pytest.fixture(autouse=True)
def _promised(bench: Bench) -> None:
    bench.need("port_forwards")


def test_forwards_are_exactly_those_of_the_spec(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    web, dns = Forward("tcp", free_port(), 80), Forward("udp", free_port("udp"), 53)
    for wanted in ([web], [web, dns], [web, dns], [dns], [replace(dns, guest_port=54)], []):
        driver.set_port_forwards(replace(running, forwards=wanted), bench.quick)
        assert sorted(bench.new_driver().port_forwards(running.id), key=str) == sorted(wanted, key=str)


def test_a_port_that_a_stranger_has_is_refused_and_the_others_stay(
    bench: Bench, driver: EveryVerb, running: VmSpec, stranger: Forward
) -> None:
    web = Forward("tcp", free_port(), 80)
    driver.set_port_forwards(replace(running, forwards=[web]), bench.quick)
    with pytest.raises(DriverFailure, match=str(stranger.host_port)) as failure:
        driver.set_port_forwards(replace(running, forwards=[web, stranger]), bench.quick)
    assert failure.value.code == "port_taken"
    assert driver.port_forwards(running.id) == [web]
    driver.set_port_forwards(running, bench.quick)


def test_what_is_off_forwards_nothing_until_it_starts(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    driver.stop(running, 0.0, silent, bench.quick)
    vm = replace(running, forwards=[Forward("tcp", free_port(), 22)])
    driver.set_port_forwards(vm, bench.quick)
    assert driver.port_forwards(vm.id) == []
    driver.start(vm, silent, bench.quick)
    assert bench.new_driver().port_forwards(vm.id) == vm.forwards
    driver.snapshot_create(vm, "forwarding", True, silent, bench.quick)
    driver.snapshot_restore(vm, "forwarding", None, silent, bench.quick)
    assert driver.port_forwards(vm.id) == vm.forwards
    driver.snapshot_delete(vm, "forwarding", silent, bench.quick)
    driver.set_port_forwards(running, bench.quick)


def test_a_stopped_vm_minds_strangers_too(bench: Bench, driver: EveryVerb, vm: VmSpec, stranger: Forward) -> None:
    wanting = replace(vm, forwards=[stranger])
    with pytest.raises(DriverFailure) as failure:
        driver.set_port_forwards(wanting, bench.quick)
    assert failure.value.code == "port_taken"
    with pytest.raises(DriverFailure, match=str(stranger.host_port)) as failure:
        driver.start(wanting, silent, bench.quick)
    assert failure.value.code == "port_taken"
    assert driver.observe(vm.id).state is Observed.STOPPED


def test_a_vm_that_is_gone_frees_its_ports(bench: Bench, driver: EveryVerb, stranger: Forward) -> None:
    port = free_port(stranger.protocol)
    vm = replace(bench.spec(), forwards=[Forward(stranger.protocol, port, 80)])
    driver.create(vm, silent, bench.quick)
    driver.set_port_forwards(vm, bench.quick)
    driver.delete(vm, bench.quick)
    assert driver.port_forwards(vm.id) == []
    with socket.socket(socket.AF_INET, KINDS[stranger.protocol]) as mine:
        mine.bind(("127.0.0.1", port))
    with pytest.raises(DriverFailure):
        driver.set_port_forwards(vm, bench.quick)
