"""Checksums of a snapshot's files: computed when it is taken, and compared before a restore."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agent.drivers.base import Progress
from core.contract.errors import DriverFailure, Invalid
from core.contract.messages import decode

T = TypeVar("T")
BLOCK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Sum:
    """Size and SHA-256 of a file."""

    size_bytes: int
    sha256: str


def add_up(path: Path, progress: Progress, *, flush: bool = False) -> Sum:
    """The sum of a file, which is on the disk afterwards with `flush`; `progress` hears of each block."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        if flush:
            os.fsync(file.fileno())
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            size += len(block)
            progress("checking the files", None)
    return Sum(size, digest.hexdigest())


def verify(snapshot_id: str, files: Iterable[tuple[Path, Sum]], progress: Progress) -> None:
    """`DriverFailure` with code "snapshot_damaged" unless every file is as it was."""
    for path, expected in files:
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise _damaged(snapshot_id, path, "is missing") from None
        if size != expected.size_bytes:
            raise _damaged(snapshot_id, path, f"has {size} bytes and not {expected.size_bytes}")
        if add_up(path, progress) != expected:
            raise _damaged(snapshot_id, path, "was changed")


def checksum(listing: list[Any]) -> str:
    """The checksum of a whole snapshot: over what is listed of its files."""
    return "sha256:" + hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()


def read_record(kind: type[T], path: Path, snapshot_id: str) -> T | None:
    """The record of a finished snapshot; None when there is none. `DriverFailure` when it can't be read."""
    try:
        return decode(kind, path.read_bytes())
    except FileNotFoundError:
        return None
    except Invalid:
        raise DriverFailure(f"the metadata of snapshot '{snapshot_id}' is damaged", code="snapshot_damaged") from None


def _damaged(snapshot_id: str, path: Path, problem: str) -> DriverFailure:
    return DriverFailure(
        f"snapshot '{snapshot_id}' is damaged: {path.name} {problem}; the VM was left as it is", code="snapshot_damaged"
    )
