"""The driver verbs that work inside guests, by Guest Additions and an account of the guest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from agent.drivers.base import Check, DriverFolders, wanted
from agent.drivers.capabilities.files import FileReading, FileTarget, GuestFileList
from agent.drivers.capabilities.guest import GuestExecRequest, GuestExecResult
from agent.drivers.limits import only_driver_failures
from agent.drivers.virtualbox import attachments, credentials, files, guest
from agent.drivers.virtualbox.credentials import GuestCredentials
from agent.drivers.virtualbox.folder import folder_of
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from agent.system.vault import Vault
from core import settings
from core.contract.messages import VmSpec


class VirtualBoxGuests:
    """Guest, Files and Credentials."""

    def __init__(self, place: DriverFolders) -> None:
        self.manage = VBoxManage(settings.load().vboxmanage)
        self._vault = Vault(place.vms.parent)
        self._vms = place.vms

    @only_driver_failures
    def execute(self, vm: VmSpec, request: GuestExecRequest, check: Check = wanted) -> GuestExecResult:
        """By Guest Additions, with the credentials that were set for this VM; heard of at its end, wanted or not."""
        folder = folder_of(self._vms, vm.id)
        check()
        guest.check(dict(attachments.info_of(self.manage, folder)), vm.name)
        return guest.execute(self.manage, self._vault, folder, request)

    @only_driver_failures
    def file_write(
        self, vm: VmSpec, near: str | None, chunks: Iterator[bytes], target: Callable[[], FileTarget]
    ) -> FileTarget:
        """By way of a file on the host, a part at a time."""
        return files.write(self._guest(vm), near, chunks, target)

    def file_read(self, vm: VmSpec, path: str) -> AbstractContextManager[FileReading]:
        """Piece by piece, a command for each."""
        return files.read(self._guest(vm), path)

    @only_driver_failures
    def file_list(self, vm: VmSpec, path: str, recursive: bool, most: int) -> GuestFileList:
        """By the guest's `find`."""
        return files.listing(self._guest(vm), path, recursive, most)

    def sweep_guests(self) -> None:
        """Nothing to do: Guest Additions end a command at its timeout, whoever waits for it."""

    @only_driver_failures
    def set_guest_credentials(self, vm: VmSpec, username: str, password: str) -> None:
        """Sealed with the host's key."""
        credentials.keep(self._vault, folder_of(self._vms, vm.id), GuestCredentials(username, password))

    def _guest(self, vm: VmSpec) -> files.VirtualBoxGuest:
        return files.VirtualBoxGuest(self.manage, self._vault, folder_of(self._vms, vm.id), vm.name)
