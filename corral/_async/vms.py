"""Virtual machines and their life."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from corral._async.transport import AsyncTransport, Tell
from corral._http import Json, given, succeeded, value, vm_path
from corral.models import Operation, Vm


class AsyncVms:
    """All VMs of the caller. Verbs take a name or an id.

    A verb that changes something returns when it is done; with `wait=False` as soon as it was accepted. `timeout`: how
    many seconds to wait (`WaitTimeout`; the operation goes on). `tell` hears of the operation's progress.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        status: str | None = None,
        os_type: str | None = None,
        sort: str | None = None,
        order: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Vm]:
        """All of them, or those with a status."""
        query = {"status": status, "os_type": os_type, "sort": sort, "order": order}
        if not any(query.values()):
            return self._transport.following("/vm-list", "vms", Vm, limit)
        return self._transport.pages("/vms", "vms", Vm, limit, **query)

    async def get(self, vm: str) -> Vm:
        """One of them, with all that is known."""
        return value(Vm, await self._transport.json("GET", vm_path(vm)))

    async def create(
        self,
        name: str,
        *,
        image: str | None = None,
        vcpus: int | None = None,
        memory_mb: int | None = None,
        disk_gb: int | None = None,
        os_type: str | None = None,
        hypervisor: str | None = None,
        host: str | None = None,
        bridge: str | None = None,
        ip: str | None = None,
        ttl_seconds: int | None = None,
        placement: Json | None = None,
        restart_policy: str | None = None,
        if_exists: str | None = None,
        wait: bool = True,
        timeout: float | None = None,
        tell: Tell | None = None,
    ) -> Operation:
        """Make one, which does not run yet. What is left out, the API chooses.

        With `ttl_seconds` it is deleted by itself after that time, whatever becomes of the program. `placement` is what
        it asks of its host: {"require": ["zone=a"], "prefer": ["disk=ssd"], "apart_from_group": "web", "strategy":
        "spread"}, each if wanted. `restart_policy`: with "elsewhere" it is made again on another host, from its image,
        when its own is fenced or removed. `if_exists`: with "return" a VM of that name is as good, whatever it is like.
        """
        body = given(
            name=name,
            template=image,
            vcpus=vcpus,
            memory_mb=memory_mb,
            os_type=os_type,
            hypervisor=hypervisor,
            host=host,
            ttl_seconds=ttl_seconds,
            placement=placement or None,
            restart_policy=restart_policy,
            if_exists=if_exists,
            storage_config=given(disk_size_gb=disk_gb) or None,
            network_config=given(bridge=bridge, ip=ip) or None,
        )
        return await self._transport.change("POST", "/vms", body, wait=wait, timeout=timeout, tell=tell)

    def explain_placement(
        self,
        *,
        image: str | None = None,
        vcpus: int | None = None,
        memory_mb: int | None = None,
        disk_gb: int | None = None,
        os_type: str | None = None,
        hypervisor: str | None = None,
        host: str | None = None,
        bridge: str | None = None,
        placement: Json | None = None,
    ) -> AsyncIterator[Json]:
        """Where `create` would place such a one: each host, the best first, with `fits` and `reasons`. None is made."""
        body = given(
            template=image,
            vcpus=vcpus,
            memory_mb=memory_mb,
            os_type=os_type,
            hypervisor=hypervisor,
            host=host,
            placement=placement or None,
            storage_config=given(disk_size_gb=disk_gb) or None,
            network_config=given(bridge=bridge) or None,
        )
        return self._transport.pages("/placements", "placements", dict[str, Any], None, body)

    async def move(
        self,
        vm: str,
        *,
        host: str | None = None,
        stop: bool = False,
        grace_seconds: int | None = None,
        force: bool = False,
        wait: bool = True,
        timeout: float | None = None,
        tell: Tell | None = None,
    ) -> Operation:
        """On another host, with its disk and snapshots: on that one, or where it fits best.

        It has to be off. With `stop` one that runs is stopped as `stop` does, and started there afterwards, by the
        operation `result["start_operation_id"]`, which is waited for too.
        """
        body = given(host=host, stop=stop or None, timeout_seconds=grace_seconds, force=force or None)
        moved = await self._change(vm, "move", body, wait, timeout, tell)
        if wait and (start := (moved.result or {}).get("start_operation_id")):
            begun = value(Operation, await self._transport.json("GET", f"/operations/{start}"))
            succeeded(await self._transport.wait(begun, timeout, tell))
        return moved

    async def start(
        self, vm: str, *, wait: bool = True, timeout: float | None = None, tell: Tell | None = None
    ) -> Operation:
        """Running, and usable: where its image has a guest agent, it has answered."""
        return await self._change(vm, "start", None, wait, timeout, tell)

    async def stop(
        self,
        vm: str,
        *,
        force: bool = False,
        grace_seconds: int = 30,
        wait: bool = True,
        timeout: float | None = None,
        tell: Tell | None = None,
    ) -> Operation:
        """Ask the guest, and cut the power once the grace is over; at once with `force`."""
        body = {"force": force, "timeout_seconds": grace_seconds}
        return await self._change(vm, "stop", body, wait, timeout, tell)

    async def restart(
        self,
        vm: str,
        *,
        force: bool = False,
        grace_seconds: int = 30,
        wait: bool = True,
        timeout: float | None = None,
        tell: Tell | None = None,
    ) -> Operation:
        """Stop as `stop` does, and start."""
        body = {"force": force, "timeout_seconds": grace_seconds}
        return await self._change(vm, "restart", body, wait, timeout, tell)

    async def pause(
        self, vm: str, *, wait: bool = True, timeout: float | None = None, tell: Tell | None = None
    ) -> Operation:
        """Its processors stand still, and its memory stays."""
        return await self._change(vm, "pause", None, wait, timeout, tell)

    async def resume(
        self, vm: str, *, wait: bool = True, timeout: float | None = None, tell: Tell | None = None
    ) -> Operation:
        """Let a paused one go on."""
        return await self._change(vm, "resume", None, wait, timeout, tell)

    async def save(
        self, vm: str, *, wait: bool = True, timeout: float | None = None, tell: Tell | None = None
    ) -> Operation:
        """Put its memory on the host's disk and stop it (VirtualBox); its next start goes on from there."""
        return await self._change(vm, "save", None, wait, timeout, tell)

    async def delete(
        self,
        vm: str,
        *,
        delete_disks: bool = False,
        wait: bool = True,
        timeout: float | None = None,
        tell: Tell | None = None,
    ) -> Operation:
        """Remove it for good, whatever it is doing. Disks beside its own stay, unless `delete_disks`."""
        disks = "true" if delete_disks else None
        path = vm_path(vm)
        return await self._transport.change("DELETE", path, wait=wait, timeout=timeout, tell=tell, delete_disks=disks)

    async def resize(
        self,
        vm: str,
        *,
        vcpus: int | None = None,
        memory_mb: int | None = None,
        cpu_limit_percent: int | None = None,
        memory_limit_percent: int | None = None,
        wait: bool = True,
        timeout: float | None = None,
        tell: Tell | None = None,
    ) -> Operation:
        """Change its size or limits; the operation's `result` says which value is live and which waits for a start."""
        body = given(
            vcpus=vcpus,
            memory_mb=memory_mb,
            cpu_limit_percent=cpu_limit_percent,
            memory_limit_percent=memory_limit_percent,
        )
        path = f"{vm_path(vm)}/resources"
        return await self._transport.change("PUT", path, body, wait=wait, timeout=timeout, tell=tell)

    async def set_ttl(self, vm: str, ttl_seconds: int | None) -> Vm:
        """Let one live that long from now on, or (None) until somebody deletes it."""
        await self._transport.json("PUT", f"{vm_path(vm)}/expiry", {"ttl_seconds": ttl_seconds})
        return await self.get(vm)

    async def metrics(self, vm: str) -> Json:
        """What it uses, measured now, as a plain JSON object."""
        return value(dict[str, Any], await self._transport.json("GET", f"{vm_path(vm)}/metrics"))

    async def network(self, vm: str) -> Json:
        """Where it is in its network, as a plain JSON object; its guest is asked."""
        return value(dict[str, Any], await self._transport.json("GET", f"{vm_path(vm)}/network"))

    async def set_guest_credentials(self, vm: str, username: str, password: str) -> None:
        """The account by which commands are run in a VirtualBox guest; its host keeps it encrypted."""
        body = {"username": username, "password": password}
        await self._transport.json("PUT", f"{vm_path(vm)}/guest-credentials", body)

    async def _change(
        self, vm: str, verb: str, body: Json | None, wait: bool, timeout: float | None, tell: Tell | None
    ) -> Operation:
        path = f"{vm_path(vm)}/{verb}"
        return await self._transport.change("POST", path, body, wait=wait, timeout=timeout, tell=tell)
