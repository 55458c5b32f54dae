"""The exec store: a small file for each execution of a VM, in `execs/` of the VM's folder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent.drivers.capabilities.execs import GuestExec
from core import durable, filelocks
from core.contract.errors import DriverFailure, Invalid
from core.contract.messages import decode

FOLDER = "execs"
LOCK = ".lock"
RUNNING = "running"


@dataclass(frozen=True)
class StoredExec:
    """A command as it was last seen, and how to find it: its cgroup's number and the mark of its processes.

    `is_late`: it is being killed because it is past its timeout.
    """

    exec: GuestExec
    number: int
    token: str
    is_late: bool = False

    @property
    def is_running(self) -> bool:
        """As far as was seen."""
        return self.exec.state == RUNNING

    @property
    def deadline_at(self) -> float | None:
        """When it has to be over."""
        seconds = self.exec.timeout_seconds
        return self.exec.started_at + seconds if self.is_running and seconds is not None else None

    @property
    def is_due(self) -> bool:
        """Whether that is now, or was."""
        return self.deadline_at is not None and time.time() >= self.deadline_at


class ExecStore:
    """The entries of one VM."""

    def __init__(self, vm_folder: Path) -> None:
        self._folder = vm_folder / FOLDER

    def get(self, exec_id: str) -> StoredExec:
        """`DriverFailure` with code "exec_not_found" when there is none."""
        found = self._read(self._path(exec_id))
        if found is None:
            raise DriverFailure(f"execution '{exec_id}' not found", code="exec_not_found")
        return found

    def find(self, exec_id: str) -> StoredExec | None:
        """As `get`, or None."""
        return self._read(self._path(exec_id))

    def all(self) -> list[StoredExec]:
        """Newest first."""
        found = [entry for path in self._folder.glob("*.json") if (entry := self._read(path)) is not None]
        return sorted(found, key=lambda entry: (entry.exec.started_at, entry.number), reverse=True)

    def add(self, entry: StoredExec) -> None:
        """A new one."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._write(entry)

    def change(self, entry: StoredExec, *, is_late: bool = False, **changes: Any) -> StoredExec:
        """That one with some of it changed, unless its end was noted meanwhile; as it is now."""
        with self._locked():
            now = self.get(entry.exec.id)
            if now.is_running:
                now = replace(now, exec=replace(now.exec, **changes), is_late=now.is_late or is_late)
                self._write(now)
            return now

    def remove(self, exec_id: str) -> None:
        """Forgets it."""
        self._path(exec_id).unlink(missing_ok=True)

    def _write(self, entry: StoredExec) -> None:
        durable.write(self._path(entry.exec.id), json.dumps(asdict(entry)), lasting=False)

    def _read(self, path: Path) -> StoredExec | None:
        try:
            return decode(StoredExec, path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Invalid as error:
            raise DriverFailure(f"{path} can't be read: {error}", code="state_damaged") from None

    def _path(self, exec_id: str) -> Path:
        return self._folder / f"{exec_id}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with filelocks.locked(self._folder / LOCK):
            yield
