"""A VM's folder: Corral's record of the VM, and VirtualBox's files."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent.drivers import ids
from core.contract.errors import DriverFailure, Invalid
from core.contract.images import ImageManifest
from core.contract.messages import VmSpec, decode
from core.durable import write_json

RECORD, CONSOLE = "vm.json", "console.sock"
GROUP = "/corral"
ADDRESS_BYTES = 107  # of a unix socket


@dataclass(frozen=True)
class VirtualBoxVmRecord:
    """Corral's record of a VM, beside VirtualBox's. `restores` counts the restores that have ended well."""

    spec: VmSpec
    image: ImageManifest | None
    restores: int = 0


@dataclass(frozen=True)
class VirtualBoxVmFolder:
    """The folder of one VM, named by its id; VirtualBox has its settings below that, in `corral/<id>/`."""

    path: Path

    @property
    def uuid(self) -> str:
        """By which VirtualBox knows it: always the same for the same id, so that half a VM can be found."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"corral:{self.path.name}"))

    @property
    def settings(self) -> Path:
        """Settings, logs, saved states and what was written since a snapshot."""
        return self.path / GROUP.strip("/") / self.path.name

    @property
    def disk(self) -> Path:
        """The VM's own disk, as it was made; VirtualBox puts layers over it when snapshots are taken."""
        return self.path / "disk.vdi"

    @property
    def snapshots(self) -> Path:
        """A record per snapshot."""
        return self.path / "snapshots"

    @property
    def console(self) -> Path:
        """The serial port's socket: in the folder unless that is too deep for a socket's address."""
        inside = self.path / CONSOLE
        name = f"corral-{hashlib.sha256(bytes(self.path)).hexdigest()[:16]}"
        if sys.platform == "win32":
            return Path(rf"\\.\pipe\{name}")
        return inside if len(bytes(inside)) <= ADDRESS_BYTES else _private() / f"{name}.sock"

    def read(self) -> VirtualBoxVmRecord | None:
        """None when there is no such VM, or only the remains of one."""
        try:
            return decode(VirtualBoxVmRecord, (self.path / RECORD).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Invalid as error:
            raise DriverFailure(f"{self.path / RECORD} can't be read: {error}", code="state_damaged") from None

    def record(self) -> VirtualBoxVmRecord:
        """As `read`, for a VM that must be there."""
        found = self.read()
        if found is None:
            raise DriverFailure(f"VM {self.path.name} is not on this host", code="vm_not_found")
        return found

    def write(self, record: VirtualBoxVmRecord) -> VirtualBoxVmRecord:
        """Keeps the record, whole or not at all."""
        write_json(self.path / RECORD, asdict(record))
        return record

    def change(self, **changes: Any) -> VirtualBoxVmRecord:
        """Keeps the record with some of it changed."""
        return self.write(replace(self.record(), **changes))


def folder_of(vms: Path, vm_id: str) -> VirtualBoxVmFolder:
    """The folder of a VM, there or not; `DriverFailure` for what can't be an id."""
    return VirtualBoxVmFolder(vms / ids.checked("VM", vm_id))


def _private() -> Path:
    """A folder with a short path that is ours alone: among temporary files anyone may have made one of any name."""
    if sys.platform == "win32":
        return Path(tempfile.gettempdir())
    path = Path(tempfile.gettempdir(), f"corral-{os.geteuid()}")
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
        raise DriverFailure(f"{path} must be a folder that Corral alone owns (mode 0700): remove it")
    return path
