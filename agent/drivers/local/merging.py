"""Merges of disk layers: a layer that no snapshot needs is merged into the layer above it.

The layer above is copied, the copy takes in what is below, and takes the layer's place in one rename: no file that a
snapshot or a machine rests on is ever written to. What was decided is kept in a file first, so that a merge that is cut
off is either forgotten or ended. A running QEMU goes on with the files that it has open, which read the same.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from agent.drivers.base import Progress
from agent.drivers.limits import Left
from agent.drivers.local import disks, records
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord
from agent.system import process
from core.contract.limits import ProcessLimits
from core.contract.messages import decode
from core.durable import sync_folder, write_json
from core.units import GB

SPARE_LAYERS = 8  # more than so many are merged: each merge copies, and so it is worth its while
SPARE_BYTES = GB
DECIDED, DRAFT = "merge.json", ".merged"


@dataclass(frozen=True)
class Decided:
    """A merge that will be ended whatever happens: the layer's file as it will be, and the layers that it took in."""

    layer: str
    gone: list[str]
    file: records.SnapshotFile


def merge(folder: LocalVmFolder, state: LocalVmRecord, progress: Progress, left: Left, lock: int) -> None:
    """Merges what can be if the spare layers are too many."""
    runs = _runs(folder, state)
    if sum(len(gone) for gone in runs.values()) <= SPARE_LAYERS:
        return
    for layer, gone in runs.items():
        progress("merging layers", None)
        _decide(folder, state, layer, gone, progress, left, lock)
        progress("putting the merged layer in place", None)
        recover(folder)
    records.remove_unused_layers(folder, state)


def recover(folder: LocalVmFolder) -> None:
    """Ends a merge that was decided, if there is one."""
    path = folder.path / DECIDED
    try:
        decided = decode(Decided, path.read_bytes())
    except FileNotFoundError:
        return
    draft = _draft(folder, decided.layer)
    if draft.exists():
        draft.replace(folder.layers / decided.layer)
        sync_folder(folder.layers)
    records.replace_files(folder, decided.file, [f"layers/{name}" for name in decided.gone])
    path.unlink()


def _runs(folder: LocalVmFolder, state: LocalVmRecord) -> dict[str, list[str]]:
    """For each frozen layer those right below it that only it needs, from the top down."""
    points = {state.disk, *records.layers(folder)}
    over: dict[str, set[str]] = defaultdict(set)
    chains = [disks.chain(folder, point) for point in points]
    for chain in chains:
        for above, below in pairwise(chain):
            over[below].add(above)
    runs: dict[str, list[str]] = {}
    for chain in chains:
        taker: str | None = None
        for layer in chain:
            spare = layer not in points and len(over[layer]) == 1
            if spare and taker is not None:
                if layer not in runs.setdefault(taker, []):
                    runs[taker].append(layer)
            elif layer != state.disk:  # which is written to
                taker = layer
    return runs


def _decide(
    folder: LocalVmFolder, state: LocalVmRecord, layer: str, gone: list[str], progress: Progress, left: Left, lock: int
) -> None:
    """Makes the merged layer beside the one that it is to replace."""
    draft, base = _draft(folder, layer), disks.below(folder, gone[-1])
    process.run(["cp", "--reflink=auto", str(folder.layers / layer), str(draft)], left(), holding=(lock,))
    rebase = ["qemu-img", "rebase", "-q", "-f", "qcow2", "-b", base or ""]
    if base is not None:
        rebase += ["-F", disks.format_of(base, state.image)]
    size, used = disks.size_and_use(folder, layer)
    # What a guest has written decides how large the draft gets, and nothing in it how large it may get.
    limits = ProcessLimits(memory_bytes=4 << 30, cpu_seconds=3600, file_bytes=2 * size + used + SPARE_BYTES)
    process.run([*rebase, str(draft)], left(), holding=(lock,), limits=limits)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(folder.layers)
    added_up = records.added_up(draft, f"layers/{layer}", progress)
    write_json(folder.path / DECIDED, asdict(Decided(layer, gone, added_up)))


def _draft(folder: LocalVmFolder, layer: str) -> Path:
    return folder.layers / f"{layer}{DRAFT}"
