"""Which host is best for a VM, and what stands against the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.contract.vms import Placement
from core.placement import Demand, HostChoice, HostOffer, Obstacle, Room, judge

ROOM = Room(8, 8192, 100)
A = HostOffer("a", {"qemu": ""}, frozenset({"linux"}), ROOM, {"zone": "a", "disk": "ssd"})
B = HostOffer("b", {"qemu": "", "virtualbox": ""}, frozenset({"linux"}), replace(ROOM, memory_mb=4096), {"zone": "b"})
C = HostOffer("c", {"qemu": ""}, frozenset({"linux"}), replace(ROOM, memory_mb=6000), {"zone": "b", "disk": "hdd"})
HOSTS = [C, B, A]
DEMAND = Demand(("qemu", "virtualbox"), "linux", Room(2, 1024, 10))


def asking(**asked: object) -> Demand:
    return replace(DEMAND, placement=Placement(**asked))  # type: ignore[arg-type]


def best(demand: Demand, offers: list[HostOffer] = HOSTS) -> str:
    """The hosts that can take it, best first."""
    return "".join(verdict.host for verdict in judge(offers, demand) if verdict.choice)


@pytest.mark.parametrize(
    ("demand", "hosts"),
    [
        (DEMAND, "acb"),  # most memory left
        (asking(strategy="spread"), "acb"),
        (asking(strategy="pack"), "bca"),
        (asking(require=["zone=b"]), "cb"),
        (asking(require=["zone=b", "!disk"]), "b"),
        (asking(require=["zone=c"]), ""),
        (asking(require=["zone=a", "zone=b"]), ""),
        (asking(prefer=["zone=b"]), "cba"),
        (asking(prefer=["zone=b", "disk=hdd"], strategy="pack"), "cba"),
        (asking(prefer=["zone=c"]), "acb"),  # which none has: no obstacle
        (asking(require=["zone=b"], prefer=["!disk"]), "bc"),
        (replace(DEMAND, host="b"), "b"),
        (replace(DEMAND, hypervisors=("virtualbox", "qemu")), "bac"),  # the better hypervisor first
        (replace(asking(prefer=["zone=a"]), hypervisors=("virtualbox", "qemu")), "abc"),  # a wish before it
        (replace(DEMAND, size=Room(2, 5000, 10)), "ac"),
        (replace(DEMAND, image="other"), ""),
        (replace(DEMAND, image=""), "acb"),
    ],
)
def test_the_best_host(demand: Demand, hosts: str) -> None:
    assert best(demand) == hosts


def test_equals_go_by_vcpus_and_name() -> None:
    twins = [replace(A, name=name) for name in "zyx"]
    assert best(DEMAND, twins) == "xyz"
    assert best(DEMAND, [replace(A, name="few", free=replace(ROOM, vcpus=4)), *twins]) == "xyzfew"
    assert best(asking(strategy="pack"), [*twins, replace(A, name="few", free=replace(ROOM, vcpus=4))]) == "fewxyz"


def test_all_that_stands_against_a_host_is_told() -> None:
    full = replace(C, free=Room(1, 100, -5), hypervisors={"qemu": "no KVM"}, images=frozenset())
    demand = replace(asking(require=["zone=a", "fast"]), host="b", hypervisors=("qemu",))
    (verdict,) = judge([replace(full, obstacles=(Obstacle("offline", "is offline"),))], demand)
    assert verdict.choice is None
    assert [each.code for each in verdict.obstacles] == [
        *("offline", "not_chosen", "label", "label", "hypervisor", "image"),
        *("no_vcpus", "no_memory", "no_disk"),
    ]
    assert "is not labelled zone=a; is not labelled fast; qemu: no KVM" in verdict.why_not
    assert verdict.why_not.endswith("10 GB of disk wanted, 0 left")


def test_a_verdict_on_each_host() -> None:
    found = judge(HOSTS, asking(require=["zone=b"], prefer=["disk=hdd", "zone=b"]))
    assert [(each.host, each.choice) for each in found] == [
        ("c", HostChoice("c", "qemu")),
        ("b", HostChoice("b", "qemu")),
        ("a", None),
    ]
    assert [each.preferred for each in found] == [("disk=hdd", "zone=b"), ("zone=b",), ()]
    assert found[0].free == C.free
