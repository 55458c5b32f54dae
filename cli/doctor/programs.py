"""Debian's packages, by the programs that they bring."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from cli.doctor.checks import CheckState, MachineCheck, Needs, absent
from core import packages
from core.packages import Package

PURPOSE = {
    "control": "the control plane",
    "qemu": "hosts with QEMU",
    "network": "guests' way to the network",
    "bridge": "hosts that offer a bridge",
    "image": "building linux-default",
    "rootless": "building linux-default without root",
}


def check_all(wanted: Needs) -> list[MachineCheck]:
    """One check a package of what runs Corral, in the list's order; drivers look for their own programs."""
    return [_check(package, wanted) for package in packages.read() if package.role in PURPOSE]


def fix_of(*roles: str) -> str:
    """The command that brings what these roles lack; "" when that is nothing."""
    return _fix([package for package in packages.read() if package.role in roles and not _find(package)])


def _check(package: Package, wanted: Needs) -> MachineCheck:
    found = _find(package)
    if found:
        return MachineCheck(package.role, package.name, CheckState.OK, found)
    there = _files(package)
    lacking = f"no {Path(package.brings).name}, for {PURPOSE[package.role]}"
    told = f"{there[0]} is not in PATH" if there else lacking
    return MachineCheck(package.role, package.name, absent(_needed(package, wanted)), told, _fix([package]))


def _fix(lacking: Sequence[Package]) -> str:
    """Packages to install, and folders to look in, for those that are there and not found."""
    folders = sorted({shlex.quote(str(Path(there[0]).parent)) for each in lacking if (there := _files(each))})
    export = ":".join(['export PATH="$PATH"', *folders]) if folders else ""
    return " && ".join(filter(None, (packages.install(each.name for each in lacking if not _files(each)), export)))


def _find(package: Package) -> str:
    """Where its file is; programs as those who start them look: in PATH, but for PostgreSQL's and those of builds."""
    there = _files(package)
    path = Path(package.brings)
    if not path.parent.name.endswith("bin") or "*" in package.brings:
        return there[0] if there else shutil.which(path.name) or ""
    return shutil.which(path.name) or (there[0] if there and package.role == "image" else "")


def _files(package: Package) -> list[str]:
    return sorted(map(str, Path("/").glob(package.brings.removeprefix("/"))))


def _needed(package: Package, wanted: Needs) -> bool:
    if package.name.startswith("postgresql"):
        return wanted.database
    if package.name == "redis-server":
        return wanted.redis
    root = os.geteuid() == 0
    return {
        # Where we are root the kernel's rules hold VMs' users, and no namespace is needed.
        "slirp4netns": wanted.offers("cloud-hypervisor") or (wanted.offers("qemu") and not root),
        "util-linux": wanted.database or wanted.runs_guests,
        "nftables": wanted.offers("cloud-hypervisor", "qemu"),
        "qemu-utils": wanted.runs_guests,
    }.get(package.name, _role_needed(package.role, wanted))


def _role_needed(role: str, wanted: Needs) -> bool:
    return {"control": True, "qemu": wanted.offers("qemu"), "image": wanted.builds_image}.get(role, False)
