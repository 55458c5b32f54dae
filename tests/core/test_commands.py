"""Each kind of command: what it says goes through JSON and back, and what is wrong in it is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.contract.commands import PARAMS, AdapterSet, Params
from core.contract.errors import Invalid
from core.contract.messages import Command, Forward, ImageRef, Numbered, VmSpec, build, command, decode, encode
from core.contract.states import Kind
from core.contract.vms import Adapter, AdapterWish, Controller, Disk, Hardware, VmNetwork

PLACE: dict[str, Any] = {"controller": "SATA", "port": 1, "device": 0}
FORWARD: dict[str, Any] = {"forward_id": "fwd-1", "protocol": "udp", "host_port": 8080, "guest_port": 80}
SIZE: dict[str, Any] = {"vcpus": 2, "memory_mb": 512, "cpu_limit_percent": 50, "memory_limit_percent": None}
GOOD: dict[Kind, dict[str, Any]] = {
    Kind.CREATE: {},
    Kind.START: {"gui": True},
    Kind.STOP: {"grace_seconds": 5.0, "force": True},
    Kind.RESTART: {"grace_seconds": 5.0, "force": False},
    Kind.DELETE: {"delete_disks": True},
    Kind.PAUSE: {},
    Kind.RESUME: {},
    Kind.SAVE: {},
    Kind.RESIZE: SIZE,
    Kind.DISK_ATTACH: PLACE
    | {"type": "hdd", "medium": "a", "create_if_missing": True, "size_gb": 1, "medium_id": "disk-1"},
    Kind.DISK_DETACH: PLACE,
    Kind.ADAPTER_SET: {"slot": 1, "enabled": True, "mode": "nat", "type": "virtio", "cable_connected": False}
    | {"network": None},
    Kind.SNAPSHOT_CREATE: {"snapshot_id": "snap-1", "name": "before", "include_memory": True},
    Kind.SNAPSHOT_RESTORE: {"snapshot_id": "snap-1", "start": None, "previous_state": "running"},
    Kind.SNAPSHOT_DELETE: {"snapshot_id": "snap-1"},
    Kind.PORT_FORWARD_CREATE: FORWARD,
    Kind.PORT_FORWARD_DELETE: FORWARD,
    Kind.MOVE: {
        "grace_seconds": 5.0,
        "force": True,
        "source": "host-a",
        "target": "host-b",
        "stop": True,
        "start": True,
    }
    | {"files": [{"name": "disk", "size_bytes": 9, "sha256": "a", "extents": [(0, 5)]}]},
}
VM = VmSpec(
    id="vm-1",
    name="web",
    hypervisor="fake",
    os_type="linux",
    vcpus=1,
    memory_mb=256,
    disk_gb=4,
    image=ImageRef("linux-default", "sha256:0"),
    network=VmNetwork("bridge", "br0", "192.168.200.7", "52:54:c0:a8:c8:07"),
    hardware=Hardware(
        os_type="Ubuntu_64",
        network={"adapter1": AdapterWish()},
        storage_controllers=[Controller("SATA")],
        disks=[Disk("SATA", 0, 0, "hdd", "disk", 1, None, "vdi", own=True)],
        adapters=[Adapter(0)],
    ),
    forwards=[Forward("tcp", 8080, 80)],
)
# What no field of any kind takes: each is of another type than all, or too much for every one of its own.
NEVER: list[Any] = [[], {}, "x" * 5000, -1, 2**31, 1.5e300]


def wire(kind: Any, params: Any, **more: Any) -> str:
    whole = json.loads(encode(command("op-1", 1, VM, build(PARAMS[Kind.PAUSE], {}), 1.0)))
    return json.dumps(whole | {"kind": kind, "params": params} | more)


def test_each_kind_of_operation_has_params() -> None:
    assert set(PARAMS) == set(GOOD) == set(Kind)
    assert len(set(PARAMS.values())) == len(PARAMS)


@pytest.mark.parametrize("kind", Kind)
def test_a_command_goes_through_json_and_back(kind: Kind) -> None:
    params = build(PARAMS[kind], GOOD[kind])
    sent = command("op-1", 3, VM, params, 12.5)
    assert (sent.kind, params.kind, params.stored()) == (kind, kind, GOOD[kind])
    assert json.loads(encode(sent))["kind"] == kind
    read = decode(Command, encode(sent))
    assert (read, type(read.params), read.kind) == (sent, PARAMS[kind], kind)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in Kind for name in GOOD[kind]])
def test_what_is_wrong_in_a_parameter_is_named(kind: Kind, name: str) -> None:
    for wrong in NEVER:
        with pytest.raises(Invalid, match=rf"params\.{name}`"):
            decode(Command, wire(kind, GOOD[kind] | {name: wrong}))


@pytest.mark.parametrize("kind", Kind)
def test_params_that_are_none(kind: Kind) -> None:
    nothing: list[Any] = [None, [], "x", 1]
    for wrong in nothing:
        with pytest.raises(Invalid, match="params"):
            decode(Command, wire(kind, wrong))
    needed = [name for name in GOOD[kind] if name in ("snapshot_id", "forward_id", "slot", "port", "vcpus", "medium")]
    for name in needed:
        with pytest.raises(Invalid, match=f"missing required field `{name}`"):
            decode(Command, wire(kind, {key: value for key, value in GOOD[kind].items() if key != name}))


@pytest.mark.parametrize("kind", Kind)
def test_a_newer_control_plane_may_say_more(kind: Kind) -> None:
    text = wire(kind, GOOD[kind] | {"new": [{}]}, also={"new": 1})
    assert decode(Command, text).params == build(PARAMS[kind], GOOD[kind])


@pytest.mark.parametrize("kind", ["", "reboot", "Start", None, 1, [], {}])
def test_an_unknown_kind_is_named_and_the_operation_is_known_all_the_same(kind: Any) -> None:
    text = wire(kind, {})
    with pytest.raises(Invalid, match="kind"):
        decode(Command, text)
    assert decode(Numbered, text) == Numbered("op-1", 1)


def test_what_is_wrong_in_the_vm_is_named() -> None:
    whole = json.loads(encode(VM))
    for name in whole:
        for wrong in NEVER[2:]:
            with pytest.raises(Invalid, match=rf"\.vm\.{name}"):
                decode(Command, wire("pause", {}, vm=whole | {name: wrong}))


def test_an_adapter_is_changed_in_what_is_said_alone() -> None:
    params: Params = AdapterSet(2, network=None)
    assert params.stored() == {"slot": 2, "network": None}
    assert build(AdapterSet, params.stored()).changes == {"network": None}


def test_the_params_that_an_earlier_release_has_stored() -> None:
    rows: dict[Kind, dict[str, Any]] = {
        Kind.START: {},
        Kind.STOP: {"grace_seconds": 30, "force": False},
        Kind.SNAPSHOT_RESTORE: {"snapshot_id": "snap-1", "start": True, "previous_state": "stopped"},
        Kind.DISK_ATTACH: PLACE | {"type": "hdd", "medium": "a"},
        Kind.ADAPTER_SET: {"slot": 0, "cable_connected": False},
    }
    for kind, row in rows.items():
        assert row.items() <= build(PARAMS[kind], row).stored().items()
