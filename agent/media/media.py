"""The media of a host: their owners, formats and paths.

A disk that is made here goes into a folder of its owner, where no other owner's names reach. A file that the operator
puts into a media folder is offered to all: an `.iso` stays so, a disk is theirs who attach it first. What is not one's
own is answered as what is not there.

A disk's format is decided once, when it is made or first attached, and kept in its record: what a guest writes to it
later is data, and never looked at.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.media import records
from agent.media.records import FORMATS, OWN_FORMAT, Claim, Records
from core.contract import diskformats
from core.contract.diskformats import ISO, RAW
from core.contract.errors import DriverFailure, Invalid
from core.contract.hosts import ReportedMedium
from core.contract.messages import VmSpec

DISKS = ".disks"
LONGEST = 1000
DVD = ".iso"
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True)
class UsableMedium:
    """A medium that may be used: its name, which its owner knows it by, its real path, and its format."""

    name: str
    path: Path
    format: str


class MediaFolders:
    """The media folders of a host; the first is where relative paths begin. Errors have code "invalid_request"."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [Path(os.path.realpath(folder)) for folder in folders]
        self._records = Records(self._folders)

    def disk(self, name: str, vm: VmSpec) -> UsableMedium:
        """The disk that the VM's owner means, theirs from now on if it was nobody's."""
        owner, relative = _owner(vm), self._relative(name)
        own = self._own(owner, relative)
        if own is not None:
            return UsableMedium(relative, own, self._claimed(own, vm, relative))
        real = self._shared(relative)
        if real is None or real.suffix.lower() == DVD:
            raise _missing(name)
        return UsableMedium(self.name_of(real), real, self._claimed(real, vm, relative))

    def dvd(self, name: str) -> UsableMedium:
        """A DVD, which is a file that ends in `.iso` and is nobody's disk."""
        relative = self._relative(name)
        real = self._shared(relative)
        if real is None or real.suffix.lower() != DVD or self._records.file(real).exists():
            raise _missing(name)
        self._must_begin_as(real, ISO, relative)
        return UsableMedium(relative, real, RAW)

    def is_there(self, name: str, vm: VmSpec) -> bool:
        """Whether `disk` would find that disk."""
        owner, relative = _owner(vm), self._relative(name)
        real = self._shared(relative)
        if self._own(owner, relative) is not None:
            return True
        return real is not None and real.suffix.lower() != DVD and self._records.owner_of(real) in ("", owner)

    def reserve(self, name: str, vm: VmSpec, medium_id: str = "") -> UsableMedium:
        """Where a new disk of that name is to be made; it is the owner's already. `disclaim` when nothing was made."""
        owner, relative = _owner(vm), self._relative(name)
        if "/" in relative or len(os.fsencode(relative)) > 255 or Path(relative).suffix.lower() == DVD:
            raise _refused(name, "a new disk's name must have at most 255 bytes, no '/', and not end in .iso")
        path = self._folders[0] / DISKS / owner / relative
        path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        kind = FORMATS.get(path.suffix.lower(), OWN_FORMAT)
        with self._records.held():
            if self._records.file(path).exists() and records.read(self._records.file(path)).vm not in ("", vm.id):
                raise DriverFailure(f"'{relative}' is being created for another VM", code="disk_in_use")
            self._records.write(Claim(owner, str(path), kind, time.time(), medium_id or records.new_id(), vm.id))
        return UsableMedium(relative, path, kind)

    def disclaim(self, found: UsableMedium) -> None:
        """The disk was not made after all."""
        found.path.unlink(missing_ok=True)
        self._records.file(found.path).unlink(missing_ok=True)

    def reported(self) -> list[ReportedMedium]:
        """All disks that have an owner, for the control plane."""
        if not self._folders:
            return []
        with self._records.held():
            claims = [claim for _, claim in self._records.all() if _is_file(Path(claim.medium))]
        return [self._medium(claim) for claim in claims]

    def note_attached(self, vm: VmSpec, attached: Collection[str]) -> None:
        """Keeps in the records that the VM has its owner's disks of these names, and no others."""
        self._each_of(vm, lambda name: vm.id if name in attached else "")

    def leave(self, vm: VmSpec, *, delete: bool) -> None:
        """The VM is gone: its disks are nobody's now but their owner's, or go too."""
        if delete:
            for medium in self.reported():
                if medium.vm_id == vm.id:
                    self.delete(medium.id, of=vm.id)
        self._each_of(vm, lambda _name: "")

    def delete(self, medium_id: str, *, of: str = "") -> None:
        """Removes a disk, unless it is gone; code "disk_in_use" when another VM than `of` has it."""
        if not self._folders:
            return
        with self._records.held():
            for file, claim in self._records.all():
                if claim.id != medium_id:
                    continue
                if claim.vm not in ("", of):
                    raise DriverFailure(
                        f"medium '{self.name_of(Path(claim.medium))}' is attached to a VM: detach it first",
                        code="disk_in_use",
                    )
                Path(claim.medium).unlink(missing_ok=True)
                file.unlink()

    def _each_of(self, vm: VmSpec, of: Callable[[str], str]) -> None:
        """Writes who has each disk of the VM's owner that is this VM's, or is to be."""
        if not self._folders:
            return
        with self._records.held():
            for _, claim in self._records.all():
                wanted = of(self.name_of(Path(claim.medium)))
                if claim.owner == _owner(vm) and claim.vm in ("", vm.id) and claim.vm != wanted:
                    self._records.write(replace(claim, vm=wanted))

    def _medium(self, claim: Claim) -> ReportedMedium:
        path, kind = Path(claim.medium), records.format_of(claim)
        size, used = 0, None
        with contextlib.suppress(OSError, Invalid):
            used = path.stat().st_blocks * diskformats.SECTOR
            size = path.stat().st_size
            size = diskformats.size_of(path, kind)
        made = any(home / DISKS in path.parents for home in self._folders)
        return ReportedMedium(
            claim.id, claim.owner, self.name_of(path), kind, size, used, claim.vm, made, max(0.0, claim.created_at)
        )

    def must_be_usable(self, path: str, vm: VmSpec, *, dvd: bool) -> None:
        """That a medium that was attached before may still be: it is there, no link by now, and not someone else's."""
        real, name = Path(os.path.realpath(path)), self.name_of(Path(path))
        if str(real) != path or not _is_file(real) or not any(home in real.parents for home in self._folders):
            raise _missing(name)
        if dvd:
            self.dvd(name)
        else:
            self._claimed(real, vm, name)

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
            raise _refused(name[:80], "the name is empty, too long or has invalid characters")
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

    def _claimed(self, real: Path, vm: VmSpec, name: str) -> str:
        """The format of a disk, which is the owner's from now on, and this VM's unless another has it."""
        with self._records.held():
            file = self._records.file(real)
            if not file.exists():
                kind = FORMATS.get(real.suffix.lower(), OWN_FORMAT)
                self._must_begin_as(real, kind, name)
                self._records.write(Claim(_owner(vm), str(real), kind, time.time(), records.new_id(), vm.id))
            found = records.read(file)
            if (found.owner, found.medium) != (_owner(vm), str(real)):
                raise _missing(name)
            if not found.vm:
                self._records.write(replace(found, vm=vm.id))
        return records.format_of(found)

    def _must_begin_as(self, real: Path, kind: str, name: str) -> None:
        try:
            diskformats.must_begin_as(real, kind)
        except Invalid as error:
            raise _refused(name, error.message) from None


def _owner(vm: VmSpec) -> str:
    owner = vm.owner or vm.id
    if not _OWNER.fullmatch(owner):
        raise DriverFailure(f"'{owner[:80]}' is not a valid owner id", code="invalid_request")
    return owner


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:  # not there, or a name that none can have
        return False


def _missing(name: str) -> DriverFailure:
    return _refused(name[:80], "the host has no such file among the media that you may use")


def _refused(name: str, why: str) -> DriverFailure:
    return DriverFailure(f"medium {name!r} can't be used: {why}", code="invalid_request")
