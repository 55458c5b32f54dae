"""The machine itself: Python, KVM, rights, room on disks, images and ports."""

from __future__ import annotations

import grp
import os
import platform
import pwd
import shutil
import stat
from pathlib import Path

from cli.doctor import programs
from cli.doctor.checks import CheckState, MachineCheck, Needs, absent
from cli.fleet import home, ports
from cli.fleet.privileges import unprivileged
from cli.fleet.processes import StartFailed
from cli.image import recipe, rootfs
from cli.image.log import BuildFailed
from core.contract import images
from core.contract.errors import CorralError
from core.contract.hosts import DriverHealth
from core.settings import Settings, unknown
from core.units import GB

KVM = Path("/dev/kvm")
_SUBIDS = "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "


def python() -> MachineCheck:
    """Which one runs this, and so all parts: an older one than setup.cfg asks for could not have."""
    return MachineCheck("python", "python", CheckState.OK, platform.python_version())


def kvm(found: dict[str, DriverHealth], wanted: Needs) -> MachineCheck:
    """Whether there is a KVM, who may use it, and whether it runs a guest; without it QEMU emulates."""
    state = absent(wanted.hypervisors == ("cloud-hypervisor",))
    slow = "guests are emulated, and many times slower"
    if not KVM.exists():
        fix = "sudo modprobe -a kvm_intel kvm_amd   # after virtualization is turned on in the firmware"
        return MachineCheck("kvm", str(KVM), state, f"missing: {slow}", fix)
    users = _may_use(KVM)
    if not os.access(KVM, os.R_OK | os.W_OK):
        fix = f"sudo chgrp kvm {KVM} && sudo usermod --append --groups kvm {_user(os.geteuid())}   # then log in again"
        return MachineCheck("kvm", str(KVM), state, f"you may not use it, only {users} may: {slow}", fix)
    if found["qemu"].acceleration == "tcg":
        return MachineCheck("kvm", str(KVM), state, f"it exists, but runs no guest to the end of its boot: {slow}")
    return MachineCheck("kvm", str(KVM), CheckState.OK, f"for {users}")


def rights() -> MachineCheck:
    """Whom everything runs as, and what that means."""
    if os.geteuid() != 0:
        told = f"not root: VMs run as {_user(os.geteuid())}, each in a network namespace; bridges need root"
        return MachineCheck("rights", "user", CheckState.OK, told)
    try:
        server = unprivileged().pw_name
    except StartFailed as error:
        return MachineCheck("rights", "user", CheckState.MISSING, str(error), "sudo adduser --system postgres")
    told = f"root: each VM runs as a user of its own, PostgreSQL as {server}; bridges are possible"
    return MachineCheck("rights", "user", CheckState.OK, told)


def has_image(store: Path) -> bool:
    """Whether the default image is there."""
    try:
        images.read(store, recipe.NAME)
    except CorralError:
        return False
    return True


def image(store: Path, wanted: Needs) -> MachineCheck:
    """The image store, and the default image, which `corral up` builds where it may."""
    folder = _existing(store)
    if not os.access(folder, os.W_OK | os.X_OK):
        fix = "export CORRAL_IMAGES=FOLDER   # a folder that you can write to"
        return MachineCheck("image", "store", absent(wanted.runs_guests), f"you can't write to {folder}", fix)
    if has_image(store):
        return MachineCheck("image", recipe.NAME, CheckState.OK, str(store / recipe.NAME))
    try:
        rootfs.privilege()
    except BuildFailed as error:
        fix = programs.fix_of("rootless") or _SUBIDS + _user(os.geteuid())
        return MachineCheck("image", recipe.NAME, absent(wanted.builds_image), error.message, fix)
    told = f"not in {store}: the first `corral up` builds it, which takes minutes"
    return MachineCheck("image", recipe.NAME, CheckState.OPTIONAL, told, "corral image build")


def disks(settings: Settings) -> list[MachineCheck]:
    """Room for VMs and for images."""
    return [
        _room("home", settings.home, "CORRAL_HOME", settings.low_disk_mb),
        _room("images", settings.images, "CORRAL_IMAGES", settings.low_disk_mb),
    ]


def listening(settings: Settings) -> list[MachineCheck]:
    """The two ports that are not chosen at random."""
    holder = home.holder(settings.home)
    asked = (
        ("API", "CORRAL_PORT", settings.port, settings.host),
        ("Flower", "CORRAL_FLOWER_PORT", settings.flower_port, "127.0.0.1"),
    )
    return [_port(holder, settings.home, *each) for each in asked]


def variables() -> list[MachineCheck]:
    """Variables of the environment that look like settings, and are none."""
    return [
        MachineCheck(
            "setting",
            name,
            CheckState.OPTIONAL,
            f"not a setting{f': did you mean {meant}?' if meant else ''}",
            f"unset {name}",
        )
        for name, meant in unknown().items()
    ]


def _port(holder: str, folder: Path, name: str, variable: str, port: int, host: str) -> MachineCheck:
    if port == 0 or ports.is_free(port, host):
        return MachineCheck("port", name, CheckState.OK, f"{port} is free" if port else "any free one")
    if holder:
        return MachineCheck("port", name, CheckState.OK, f"{port}: a fleet runs in {folder} (process {holder})")
    return MachineCheck(
        "port", name, CheckState.MISSING, f"{port} is taken by another program", f"export {variable}=0   # any other"
    )


def _room(name: str, folder: Path, variable: str, low_mb: int) -> MachineCheck:
    place = _existing(folder)
    free = shutil.disk_usage(place).free
    told = f"{free / GB:.1f} GB free for {folder}"
    if free < low_mb * 2**20:
        fix = f"export {variable}=FOLDER   # on another disk, or free some of this one"
        return MachineCheck(
            "disk", name, CheckState.MISSING, f"{told}; a host with less than {low_mb} MB takes no new VMs", fix
        )
    return MachineCheck("disk", name, CheckState.OK, told)


def _existing(folder: Path) -> Path:
    """It, or the first above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _may_use(device: Path) -> str:
    status = device.stat()
    if status.st_mode & stat.S_IWOTH:
        return "everyone"
    of_group = f" and the group {_group(status.st_gid)}" if status.st_mode & stat.S_IWGRP else ""
    return f"{_user(status.st_uid)}{of_group}"


def _group(number: int) -> str:
    """Its name with its members; VMs of an agent that is root have groups without a name."""
    try:
        found = grp.getgrgid(number)
    except KeyError:
        return str(number)
    return f"{found.gr_name} ({', '.join(found.gr_mem) or 'no members'})"


def _user(number: int) -> str:
    """Its name, or the number of one that has none, as in a container."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
