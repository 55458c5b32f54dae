"""Which files of the host may be attached to VMs: those below its media folders, and no disk of someone else's."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.contract.errors import DriverFailure, Invalid
from core.contract.messages import VmSpec, decode

CLAIMS = ".owners"
LONGEST = 1000


@dataclass(frozen=True)
class Claim:
    """Whose a disk is: the owner of the VM that made it, or was the first to use it."""

    owner: str
    medium: str


class Media:
    """The media folders of a host; the first is where relative paths begin. Errors have code "invalid_request"."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def find(self, path: str) -> Path:
        """The file that is meant, by its real path: a regular file below one of the folders."""
        real = self._real(path)
        if not self.exists(real):
            raise _refused(path, "there is no such file")
        return real

    def place_for(self, path: str) -> Path:
        """Where a new file of that name goes, by its real path; its folder must be there. The file may be there too."""
        real = self._real(path)
        if not real.parent.is_dir():
            raise _refused(path, "its folder does not exist")
        self.exists(real)
        return real

    def exists(self, real: Path) -> bool:
        """Whether the file is there; refuses what is no regular file."""
        try:
            mode = real.lstat().st_mode
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(mode):
            raise _refused(real.name, "it is not a regular file")
        return True

    def claim(self, real: Path, vm: VmSpec) -> None:
        """Makes a disk its owner's, whose VMs alone may have it from now on, until the file is gone."""
        mine = Claim(vm.owner or vm.id, str(real))
        file = self._claim_file(real)
        file.parent.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError), file.open("x") as new:
            json.dump(asdict(mine), new)
        if _read(file) != mine:
            raise _refused(real.name, "it is someone else's disk")

    def disclaim(self, real: Path) -> None:
        """The disk was removed, or not made after all."""
        self._claim_file(real).unlink(missing_ok=True)

    def _real(self, path: str) -> Path:
        if not 0 < len(path) <= LONGEST or not path.isprintable() or '"' in path:
            raise _refused(path[:80], "it is empty, too long, or has characters that no medium's path has")
        if ".." in Path(path).parts:
            raise _refused(path, "it has '..' in it")
        if not self._folders:
            raise _refused(path, "this host has no media folder: set CORRAL_MEDIA")
        real = Path(os.path.realpath(self._folders[0] / path))
        homes = [Path(os.path.realpath(folder)) for folder in self._folders]
        if not any(home in real.parents for home in homes) or CLAIMS in real.parts:
            raise _refused(path, f"media are below {', '.join(map(str, self._folders))}")
        return real

    def _claim_file(self, real: Path) -> Path:
        home = next(home for folder in self._folders if (home := Path(os.path.realpath(folder))) in real.parents)
        return home / CLAIMS / hashlib.sha256(bytes(real)).hexdigest()


def _read(file: Path) -> Claim:
    try:
        return decode(Claim, file.read_bytes())
    except (OSError, Invalid):
        return Claim("", "")  # damaged, so that nobody knows whose it is


def _refused(path: str, why: str) -> DriverFailure:
    return DriverFailure(f"medium {path!r} can't be used: {why}", code="invalid_request")
