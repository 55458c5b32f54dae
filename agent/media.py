"""The disks and DVDs of a host: whose each is, of which format, and where it lies.

A disk that is made here goes into a folder of its owner, where no other owner's names reach. A file that the operator
puts into a media folder is offered to all: an `.iso` stays so, a disk is theirs who attach it first. What is not one's
own is answered as what is not there.

A disk's format is decided once, when it is made or first attached, and kept in its record: what a guest writes to it
later is data, and never looked at.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from core.contract import diskformats
from core.contract.diskformats import ISO, QCOW2, RAW, VDI, VHD, VMDK
from core.contract.errors import DriverFailure, Invalid
from core.contract.messages import VmSpec, decode

CLAIMS, DISKS = ".owners", ".disks"
LONGEST = 1000
FORMATS = {".qcow2": QCOW2, ".raw": RAW, ".img": RAW, ".vdi": VDI, ".vmdk": VMDK, ".vhd": VHD}
OWN_FORMAT = QCOW2  # of what has no such ending
DVD = ".iso"
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True)
class Claim:
    """The record of a disk: its owner, its path and its format, which older releases did not keep ("")."""

    owner: str
    medium: str
    format: str = ""
    created_at: float = 0.0


@dataclass(frozen=True)
class Found:
    """A medium that may be used: its name, which its owner knows it by, its real path, and its format."""

    name: str
    path: Path
    format: str


class Media:
    """The media folders of a host; the first is where relative paths begin. Errors have code "invalid_request"."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [Path(os.path.realpath(folder)) for folder in folders]

    def disk(self, name: str, vm: VmSpec) -> Found:
        """The disk that the VM's owner means, theirs from now on if it was nobody's."""
        owner, relative = _owner(vm), self._relative(name)
        own = self._own(owner, relative)
        if own is not None:
            return Found(relative, own, self._claimed(own, owner, relative))
        real = self._shared(relative)
        if real is None or real.suffix.lower() == DVD:
            raise _missing(name)
        return Found(relative, real, self._claimed(real, owner, relative))

    def dvd(self, name: str) -> Found:
        """A DVD, which is a file that ends in `.iso` and is nobody's disk."""
        relative = self._relative(name)
        real = self._shared(relative)
        if real is None or real.suffix.lower() != DVD or self._claim_file(real).exists():
            raise _missing(name)
        self._must_begin_as(real, ISO, relative)
        return Found(relative, real, RAW)

    def is_there(self, name: str, vm: VmSpec) -> bool:
        """Whether `disk` would find that disk."""
        owner, relative = _owner(vm), self._relative(name)
        real = self._shared(relative)
        if self._own(owner, relative) is not None:
            return True
        return real is not None and real.suffix.lower() != DVD and self._owner_of(real) in ("", owner)

    def reserve(self, name: str, vm: VmSpec) -> Found:
        """Where a new disk of that name is to be made; it is the owner's already. `disclaim` when nothing was made."""
        owner, relative = _owner(vm), self._relative(name)
        if "/" in relative or len(os.fsencode(relative)) > 255 or Path(relative).suffix.lower() == DVD:
            raise _refused(name, "a new disk's name has no '/', at most 255 bytes, and does not end in .iso")
        path = self._folders[0] / DISKS / owner / relative
        path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        kind = FORMATS.get(path.suffix.lower(), OWN_FORMAT)
        self._write(Claim(owner, str(path), kind, time.time()))
        return Found(relative, path, kind)

    def disclaim(self, found: Found) -> None:
        """The disk was not made after all."""
        found.path.unlink(missing_ok=True)
        self._claim_file(found.path).unlink(missing_ok=True)

    def must_be_usable(self, path: str, vm: VmSpec, *, dvd: bool) -> None:
        """That a medium that was attached before may still be: it is there, no link by now, and not someone else's."""
        real, name = Path(os.path.realpath(path)), self.name_of(Path(path))
        if str(real) != path or not _is_file(real) or not any(home in real.parents for home in self._folders):
            raise _missing(name)
        if dvd:
            self.dvd(name)
        else:
            self._claimed(real, _owner(vm), name)

    def name_of(self, path: Path) -> str:
        """What the owner of a medium calls it."""
        for home in self._folders:
            if home / DISKS in path.parents:
                return path.name
            if home in path.parents:
                return str(path.relative_to(home))
        return path.name

    def _relative(self, name: str) -> str:
        """A medium's name, which may be a path below a media folder; the same error for all that can't be one."""
        if not self._folders:
            raise _refused(name[:80], "this host has no media folder: set CORRAL_MEDIA")
        if not 0 < len(name) <= LONGEST or not name.isprintable() or '"' in name:
            raise _refused(name[:80], "it is empty, too long, or has characters that no medium's name has")
        path = Path(name)
        if path.is_absolute():
            real = Path(os.path.realpath(path.parent)) / path.name
            home = next((home for home in self._folders if home in real.parents), None)
            if home is None:
                raise _missing(name)
            path = real.relative_to(home)
        if not path.parts or any(part.startswith(".") for part in path.parts):
            raise _missing(name)
        return str(path)

    def _own(self, owner: str, relative: str) -> Path | None:
        """A disk in its owner's folder."""
        if "/" in relative:
            return None
        found = (home / DISKS / owner / relative for home in self._folders)
        return next((path for path in found if _is_file(path)), None)

    def _shared(self, relative: str) -> Path | None:
        """A regular file that the operator has put there, by its real path."""
        for home in self._folders:
            real = Path(os.path.realpath(home / relative))
            inside = home in real.parents and not any(part.startswith(".") for part in real.relative_to(home).parts)
            if inside and _is_file(real):
                return real
        return None

    def _claimed(self, real: Path, owner: str, name: str) -> str:
        """The format of a disk, which is the owner's from now on."""
        file = self._claim_file(real)
        if not file.exists():
            kind = FORMATS.get(real.suffix.lower(), OWN_FORMAT)
            self._must_begin_as(real, kind, name)
            self._write(Claim(owner, str(real), kind, time.time()))
        found = _read(file)
        if (found.owner, found.medium) != (owner, str(real)):
            raise _missing(name)
        if not found.format:  # a record of an older release, which went by the name's ending alone
            found = replace(found, format=FORMATS.get(real.suffix.lower(), OWN_FORMAT))
        return found.format

    def _must_begin_as(self, real: Path, kind: str, name: str) -> None:
        try:
            diskformats.must_begin_as(real, kind)
        except Invalid as error:
            raise _refused(name, error.message) from None

    def _owner_of(self, real: Path) -> str:
        file = self._claim_file(real)
        return _read(file).owner if file.exists() else ""

    def _write(self, claim: Claim) -> None:
        """Writes the record of a disk, unless it has one."""
        file = self._claim_file(Path(claim.medium))
        file.parent.mkdir(mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".new-") as new:
            json.dump(asdict(claim), new)
            new.flush()
            os.fsync(new.fileno())
            with contextlib.suppress(FileExistsError):  # whoever was first has it
                os.link(new.name, file)

    def _claim_file(self, real: Path) -> Path:
        home = next(home for home in self._folders if home in real.parents)
        return home / CLAIMS / hashlib.sha256(bytes(real)).hexdigest()


def _owner(vm: VmSpec) -> str:
    owner = vm.owner or vm.id
    if not _OWNER.fullmatch(owner):
        raise DriverFailure(f"'{owner[:80]}' can't be the id of an owner", code="invalid_request")
    return owner


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:  # not there, or a name that none can have
        return False


def _read(file: Path) -> Claim:
    try:
        return decode(Claim, file.read_bytes())
    except (OSError, Invalid):
        return Claim("?", "")  # damaged, so that nobody knows whose it is


def _missing(name: str) -> DriverFailure:
    return _refused(name[:80], "there is no such file among the host's media that you may use so")


def _refused(name: str, why: str) -> DriverFailure:
    return DriverFailure(f"medium {name!r} can't be used: {why}", code="invalid_request")
