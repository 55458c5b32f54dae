"""Snapshots, disks, network adapters and port forwards of VMs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from corral._async.transport import AsyncTransport, Tell
from corral._http import given, segment, vm_path
from corral.models import Adapter, Disk, Forward, Operation, Snapshot


class AsyncSnapshots:
    """A VM's snapshots, by name."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(self, vm: str, *, limit: int | None = None) -> AsyncIterator[Snapshot]:
        """All of them."""
        return self._transport.pages(f"{vm_path(vm)}/snapshots", "snapshots", Snapshot, limit)

    async def create(
        self,
        vm: str,
        name: str,
        *,
        description: str = "",
        include_memory: bool = False,
        if_exists: str | None = None,
        wait: bool = True,
        timeout: float | None = None,
        tell: Tell | None = None,
    ) -> Operation:
        """Take one; with `include_memory` a running VM's memory is kept too. `if_exists`: with "return" one of that
        name is as good."""
        body = {"name": name, "description": description, "include_memory": include_memory} | given(if_exists=if_exists)
        path = f"{vm_path(vm)}/snapshots"
        return await self._transport.change("POST", path, body, wait=wait, timeout=timeout, tell=tell)

    async def restore(
        self,
        vm: str,
        name: str,
        *,
        start: bool | None = None,
        wait: bool = True,
        timeout: float | None = None,
        tell: Tell | None = None,
    ) -> Operation:
        """Go back to one. `start`: whether the VM runs afterwards; None: as it did when the snapshot was taken."""
        path = f"{vm_path(vm)}/snapshots/{segment(name)}/restore"
        body = given(start_vm=start)
        return await self._transport.change("POST", path, body, wait=wait, timeout=timeout, tell=tell)

    async def delete(
        self, vm: str, name: str, *, wait: bool = True, timeout: float | None = None, tell: Tell | None = None
    ) -> Operation:
        """Remove one, in any order."""
        path = f"{vm_path(vm)}/snapshots/{segment(name)}"
        return await self._transport.change("DELETE", path, wait=wait, timeout=timeout, tell=tell)


class AsyncDevices:
    """A VM's disks, network adapters and port forwards."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def disks(self, vm: str) -> AsyncIterator[Disk]:
        """Its own disk first."""
        return self._transport.pages(f"{vm_path(vm)}/disks", "disks", Disk)

    async def attach_disk(
        self,
        vm: str,
        medium: str,
        *,
        controller: str = "SCSI",
        port: int,
        device: int = 0,
        kind: str = "hdd",
        size_gb: int | None = None,
        wait: bool = True,
    ) -> Operation:
        """Attach a medium of the VM's host. With a `size_gb`, a disk that is not there is made."""
        body = given(
            controller=controller,
            port=port,
            device=device,
            type=kind,
            medium=medium,
            size_gb=size_gb,
            create_if_missing=True if size_gb else None,
        )
        return await self._transport.change("POST", f"{vm_path(vm)}/disks", body, wait=wait, timeout=None, tell=None)

    async def detach_disk(
        self, vm: str, controller: str, port: int, device: int = 0, *, wait: bool = True
    ) -> Operation:
        """Detach one; its file stays."""
        path = f"{vm_path(vm)}/disks/{segment(controller)}/{port}/{device}"
        return await self._transport.change("DELETE", path, wait=wait, timeout=None, tell=None)

    def adapters(self, vm: str) -> AsyncIterator[Adapter]:
        """By slot."""
        return self._transport.pages(f"{vm_path(vm)}/network-adapters", "network_adapters", Adapter)

    async def set_adapter(self, vm: str, slot: int, *, wait: bool = True, **changes: Any) -> Operation:
        """Change one: `enabled`, `type`, `mode`, `cable_connected`, `bridge_adapter`."""
        path = f"{vm_path(vm)}/network-adapters/{slot}"
        return await self._transport.change("PUT", path, changes, wait=wait, timeout=None, tell=None)

    def forwards(self, vm: str) -> AsyncIterator[Forward]:
        """Its port forwards."""
        return self._transport.pages(f"{vm_path(vm)}/network/port-forwards", "port_forwards", Forward)

    async def forward(
        self,
        vm: str,
        guest_port: int,
        *,
        host_port: int = 0,
        protocol: str = "tcp",
        description: str = "",
        wait: bool = True,
    ) -> Operation:
        """Let a port of the host lead to one of the guest's; `host_port` 0: any free one."""
        body = {"guest_port": guest_port, "host_port": host_port, "protocol": protocol, "description": description}
        path = f"{vm_path(vm)}/network/port-forward"
        return await self._transport.change("POST", path, body, wait=wait, timeout=None, tell=None)

    async def remove_forward(
        self, vm: str, forward: int | str, *, protocol: str | None = None, wait: bool = True
    ) -> Operation:
        """Remove one, by the host's port or by its id."""
        path = f"{vm_path(vm)}/network/port-forwards/{segment(forward)}"
        return await self._transport.change("DELETE", path, wait=wait, timeout=None, tell=None, protocol=protocol)
