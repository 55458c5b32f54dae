"""The nouns of a fleet, beside its VMs: operations, hosts, images, keys, accounts, the audit log and scans."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from corral._async.transport import AsyncTransport, Tell
from corral._http import Json, given, segment, succeeded, value
from corral.models import Key, Operation


class _Resource:
    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport


class AsyncOperations(_Resource):
    """Changes that were accepted."""

    def list(
        self,
        *,
        vm: str | None = None,
        host: str | None = None,
        state: str | None = None,
        kind: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Operation]:
        """Newest first."""
        query = {"vm": vm, "host": host, "state": state, "kind": kind}
        return self._transport.pages("/operations", "operations", Operation, limit, **query)

    async def get(self, operation_id: str) -> Operation:
        """One of them."""
        return value(Operation, await self._transport.json("GET", f"/operations/{segment(operation_id)}"))

    async def wait(self, operation_id: str, timeout: float | None = None, tell: Tell | None = None) -> Operation:
        """The operation once it has succeeded; `OperationFailed` otherwise, `WaitTimeout` past the timeout."""
        return succeeded(await self._transport.wait(await self.get(operation_id), timeout, tell))

    async def cancel(self, operation_id: str) -> Operation:
        """Ask for it to be cancelled; its host decides whether that was in time."""
        return value(Operation, await self._transport.json("DELETE", f"/operations/{segment(operation_id)}"))


class AsyncHosts(_Resource):
    """The machines that VMs run on, as plain JSON objects."""

    def list(
        self,
        *,
        status: str | None = None,
        scheduling: str | None = None,
        label: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Json]:
        """By name. `status`: "online" or "offline"; `scheduling`: "active", "cordoned"; `label`: terms for labels, such
        as "zone=a,disk!=hdd"."""
        query = {"status": status, "scheduling": scheduling, "label": label}
        return self._transport.pages("/hosts", "hosts", dict[str, Any], limit, **query)

    async def get(self, name: str) -> Json:
        """One of them."""
        return value(dict[str, Any], await self._transport.json("GET", f"/hosts/{segment(name)}"))

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Take a host that is gone for good out of the fleet, as an administrator; its VMs are lost.

        `force`: even while it is online, as one is that was stolen; it is cut off at once.
        """
        await self._transport.json("DELETE", f"/hosts/{segment(name)}", force="true" if force else None)

    async def cordon(self, name: str, reason: str | None = None) -> Json:
        """Let a host take no new VMs, as an administrator; what is there goes on. The host as it is then."""
        return await self._stand(name, "cordon", reason)

    async def uncordon(self, name: str, reason: str | None = None) -> Json:
        """End that."""
        return await self._stand(name, "uncordon", reason)

    async def fence(self, name: str, reason: str | None = None, *, force: bool = False) -> Json:
        """Say that a host is dead, as an administrator; power it off first. It is shut out until it is activated.

        Its VMs are lost, and made again on other hosts where their `restart_policy` says so. `force`: even while it is
        online. The host as it is then.
        """
        body = given(reason=reason, force=force or None)
        return value(dict[str, Any], await self._transport.json("POST", f"/hosts/{segment(name)}/fence", body))

    async def drain(
        self,
        name: str,
        strategy: str,
        *,
        deadline_seconds: int | None = None,
        at_once: int | None = None,
        grace_seconds: int | None = None,
        reason: str | None = None,
        wait: bool = True,
        timeout: float | None = None,
        tell: Tell | None = None,
    ) -> Operation:
        """Empty a host of what runs there, as an administrator; `result["vms"]` says of each VM what became of it.

        `strategy`: "wait" until their owners have stopped or deleted them, "stop" each, or "move" each to another
        host. `OperationFailed` when it is not empty at the deadline. `wait`, `timeout` and `tell` are as with VMs.
        """
        body = given(
            strategy=strategy,
            deadline_seconds=deadline_seconds,
            at_once=at_once,
            grace_seconds=grace_seconds,
            reason=reason,
        )
        path = f"/hosts/{segment(name)}/drain"
        return await self._transport.change("POST", path, body, wait=wait, timeout=timeout, tell=tell)

    async def activate(self, name: str, reason: str | None = None) -> Json:
        """Let a host take VMs again, whatever kept it from that."""
        return await self._stand(name, "activate", reason)

    async def rotate(self, name: str) -> Json:
        """Have a host's secret changed, as an administrator, as soon as the host is online. The host as it is then.

        It is done when `secret["rotating_since"]` is null again, and `secret["changed_at"]` is later.
        """
        return value(dict[str, Any], await self._transport.json("POST", f"/hosts/{segment(name)}/rotate"))

    async def _stand(self, name: str, verb: str, reason: str | None) -> Json:
        path = f"/hosts/{segment(name)}/{verb}"
        return value(dict[str, Any], await self._transport.json("POST", path, given(reason=reason)))

    async def label(self, name: str, labels: dict[str, str | None]) -> Json:
        """Give a host labels, as an administrator; None takes one away, and the others stay."""
        return value(dict[str, Any], await self._transport.json("PATCH", f"/hosts/{segment(name)}", {"labels": labels}))

    async def set_overcommit(
        self, name: str, *, vcpus: float | None = None, memory_mb: float | None = None, disk_gb: float | None = None
    ) -> Json:
        """How often what a host's agent offers may be promised to VMs, as an administrator; None: as it is."""
        ratios = given(vcpus=vcpus, memory_mb=memory_mb, disk_gb=disk_gb)
        path = f"/hosts/{segment(name)}"
        return value(dict[str, Any], await self._transport.json("PATCH", path, {"overcommit": ratios}))

    def orphans(self, name: str) -> AsyncIterator[Json]:
        """VMs that the host has and the record has not, for administrators."""
        return self._transport.pages(f"/hosts/{segment(name)}/orphans", "orphans", dict[str, Any])

    async def remove_orphan(self, name: str, vm_id: str) -> None:
        """Have the host delete one of them."""
        await self._transport.json("DELETE", f"/hosts/{segment(name)}/orphans/{segment(vm_id)}")

    async def adopt_orphan(self, name: str, vm_id: str, *, owner: str, called: str | None = None) -> Json:
        """Take one of them into the record as that user's VM, called as it was unless `called` says otherwise."""
        body = {"owner": owner} if called is None else {"owner": owner, "name": called}
        path = f"/hosts/{segment(name)}/orphans/{segment(vm_id)}/adopt"
        return value(dict[str, Any], await self._transport.json("POST", path, body))


class AsyncKeys(_Resource):
    """The caller's API keys."""

    def list(self, *, limit: int | None = None) -> AsyncIterator[Key]:
        """Newest first."""
        return self._transport.pages("/keys", "keys", Key, limit)

    async def create(self, name: str, *, access: str = "full", expires_at: datetime | None = None) -> Key:
        """A new key; its secret is in `key`, this once. `access`: "read" or "full"."""
        body = given(name=name, access=access, expires_at=expires_at.isoformat() if expires_at else None)
        return value(Key, await self._transport.json("POST", "/keys", body))

    async def revoke(self, key_id: str) -> None:
        """End one for good."""
        await self._transport.json("DELETE", f"/keys/{segment(key_id)}")


class AsyncAudit(_Resource):
    """The audit log, for administrators, as plain JSON objects."""

    def list(
        self,
        *,
        action_type: str | None = None,
        resource_type: str | None = None,
        user_id: str | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Json]:
        """Newest first."""
        return self._transport.pages(
            "/security/audit-logs",
            "logs",
            dict[str, Any],
            limit,
            action_type=action_type,
            resource_type=resource_type,
            user_id=user_id,
            start_time=start_time.isoformat() if start_time else None,
            end_time=end_time.isoformat() if end_time else None,
        )


class AsyncScans(_Resource):
    """Searches for weaknesses inside guests, as plain JSON objects."""

    def list(self, *, limit: int | None = None) -> AsyncIterator[Json]:
        """Newest first."""
        return self._transport.pages("/security/scans", "scans", dict[str, Any], limit)

    async def begin(self, target: str, scan_type: str = "configuration", frameworks: tuple[str, ...] = ()) -> Json:
        """Scan a VM, or "all". `scan_type`: "configuration", "vulnerability" or "compliance" with `frameworks`."""
        body = {"scan_type": scan_type, "target": target, "frameworks": list(frameworks) or None}
        return value(dict[str, Any], await self._transport.json("POST", "/security/scan", given(**body)))

    async def get(self, scan_id: str) -> Json:
        """One of them, with what was found so far."""
        return value(dict[str, Any], await self._transport.json("GET", f"/security/scans/{segment(scan_id)}"))
