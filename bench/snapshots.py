"""Snapshots and restores through the API, beside the same by hand over QMP, without sums and checks."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bench.guests import SETTLED
from bench.http import BenchClient
from bench.rawguest import raw_guest
from bench.stats import Row
from cli.fleet.fleet import Fleet

_ROUNDS = 2
_ADDED_SECONDS = {
    # Ours also freezes the guest's file systems, and adds up what the snapshot consists of.
    "snapshot without memory": 3.0,
    "snapshot with memory": 3.0,
    # Ours also holds every file against its sum before the VM is touched.
    "restore without memory": 3.0,
    "restore with memory": 3.0,
}


def all_of(fleet: Fleet, token: str) -> Iterator[Row]:
    """Raw and ours in turn, so that a drift of the machine meets both; a restore lasts until the guest answers."""
    client = BenchClient(fleet.url, token)
    acceleration = client.must("GET", "/hosts/host-a")["hypervisors"][0]["acceleration"]
    raw: dict[str, list[float]] = defaultdict(list)
    ours: dict[str, list[float]] = defaultdict(list)
    for number in range(_ROUNDS):
        with tempfile.TemporaryDirectory(prefix="raw-") as folder:
            _raw(raw, Path(folder), fleet.plan.images, acceleration)
        _ours(ours, client, f"bench-{number}")
    for what, most in _ADDED_SECONDS.items():
        our, bare = statistics.median(ours[what]), statistics.median(raw[what])
        measured = f"{our:.2f} s = {bare:.2f} s + {our - bare:.2f} s"
        yield Row(what, measured, f"raw + {most:g} s", our - bare <= most)


def _raw(taken: dict[str, list[float]], folder: Path, store: Path, acceleration: str) -> None:
    for name, with_memory in (("without", False), ("with", True)):
        with raw_guest(folder / name, store, acceleration) as guest:
            guest.execute(SETTLED)
            taken[f"snapshot {name} memory"].append(guest.snapshot(with_memory=with_memory))
        memory = folder / name / "memory" if with_memory else None
        over = folder / name / "raw.qcow2"
        with raw_guest(folder / f"{name}-back", store, acceleration, over=over, memory=memory) as guest:
            taken[f"restore {name} memory"].append(guest.boot_seconds)


def _ours(taken: dict[str, list[float]], client: BenchClient, vm: str) -> None:
    client.must("POST", "/vms", {"name": vm, "vcpus": 1, "memory_mb": 512})
    for name, with_memory in (("without", False), ("with", True)):
        if name == "without":
            client.must("POST", f"/vms/{vm}/start")
        client.must("POST", f"/vms/{vm}/execute", {"command": SETTLED, "timeout_seconds": 120})
        body = {"name": name, "include_memory": with_memory}
        taken[f"snapshot {name} memory"].append(_seconds(client, f"/vms/{vm}/snapshots", body))
        taken[f"restore {name} memory"].append(_seconds(client, f"/vms/{vm}/snapshots/{name}/restore", None))
    client.must("DELETE", f"/vms/{vm}")


def _seconds(client: BenchClient, path: str, body: object) -> float:
    began = time.perf_counter()
    client.must("POST", path, body)
    return time.perf_counter() - began
