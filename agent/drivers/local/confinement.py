"""Confinement of a VM's process on its host: its user, its files, and its network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.drivers.local import daemon
from agent.drivers.local.folder import LocalVmFolder
from agent.drivers.local.handing import Handing
from agent.network.namespaces import SOCKETS, Namespace, NamespaceAddresses
from agent.network.user_mode import UserMode, Way
from agent.system import process
from agent.system.users import SystemUser, group_of_device
from core.contract.vms import Adapter


@dataclass(frozen=True)
class Confinement:
    """`user`: whom it runs as, with `groups`; None: as the agent does. `way`: None where no adapter is in user mode."""

    user: SystemUser | None
    groups: list[int]
    way: Way | None
    user_mode: UserMode

    def prepare(self, folder: LocalVmFolder, *names: str) -> None:
        """Makes its own what it opens by itself, the layers and files of these names, and lets it read the image.

        All else is handed to it open.
        """
        for file in folder.layers.iterdir():
            folder.give(file)
        for name in names:
            folder.give(folder.path / name)
        if self.user is not None:
            for each in (folder.path, folder.layers, *([folder.image] if folder.image.exists() else [])):
                self.user.may_enter(each)
            for file in folder.image.glob("*"):
                _readable(file)

    @contextmanager
    def started(
        self,
        folder: LocalVmFolder,
        args: Sequence[str],
        handing: Handing,
        group: Path | None,
        *,
        driver: str = "qemu",
        shape: NamespaceAddresses = SOCKETS,
    ) -> Iterator[process.Daemon]:
        """The process, with what is handed to it, which nobody else has open any more.

        What it says is in `<driver>.log`. With a `shape` of TAP it is in a namespace whatever the way.
        """
        log, pid_file = folder.path / f"{driver}.log", folder.path / daemon.PID_FILES[driver]
        with handing:
            handing.pid_file(pid_file)
            if self.way is Way.NAMESPACE or (self.way is not None and shape is not SOCKETS):
                with self.user_mode.entering(folder.path, shape, self.user, self.groups) as entry:
                    held = [*handing.descriptors, *entry.holding]
                    started = process.spawn(
                        [*entry.command, *args],
                        folder=folder.path,
                        log=log,
                        holding=held,
                        group=group,
                        pid_file=pid_file,
                    )
                    entry.connect(group)
            else:
                first = self.user.command(*self.groups) if self.user else ["setpriv", "--no-new-privs", "--"]
                held = handing.descriptors
                started = process.spawn(
                    [*first, *args], folder=folder.path, log=log, holding=held, group=group, pid_file=pid_file
                )
        with started:
            yield started


def of(folder: LocalVmFolder, user_mode: UserMode, adapters: list[Adapter], *, devices: Sequence[Path]) -> Confinement:
    """That of a VM which is about to be started; `devices` of the host it has to use, as `/dev/kvm`."""
    Namespace(folder.path).wait_gone()
    users = user_mode.users
    user = users.take(folder.path.parent, folder.path.name) if users else None
    groups = [group for device in devices for group in group_of_device(device, users)] if users else []
    way = user_mode.ready() if any(each.mode == "nat" for each in adapters) else None
    return Confinement(user, groups, way, user_mode)


def _readable(file: Path) -> None:
    """An image's files are shared by all that use it, and written by nobody."""
    mode = file.stat().st_mode
    if mode & 0o444 != 0o444:
        file.chmod(mode | 0o444)
