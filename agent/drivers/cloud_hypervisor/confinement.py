"""What a VM's process may do on its host: whom it runs as, which files are its own, and where its network is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent import process
from agent.drivers.local import daemon, trial
from agent.drivers.local.folder import Folder
from agent.drivers.places import Medium
from agent.network.namespaces import TAP
from agent.network.network import Network
from agent.users import User, group_of_device
from core.contract import pidfiles
from core.contract.vms import Adapter

PID_FILE = daemon.PID_FILES["cloud-hypervisor"]
LOG = "cloud-hypervisor.log"
RUN = "run"  # the one folder of a VM's in which its process makes files
MEDIA = "media"
INSIDE = ("nat", "null")  # modes of adapters whose taps are in its namespace


@dataclass(frozen=True)
class Confinement:
    """`user`: whom it runs as, with `groups`; None: as the agent does. `namespace`: it has a network of its own."""

    network: Network
    user: User | None
    groups: list[int]
    namespace: bool

    def prepare(self, folder: Folder) -> None:
        """A fresh folder for what it makes; what it opens is its own, or the image's, which is for all to read."""
        run = folder.path / RUN
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(mode=0o700)
        if self.user is None:
            return
        self.user.own(run, 0o700)
        for each in (folder.path, folder.layers, folder.image, folder.snapshots):
            if each.exists():
                self.user.may_enter(each)
        for path in folder.layers.iterdir():
            self.user.own(path)
        for path in folder.image.glob("*"):
            path.chmod(path.stat().st_mode | 0o444)

    def lend(self, folder: Folder, medium: Medium, name: str) -> str:
        """A medium's path for a VM that is on, or about to be: a name in the VM's folder where that can be, as its user
        may not come by all folders on the way."""
        path, link = Path(medium.path), folder.path / MEDIA / name
        if self.user is None:
            return medium.path
        link.unlink(missing_ok=True)
        if medium.type == "dvd":
            path.chmod(path.stat().st_mode | 0o444)
        else:
            self.user.own(path)
        link.parent.mkdir(mode=0o700, exist_ok=True)
        self.user.may_enter(link.parent)
        try:
            link.hardlink_to(path)
        except OSError:  # another file system, or one without links
            return medium.path
        return f"{MEDIA}/{name}"

    @contextmanager
    def started(self, folder: Folder, args: Sequence[str], group: Path | None) -> Iterator[process.Daemon]:
        """The process, which holds the lock on its pid file."""
        log, pid_file = folder.path / LOG, folder.path / PID_FILE
        with ExitStack() as close:
            lock = pidfiles.take(pid_file)
            close.callback(os.close, lock)
            first = self.user.command(*self.groups) if self.user else ["setpriv", "--no-new-privs", "--"]
            if self.namespace:
                user_mode = self.network.user_mode
                entry = close.enter_context(user_mode.entering(folder.path, TAP, self.user, self.groups))
                first, held = entry.command, [lock, *entry.holding]
                begun = process.spawn(
                    [*first, *_private(args)], folder=folder.path, log=log, holding=held, group=group, pid_file=pid_file
                )
                entry.connect(group)
            else:
                begun = process.spawn(
                    [*first, *_private(args)],
                    folder=folder.path,
                    log=log,
                    holding=[lock],
                    group=group,
                    pid_file=pid_file,
                )
        with begun:
            yield begun


def of(folder: Folder, network: Network, adapters: Sequence[Adapter]) -> Confinement:
    """That of a VM which is about to be started, or has been."""
    users = network.user_mode.users
    user = users.take(folder.path.parent, folder.path.name) if users else None
    groups = group_of_device(trial.DEVICE, users) if users and trial.DEVICE.exists() else []
    return Confinement(network, user, groups, any(each.mode in INSIDE for each in adapters))


def _private(args: Sequence[str]) -> list[str]:
    """What it makes is for nobody else; the agent is root, or the same user."""
    return ["sh", "-c", 'umask 077; exec "$0" "$@"', *args]
