"""The power of a VM: each change is requested, then awaited until VirtualBox shows it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.drivers import consoles
from agent.drivers.base import Progress
from agent.drivers.limits import Left
from agent.drivers.virtualbox import adapters, forwards, holding, sizes, states
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from agent.drivers.virtualbox.observing import UNREGISTERED
from agent.drivers.virtualbox.vboxmanage import VBoxManage, VBoxManageError
from agent.network.network import HostNetworking
from core.contract.errors import DriverFailure, Unsupported
from core.contract.messages import VmSpec
from core.contract.states import Observed

POLL_SECONDS = 0.2
ASK_AGAIN_SECONDS = 5.0
CUT_SECONDS = 20.0
DEVICE = Path("/dev/vboxdrv")
_NO_WINDOW = (
    "A window needs VirtualBox's GUI and a display that the agent may use: run the agent in a desktop session, or "
    "start the VM headless"
)


def missing_kernel_driver() -> str:
    """What to do about VirtualBox's kernel driver, without which no VM starts; "" where it is loaded."""
    if sys.platform != "linux" or DEVICE.exists():
        return ""
    return (
        "VirtualBox's kernel driver is not loaded, so VMs can be created but not started: "
        "apt-get install virtualbox-dkms linux-headers-$(uname -r), then modprobe vboxdrv"
    )


def word(manage: VBoxManage, folder: VirtualBoxVmFolder) -> str:
    """VirtualBox's word for the VM's state; `DriverFailure` when there is no such VM."""
    folder.record()
    info = manage.info(folder.uuid)
    if info is None or "VMState" not in info:
        raise DriverFailure(f"VM {folder.path.name}: {UNREGISTERED}", code="vm_not_found")
    return info["VMState"]


def switch_on(
    manage: VBoxManage, folder: VirtualBoxVmFolder, network: HostNetworking, vm: VmSpec, progress: Progress, left: Left
) -> None:
    """Running, from any state, its forwards in effect, on no network closed to it; off again when that fails."""
    before = word(manage, folder)
    if states.observed(before) is Observed.RUNNING:
        return
    if states.observed(before) is Observed.PAUSED:
        go_on(manage, folder, left)
        return
    if before in states.STUCK:
        cut(manage, folder, left)
    _refuse_unbootable(folder, vm)
    progress("starting", None)
    with _off_again(manage, folder):
        sizes.fit(manage, folder, vm, left)
        info = manage.info(folder.uuid) or {}
        adapters.must_be_joinable(info, network.joinable)
        forwards.fit(manage, folder, network.forward_address, vm, info, left)
        folder.change(spec=vm)
        consoles.attend(folder.path, folder.console)
        front = "gui" if vm.hardware.gui else "headless"
        group = None if missing_kernel_driver() else network.groups.ready()
        holding.server(network.groups, group)
        try:
            manage.unlocked("startvm", folder.uuid, "--type", front, timeout=left())
        except VBoxManageError as refused:
            problem = missing_kernel_driver() or refused.message + (f". {_NO_WINDOW}" if front == "gui" else "")
            raise DriverFailure(problem, code="operation_failed") from None
        _until(manage, folder, lambda now: now not in states.BUSY, left, progress)
        holding.machine(network.groups, group, folder)
        after = word(manage, folder)
        if states.observed(after) is not Observed.RUNNING:
            raise DriverFailure(f"VM '{vm.name}' was {after} right after its start: VBox.log in its folder says why")


def switch_off(
    manage: VBoxManage, folder: VirtualBoxVmFolder, grace_seconds: float, progress: Progress, left: Left
) -> None:
    """Asks the guest by its power button for as long as the grace lasts, then cuts."""
    deadline = time.monotonic() + min(grace_seconds, max(0.0, left() - CUT_SECONDS))
    ask_at = 0.0
    while _on(now := word(manage, folder)) and now not in states.STUCK and time.monotonic() < deadline:
        progress("waiting for the guest to shut down", None)
        if time.monotonic() >= ask_at:
            # What fails is asked again later; that it has ended meanwhile, the loop sees.
            with suppress(VBoxManageError):
                if states.observed(now) is Observed.PAUSED:
                    manage.change(folder.uuid, "controlvm", "resume")
                manage.change(folder.uuid, "controlvm", "acpipowerbutton")
            ask_at = time.monotonic() + ASK_AGAIN_SECONDS
        time.sleep(POLL_SECONDS)
    cut(manage, folder, left)


def cut(manage: VBoxManage, folder: VirtualBoxVmFolder, left: Left) -> None:
    """Off, at once, and not saved."""
    now = word(manage, folder)
    cut_if_on(manage, folder, now, left)
    if now in states.SAVED:
        discard(manage, folder)


def cut_if_on(manage: VBoxManage, folder: VirtualBoxVmFolder, now: str, left: Left) -> None:
    """The same for a machine of which there may be no more than VirtualBox knows; what is saved stays."""
    if not _on(now):
        return
    with suppress(VBoxManageError):  # whether it worked is seen, not believed; it may just have ended by itself
        manage.change(folder.uuid, "controlvm", "poweroff", timeout=left())
    while _on((manage.info(folder.uuid) or {}).get("VMState", "")):
        left()
        time.sleep(POLL_SECONDS)


def discard(manage: VBoxManage, folder: VirtualBoxVmFolder) -> None:
    """Forgets a saved memory."""
    manage.change(folder.uuid, "discardstate")
    if word(manage, folder) in states.SAVED:  # VBoxManage says that it has done it whether or not
        raise DriverFailure(f"the saved state of VM {folder.path.name} could not be discarded")


def save(manage: VBoxManage, folder: VirtualBoxVmFolder, vm: VmSpec, left: Left) -> None:
    """Off, with its memory kept for the next start."""
    now = word(manage, folder)
    if now in states.SAVED:
        return
    if states.observed(now) not in (Observed.RUNNING, Observed.PAUSED):
        raise DriverFailure(f"VM '{vm.name}' is {now} and has no memory to save", code="invalid_state")
    manage.change(folder.uuid, "controlvm", "savestate", timeout=left())
    _until(manage, folder, lambda now: now in states.SAVED, left)


def hold(manage: VBoxManage, folder: VirtualBoxVmFolder, left: Left) -> None:
    """The guest's processors stand still."""
    manage.change(folder.uuid, "controlvm", "pause", timeout=left())
    _until(manage, folder, lambda now: states.observed(now) is Observed.PAUSED, left)


def go_on(manage: VBoxManage, folder: VirtualBoxVmFolder, left: Left) -> None:
    """They go on."""
    manage.change(folder.uuid, "controlvm", "resume", timeout=left())
    _until(manage, folder, lambda now: states.observed(now) is Observed.RUNNING, left)


def _on(now: str) -> bool:
    return now in states.STUCK or states.observed(now) in (Observed.RUNNING, Observed.PAUSED) or now in states.BUSY


def _refuse_unbootable(folder: VirtualBoxVmFolder, vm: VmSpec) -> None:
    image = folder.record().image
    if image is not None and image.kernel is not None:
        raise Unsupported(
            f"image '{image.name}' of VM '{vm.name}' has a separate kernel and no boot loader on its disk, and "
            "VirtualBox boots only from disks: use an image with a boot loader"
        )


def _until(
    manage: VBoxManage,
    folder: VirtualBoxVmFolder,
    done: Callable[[str], bool],
    left: Left,
    progress: Progress | None = None,
) -> None:
    """Waits until VirtualBox says so; `GuestTimeout` when the time is over."""
    while not done(word(manage, folder)):
        left()
        if progress is not None:
            progress("waiting for VirtualBox", None)
        time.sleep(POLL_SECONDS)


@contextmanager
def _off_again(manage: VBoxManage, folder: VirtualBoxVmFolder) -> Iterator[None]:
    """Off when what is inside fails. A memory that was saved is kept."""
    try:
        yield
    except BaseException:
        if _on(word(manage, folder)):
            with suppress(VBoxManageError):
                manage.change(folder.uuid, "controlvm", "poweroff", timeout=CUT_SECONDS)
        raise
