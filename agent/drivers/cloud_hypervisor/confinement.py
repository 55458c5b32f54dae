"""Confinement of a VM's process: the files that it may open, and the folders where it may create files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agent.drivers.local import confinement, trial
from agent.drivers.local.folder import LocalVmFolder
from agent.drivers.local.handing import Handing
from agent.drivers.places import AttachedMedium
from agent.network.namespaces import TAP
from agent.network.network import HostNetworking
from agent.system import process
from core.contract.vms import Adapter

DRIVER = "cloud-hypervisor"
LOG = f"{DRIVER}.log"
RUN = "run"  # the one folder of a VM's in which its process makes files
MEDIA = "media"
INSIDE = ("nat", "null")  # modes of adapters whose taps are in its namespace


@contextmanager
def started(
    folder: LocalVmFolder, network: HostNetworking, adapters: Sequence[Adapter], args: Sequence[str], group: Path | None
) -> Iterator[process.Daemon]:
    """The process, in a namespace if an adapter of its has no other network."""
    inside = [replace(each, mode="nat") if each.mode in INSIDE else each for each in adapters]
    devices = [trial.DEVICE] if trial.DEVICE.exists() else []
    confined = confinement.of(folder, network.user_mode, inside, devices=devices)
    confined.prepare(folder)
    run = folder.path / RUN
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(mode=0o700)
    if confined.user is not None:
        confined.user.own(run, 0o700)
        if folder.snapshots.exists():
            confined.user.may_enter(folder.snapshots)
    # What it makes is for nobody else; the agent is root, or the same user.
    private = ["sh", "-c", 'umask 077; exec "$0" "$@"', *args]
    with confined.started(folder, private, Handing(), group, driver=DRIVER, shape=TAP) as begun:
        yield begun


def lend(folder: LocalVmFolder, medium: AttachedMedium, name: str) -> str:
    """A medium's path for a VM that is on, or about to be: a name in the VM's folder where that can be, as its user may
    not come by all folders on the way."""
    path, link, user = Path(medium.path), folder.path / MEDIA / name, folder.user
    if user is None:
        return medium.path
    link.unlink(missing_ok=True)
    if medium.type == "dvd":
        path.chmod(path.stat().st_mode | 0o444)
    else:
        user.own(path)
    link.parent.mkdir(mode=0o700, exist_ok=True)
    user.may_enter(link.parent)
    try:
        link.hardlink_to(path)
    except OSError:  # another file system, or one without links
        return medium.path
    return f"{MEDIA}/{name}"
