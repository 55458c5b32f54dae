"""The root file system as a disk: a tar becomes ext4 becomes qcow2, without root and without loop devices."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from cli.image.log import Log
from cli.image.rootfs import EPOCH

STAGING = "./corral"  # what customize.sh left for us, not for the guest
TIMEOUT_SECONDS = 300


def build(disk: Path, root: Path, work: Path, log: Log, *, uuid: str, size_gb: int) -> None:
    """Write the qcow2 `disk` with what is in the tar `root`; `uuid` names the file system."""
    tree, raw, stamps = work / "tree", work / "disk.raw", work / "stamps"
    tree.mkdir()
    stamps.write_text(_stamps(root))
    script = work / "mke2fs.sh"
    script.write_text(
        f"""set -eu
tar -x -f {root} -C {tree} --numeric-owner --same-permissions --xattrs --xattrs-include='*' \\
    --exclude='{STAGING}' --exclude='./dev/*'
mke2fs -q -t ext4 -d {tree} -L root -m 1 -U {uuid} -J size=16 \\
    -E assume_storage_prezeroed=1,hash_seed={uuid},root_owner=0:0 {raw} {size_gb}G
debugfs -w -f {stamps} {raw} > /dev/null
"""
    )
    env = {**os.environ, "E2FSPROGS_FAKE_TIME": str(EPOCH), "LC_ALL": "C.UTF-8"}
    env["PATH"] = f"{env.get('PATH', '')}:/usr/sbin:/sbin"
    log.run(["fakeroot", "sh", script], timeout=TIMEOUT_SECONDS, env=env)
    log.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk], timeout=TIMEOUT_SECONDS, env=env)


def _stamps(root: Path) -> str:
    """Commands for debugfs: mke2fs copies the times of access and change, which are those of unpacking."""
    with tarfile.open(root) as tar:
        names = [member.name for member in tar if not member.name.startswith((STAGING, "./dev/"))]
    return "".join(
        f'set_inode_field "/{name.removeprefix("./")}" {field} @{EPOCH}\n'
        for name in names
        for field in ("atime", "ctime")
    )
