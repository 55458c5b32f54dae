"""The fake driver's snapshots: a record each with a checksum over what it holds, and a copy of the guest's files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from agent.drivers.capabilities.snapshots import FinishedSnapshot
from agent.drivers.fake.state import FakeVmRecord, write_whole
from agent.drivers.fake.tree import Tree
from core.contract.errors import DriverFailure, Invalid
from core.contract.messages import decode


def take(vms: Path, vm_id: str, snapshot_id: str, state: FakeVmRecord, include_memory: bool) -> FinishedSnapshot:
    """Writes a snapshot of that state."""
    content = json.dumps(asdict(replace(state, crash_at=None)))
    with_memory = include_memory and state.power != "stopped"
    path = _path(vms, vm_id, snapshot_id)
    path.parent.mkdir(exist_ok=True)
    files = _files(vms, vm_id, snapshot_id)
    Tree(vms / vm_id).copy_to(files)
    record = {"content": content, "checksum": _checksum(content, files), "include_memory": with_memory}
    write_whole(path, json.dumps(record))
    return _as_taken(record)


def taken(vms: Path, vm_id: str, snapshot_id: str) -> FinishedSnapshot | None:
    """A snapshot as `take` returned it; None when there is none."""
    record = _record(vms, vm_id, snapshot_id)
    return None if record is None else _as_taken(record)


def read(vms: Path, vm_id: str, snapshot_id: str) -> tuple[FakeVmRecord, bool]:
    """The state in a snapshot, and whether it is with memory; `DriverFailure` when it is missing or broken."""
    record = _record(vms, vm_id, snapshot_id)
    if record is None:
        raise DriverFailure(f"snapshot '{snapshot_id}' is not on this host", code="snapshot_not_found")
    if _checksum(record["content"], _files(vms, vm_id, snapshot_id)) != record["checksum"]:
        raise DriverFailure(f"snapshot '{snapshot_id}' is damaged", code="snapshot_damaged")
    return decode(FakeVmRecord, record["content"]), bool(record["include_memory"])


def put_back_files(vms: Path, vm_id: str, snapshot_id: str) -> None:
    """Makes the guest's files what they were."""
    _files(vms, vm_id, snapshot_id).copy_to(Tree(vms / vm_id))


def remove(vms: Path, vm_id: str, snapshot_id: str) -> None:
    """Deletes one."""
    _path(vms, vm_id, snapshot_id).unlink(missing_ok=True)
    _files(vms, vm_id, snapshot_id).remove()


def ids(vms: Path, vm_id: str) -> list[str]:
    """Those of a VM."""
    return sorted(path.stem for path in (vms / vm_id / "snapshots").glob("*.json"))


def _record(vms: Path, vm_id: str, snapshot_id: str) -> dict[str, Any] | None:
    try:
        record = json.loads(_path(vms, vm_id, snapshot_id).read_text())
        return {name: record[name] for name in ("content", "checksum", "include_memory")}
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, Invalid):
        raise DriverFailure(f"snapshot '{snapshot_id}' is damaged", code="snapshot_damaged") from None


def _as_taken(record: dict[str, Any]) -> FinishedSnapshot:
    return FinishedSnapshot(len(record["content"]), record["checksum"], record["include_memory"])


def _path(vms: Path, vm_id: str, snapshot_id: str) -> Path:
    return vms / vm_id / "snapshots" / f"{snapshot_id}.json"


def _files(vms: Path, vm_id: str, snapshot_id: str) -> Tree:
    return Tree(vms / vm_id / "snapshots" / snapshot_id)


def _checksum(content: str, files: Tree) -> str:
    return "sha256:" + hashlib.sha256(json.dumps([content, files.sums()]).encode()).hexdigest()
