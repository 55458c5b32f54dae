"""What a report tells of a success is read as that of its operation's kind, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.contract.errors import Invalid
from core.contract.messages import Report, decode
from core.contract.results import RESULTS, Result
from core.contract.states import Kind

DISK: dict[str, Any] = {"controller": "SATA", "port": 0, "device": 0, "type": "hdd", "medium": "a", "size_bytes": 1}
DISK |= {"used_bytes": None, "format": "vdi", "own": True}
ADAPTER: dict[str, Any] = {"slot": 0, "enabled": True, "mode": "nat", "type": "virtio", "cable_connected": True}
ADAPTER |= {"mac_address": None, "network": None}
BOTH = {"disks": [DISK], "adapters": [ADAPTER]}
SUM = {"size_bytes": 5, "checksum": "sha256:0", "include_memory": True}
APPLIED = dict.fromkeys(("vcpus", "memory_mb", "cpu_limit_percent", "memory_limit_percent"), "live")
GOOD: dict[Kind, dict[str, Any]] = {kind: {} for kind in Kind} | {
    Kind.CREATE: BOTH,
    Kind.DISK_ATTACH: {"disks": [DISK], "visible_to_guest": True},
    Kind.DISK_DETACH: {"disks": []},
    Kind.ADAPTER_SET: {"adapters": [ADAPTER]},
    Kind.SNAPSHOT_RESTORE: BOTH,
    Kind.SNAPSHOT_CREATE: SUM | {"vm_status": "running"},
    Kind.SNAPSHOT_DELETE: {"snapshots": {"snap-1": SUM}},
    Kind.RESIZE: {"applied": APPLIED},
    Kind.MOVE: BOTH | {"files": [{"name": "disk", "size_bytes": 9, "sha256": "a", "extents": [(0, 5)]}]},
}
NEVER: list[Any] = ["x" * 5000, [5], {"": 5}, -1, 1.5e300, [[]], True]


def report(result: Any, **more: Any) -> Report:
    said = {"host": "h", "generation": 1, "operation_id": "op", "attempt": 1, "phase": "succeeded", "at": 1.0}
    return decode(Report, json.dumps(said | {"result": result} | more))


def test_each_kind_has_a_result() -> None:
    assert set(RESULTS) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_a_result_is_read_and_stored_as_it_was_told(kind: Kind) -> None:
    told: Result = report(GOOD[kind]).result_as(RESULTS[kind])
    assert (type(told), told.stored()) == (RESULTS[kind], GOOD[kind])
    assert report(GOOD[kind] | {"new": [{}]}).result_as(RESULTS[kind]) == told


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in Kind for name in GOOD[kind]])
def test_what_is_wrong_in_a_result_is_named(kind: Kind, name: str) -> None:
    for wrong in NEVER[:-1] if name in ("include_memory", "visible_to_guest") else NEVER:
        with pytest.raises(Invalid, match=name):
            report(GOOD[kind] | {name: wrong}).result_as(RESULTS[kind])


@pytest.mark.parametrize("part", [*DISK, *ADAPTER])
def test_what_is_wrong_in_a_disk_or_an_adapter_is_named(part: str) -> None:
    for whole, name in ((DISK, "disks"), (ADAPTER, "adapters")):
        for wrong in NEVER[:4]:
            if part in whole:
                with pytest.raises(Invalid, match=rf"{name}\[0\]\.{part}"):
                    report({name: [whole | {part: wrong}]}).result_as(RESULTS[Kind.CREATE])


@pytest.mark.parametrize("wrong", [None, 1, "x", [], [{}]])
def test_a_result_that_is_none(wrong: Any) -> None:
    for kind in Kind:
        with pytest.raises(Invalid):
            report(wrong).result_as(RESULTS[kind])


def test_more_than_any_vm_has_is_refused() -> None:
    with pytest.raises(Invalid, match="disks"):
        report({"disks": [DISK] * 300}).result_as(RESULTS[Kind.CREATE])


@pytest.mark.parametrize(
    "wrong",
    [
        {"phase": "done"},
        {"phase": None},
        {"generation": -1},
        {"generation": 2**63},
        {"attempt": 2**31},
        {"at": -1},
        {"at": 1e18},
        {"host": "x" * 257},
        {"operation_id": 5},
        {"progress": {"step": "x" * 300}},
        {"progress": {"step": "x", "percent": 101}},
        {"failure": {"code": "x"}},
        {"failure": {"code": "x", "message": "x" * 5000}},
        {"observation": {"vm_id": "vm", "state": "dancing"}},
        {"observation": {"vm_id": "vm", "state": "running", "started_at": 1e18}},
        {"observation": {"vm_id": "vm", "state": "running", "pid": 2**70}},
        {"observation": {"vm_id": "vm", "state": "running", "reason": "x" * 5000}},
        {"observation": {"vm_id": "vm", "state": "running", "facts": {"vcpus": -1}}},
        {"observation": {"vm_id": "vm", "state": "running", "facts": []}},
    ],
)
def test_a_report_that_is_well_formed_and_absurd_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        report({}, **wrong)
