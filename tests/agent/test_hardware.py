"""Commands and calls about disks and adapters, by an agent that may die in between."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from msgspec import to_builtins

from agent.media.media import DISKS
from core.contract.results import DiskAttached, HardwareResult
from core.contract.states import Kind, Observed
from tests.agent.hosts import Host
from tests.support.waiting import until

PLACE: dict[str, Any] = {"controller": "SATA Controller", "port": 1, "device": 0}
DISK = {**PLACE, "type": "hdd", "medium": "data.qcow2", "create_if_missing": True, "size_gb": 1}


def test_disks_come_and_go_and_are_told(running: Host) -> None:
    vm = running.made()
    attached = running.do(Kind.DISK_ATTACH, vm, **DISK)
    assert attached.phase == "succeeded"
    told = json.loads(bytes(attached.result))
    own, data = told["disks"]
    assert (own["own"], data["medium"]) == (True, "data.qcow2")
    assert (data["size_bytes"], data["format"]) == (1 << 30, "qcow2")
    assert told["visible_to_guest"] is None  # the fake has no guest that could tell
    assert running.call("disks", vm).result == {"disks": told["disks"]}
    assert json.loads(bytes(running.do(Kind.DISK_DETACH, vm, **PLACE).result)) == {"disks": [own]}
    assert (running.folder / "media" / DISKS / vm.id / "data.qcow2").exists()
    refused = running.do(Kind.DISK_ATTACH, vm, **DISK | {"medium": "../x.qcow2"})
    assert (refused.phase, refused.failure.code) == ("failed", "invalid_request")


def test_what_is_not_said_of_an_adapter_stays(running: Host) -> None:
    vm = running.made()
    told = (
        running.do(Kind.ADAPTER_SET, vm, slot=2, mode="intnet", network="back", type="virtio")
        .result_as(HardwareResult)
        .adapters
    )
    assert [(each.slot, each.mode, each.network) for each in told] == [(0, "nat", None), (2, "intnet", "back")]
    (_, pulled) = running.do(Kind.ADAPTER_SET, vm, slot=2, cable_connected=False).result_as(HardwareResult).adapters
    assert pulled == replace(told[1], cable_connected=False)
    assert running.call("adapters", vm).result == {"adapters": to_builtins([told[0], pulled])}
    (_, moved) = running.do(Kind.ADAPTER_SET, vm, slot=2, mode="hostonly").result_as(HardwareResult).adapters
    assert moved == replace(pulled, mode="hostonly", network=None)
    running.do(Kind.START, vm)
    refused = running.do(Kind.ADAPTER_SET, vm, slot=2, enabled=False)
    assert (refused.phase, refused.failure.code) == ("failed", "invalid_state")
    assert running.do(Kind.PAUSE, vm).observation.state is Observed.PAUSED
    assert running.do(Kind.RESUME, vm).observation.state is Observed.RUNNING
    assert running.do(Kind.SAVE, vm).observation.state is Observed.STOPPED
    refused = running.do(Kind.SAVE, running.made())
    assert (refused.phase, refused.failure.code) == ("failed", "invalid_state")


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (Kind.DISK_ATTACH, {}),
        (Kind.DISK_ATTACH, DISK | {"port": "1"}),
        (Kind.DISK_ATTACH, DISK | {"size_gb": "1"}),
        (Kind.DISK_DETACH, {"controller": "SATA Controller"}),
        (Kind.ADAPTER_SET, {"mode": "nat"}),
        (Kind.ADAPTER_SET, {"slot": 0, "enabled": 1}),
        (Kind.ADAPTER_SET, {"slot": 0, "mode": None}),
    ],
)
def test_parameters_that_are_wrong(running: Host, kind: Kind, params: dict[str, Any]) -> None:
    report = running.do(kind, running.made(), **params)
    assert (report.phase, report.failure.code) == ("failed", "invalid_request")


@pytest.mark.parametrize("moment", ["slow", "linger"])
@pytest.mark.parametrize("verb", ["disk_attach", "disk_detach", "adapter_set", "pause", "save"])
def test_killed_half_way_it_is_done_once(host: Host, verb: str, moment: str) -> None:
    host.start()
    vm = host.made(fake={moment: {verb: 1.5}})
    params = {"disk_attach": DISK, "disk_detach": PLACE, "adapter_set": {"slot": 1, "mode": "null"}}.get(verb, {})
    if verb == "disk_detach":
        host.do(Kind.DISK_ATTACH, vm, **DISK)
    if verb in ("pause", "save"):
        host.do(Kind.START, vm)
    operation = host.send(host.command(Kind(verb), vm, **params))
    if moment == "slow":
        host.seen(operation, "begun")
    else:
        until(lambda: host.effects(vm, verb))
    host.kill()
    host.start()
    report = host.end(operation)
    assert (report.phase, host.effects(vm, verb)) == ("succeeded", 1), report
    assert (
        verb not in ("disk_attach", "disk_detach")
        or len(report.result_as(HardwareResult).disks) == (verb == "disk_attach") + 1
    )


@pytest.mark.parametrize(("state", "visible"), [(None, None), (Kind.START, True), (Kind.PAUSE, None)])
def test_what_is_told_of_a_disk_says_whether_the_guest_has_it(
    running: Host, state: Kind | None, visible: bool | None
) -> None:
    vm = running.made()
    for kind in (Kind.START, Kind.PAUSE)[: 0 if state is None else 1 + (state is Kind.PAUSE)]:
        running.do(kind, vm)
    assert running.do(Kind.DISK_ATTACH, vm, **DISK).result_as(DiskAttached).visible_to_guest is visible
