"""Running VBoxManage in the root: each call has mounts of its own, so that none is left behind whatever happens."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tools.virtualbox import recipe

END_SECONDS = 10.0
_MOUNT = """#!/bin/sh
# Run by the tests as VBoxManage. Sees of this machine: /dev, /proc and the folders below, at their own places.
exec unshare --mount --propagation private sh -ec '
    root=$1 home=$2; shift 2
    mount -t tmpfs tmpfs "$root/mnt"
    mkdir "$root/mnt/upper" "$root/mnt/work" "$root/mnt/root"
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$root/mnt/upper,workdir=$root/mnt/work" "$root/mnt/root"
    cd "$root/mnt/root"
    mount -t proc proc proc
    mount --rbind /dev dev
    mount --bind "$home/tmp" tmp
    while [ "$1" != -- ]; do mkdir -p ".$1"; mount --bind "$1" ".$1"; shift; done
    shift
    exec chroot . env -i HOME=/root LOGNAME=root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin VBOX_USER_HOME="$home" "$@"
' sh """


class Sandbox:
    """A VirtualBox of one's own: its settings, its server and its sockets live in `home`.

    `program` is an executable that takes VBoxManage's arguments. `shares` are further folders that it sees.
    """

    def __init__(self, root: Path, home: Path, shares: Sequence[Path] = ()) -> None:
        self._home = home
        (home / "tmp").mkdir(parents=True, exist_ok=True)
        arguments = [root, home, home, *shares, "--", recipe.VBOXMANAGE]
        self.program = home / "VBoxManage"
        self.program.write_text(_MOUNT + shlex.join(map(str, arguments)) + ' "$@"\n')
        self.program.chmod(0o755)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends VirtualBox's server and whatever else runs in here: VMs too."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + END_SECONDS
            while (pids := self._pids()) and time.monotonic() < deadline:
                for pid in pids:
                    _signal(pid, number)
                time.sleep(0.05)

    def _pids(self) -> list[int]:
        mark = f"VBOX_USER_HOME={self._home}".encode()
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if mark in _environment(path)]


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended meanwhile
        return []


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has just ended by itself
