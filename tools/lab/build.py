"""Building the lab: each part once for a recipe, in a cache outside the checkout, never written to afterwards."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cli.image import disk, rootfs
from cli.image.log import Log
from core import images
from tools.lab import guests, recipe, site

PROGRAMS = "programs"
IMAGES_DISK = "images.raw"
KEPT = 2  # of each part: another checkout may need the one before
UNPACK_SECONDS = 120
UNPACKED = (
    *("./usr/bin", "./usr/lib/x86_64-linux-gnu", "./usr/lib64", "./usr/share/qemu", "./usr/share/seabios"),
    f"./{guests.ADDITIONS}",
)


@dataclass(frozen=True)
class Built:
    """Where the parts are. In a host's folder are `disk.qcow2` and `vmlinuz`."""

    programs: Path
    hosts: dict[str, Path]
    images_disk: Path


def build(cache: Path, say: Callable[[str], None]) -> Built:
    """All parts, those that are missing built now; `BuildFailed` ends with the end of the log."""
    cache.mkdir(parents=True, exist_ok=True)
    programs = _part(cache, PROGRAMS, _programs, say)
    hosts = {
        recipe.KVM.name: _part(cache, recipe.KVM.name, partial(_kvm_host, programs), say),
        recipe.VBOX.name: _part(cache, recipe.VBOX.name, _vbox_host, say),
    }
    return Built(programs, hosts, hosts[recipe.KVM.name] / IMAGES_DISK)


def _part(cache: Path, name: str, make: Callable[[Path, Path, Log], None], say: Callable[[str], None]) -> Path:
    place = cache / f"{name}-{recipe.key(name)}"
    if not place.exists():
        with images.locked(cache, name, say):
            if not place.exists():  # by another process, while we waited
                _make(cache, name, place, make, Log(cache / f"{name}.log", say))
    os.utime(place)
    _forget_old(cache, name)
    return place


def _make(cache: Path, name: str, place: Path, make: Callable[[Path, Path, Log], None], log: Log) -> None:
    with images.staging(cache) as work:
        made = work / "made"
        made.mkdir()
        make(made, work, log)
        made.rename(place)
    log.say(f"{name} is ready: {place}")


def _programs(made: Path, work: Path, log: Log) -> None:
    root = work / "root.tar"
    with log.step("programs: fetching QEMU and Guest Additions from Debian's packages"):
        rootfs.build(recipe.PROGRAMS, root, work, log)
    unpack: list[str | Path] = ["tar", "-x", "-f", root, "-C", made, *UNPACKED]
    log.run(unpack, timeout=UNPACK_SECONDS, env=dict(os.environ))


def _kvm_host(programs: Path, made: Path, work: Path, log: Log) -> None:
    root = _host(recipe.KVM, made, work, log)
    with log.step(f"{recipe.KVM.name}: making the guests' images"):
        store = work / "store"
        guests.build(store, root, programs, work, log)
        pack_folder(store, made / IMAGES_DISK, "corral-images", log)


def _vbox_host(made: Path, work: Path, log: Log) -> None:
    _host(recipe.VBOX, made, work, log)


def _host(host: recipe.LabHost, made: Path, work: Path, log: Log) -> Path:
    """Write its disk and kernel; the tar of its root."""
    root, packages = work / "root.tar", work / "site"
    with log.step(f"{host.name}: fetching the agent's Python packages"):
        site.build(packages, host.python, log)
    with log.step(f"{host.name}: fetching and installing Debian's packages"):
        rootfs.build(host.root(packages), root, work, log)
    with log.step(f"{host.name}: making the disk"):
        disk.build(made / "disk.qcow2", root, work, log, uuid=host.uuid, size_gb=host.disk_gb)
    with tarfile.open(root) as tar, (made / "vmlinuz").open("wb") as kernel:
        file = tar.extractfile("./corral/vmlinuz")
        shutil.copyfileobj(file, kernel) if file else None
    return root


def pack_folder(folder: Path, file: Path, label: str, log: Log) -> None:
    """Write `file`, a disk with a file system of that label that holds what is in the folder."""
    size = sum(path.stat().st_blocks * 512 + 4096 for path in folder.rglob("*"))
    # No journal: it is written once.
    options = ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-L", label]
    command: list[str | Path] = ["mke2fs", *options, "-d", folder, file, f"{size // 900_000 + 8}M"]
    env = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    log.run(command, timeout=UNPACK_SECONDS, env=env)


def _forget_old(cache: Path, name: str) -> None:
    places = sorted(cache.glob(f"{name}-*"), key=lambda place: place.stat().st_mtime, reverse=True)
    for place in places[KEPT:]:
        shutil.rmtree(place, ignore_errors=True)
