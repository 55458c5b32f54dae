"""The users of VMs' processes: if the agent is root, each VM has one of its own, which needs no name.

A VM's is kept in its folder (`user`), and taken while there is a file of that number in `.users`, beside the folders.
The search for a free one begins at a number that the VM's id gives, so that the VMs of two agents of a machine differ
too. Where the agent is not root, VMs run as it does.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core import durable
from core.contract.errors import DriverFailure

SHELF, FILE = ".users", "user"
DEFAULT = (2_000_000, 2_999_999)
TRIES = 10_000


@dataclass(frozen=True)
class SystemUser:
    """A user and the group of the same number."""

    uid: int

    def command(self, *groups: int) -> list[str]:
        """What to put before a command, so that it runs as this user, with no privilege and no way to one."""
        more = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
        return [
            *["setpriv", "--reuid", str(self.uid), "--regid", str(self.uid), *more],
            *["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"],
        ]

    def own(self, path: Path, mode: int = 0o600) -> None:
        """Makes a file or folder its own. A link is not followed, and what has more than one name stays as it is."""
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if stat.S_ISLNK(found.st_mode) or (found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode)):
                raise DriverFailure(f"'{path.name}' of a VM is a link, so its owner can't be changed")
            there = Path(f"/proc/self/fd/{descriptor}")
            if (found.st_uid, found.st_gid) != (self.uid, self.uid):
                os.chown(there, self.uid, self.uid)
            if stat.S_IMODE(found.st_mode) != mode:
                there.chmod(mode)
        finally:
            os.close(descriptor)

    def may_enter(self, folder: Path) -> None:
        """Lets it pass a folder of the agent's, in which it can neither list nor change anything."""
        os.chown(folder, -1, self.uid)
        folder.chmod(0o710)


@dataclass(frozen=True)
class Users:
    """All users that VMs may run as, `first` to `last`."""

    first: int = DEFAULT[0]
    last: int = DEFAULT[1]

    def take(self, vms: Path, vm_id: str) -> SystemUser:
        """The VM's own, now and whenever asked again. Its folder is there."""
        folder = vms / vm_id
        if (user := known(folder)) is not None:
            return user
        shelf = vms / SHELF
        shelf.mkdir(mode=0o700, exist_ok=True)
        user = SystemUser(next(uid for uid in self._in_turn(vm_id) if _reserved(shelf / str(uid), vm_id)))
        durable.write(folder / FILE, str(user.uid))
        return user

    def release(self, vms: Path, vm_id: str) -> None:
        """The VM is about to be removed."""
        user = known(vms / vm_id)
        if user is not None:
            (vms / SHELF / str(user.uid)).unlink(missing_ok=True)

    def _in_turn(self, vm_id: str) -> Iterator[int]:
        count = self.last - self.first + 1
        start = int.from_bytes(hashlib.sha256(vm_id.encode()).digest()[:8], "big")
        for step in range(min(count, TRIES)):
            yield self.first + (start + step) % count
        raise DriverFailure(
            f"no user is left for VM {vm_id} from {self.first} to {self.last}: widen CORRAL_VM_UIDS", code="no_capacity"
        )


def known(folder: Path) -> SystemUser | None:
    """The user of the VM of that folder; None for one that has none yet."""
    with suppress(OSError, ValueError):
        return SystemUser(int((folder / FILE).read_text()))
    return None


def _reserved(file: Path, vm_id: str) -> bool:
    """Whether the number is that VM's: since just now, or since a start that was cut off."""
    try:
        with file.open("x") as new:
            new.write(vm_id)
    except FileExistsError:
        return file.read_text() == vm_id
    return True


def group_of_device(device: Path, users: Users) -> list[int]:
    """The groups that a user of a VM needs, so as to use a device of the host's.

    One that is root's alone, as where no udev has given it to a group, is given to the first of the users' groups.
    """
    found = device.stat()
    if found.st_mode & 0o006 == 0o006:
        return []
    if found.st_gid == 0 or found.st_mode & 0o060 != 0o060:
        os.chown(device, -1, users.first)
        device.chmod(0o660)
        return [users.first]
    return [found.st_gid]


def as_root() -> bool:
    """Whether this process may become any user."""
    return os.name == "posix" and os.geteuid() == 0
