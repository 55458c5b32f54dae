# Made from corral/_async/resources.py by scripts/unasync.py; change that file instead.
"""The nouns of a fleet, beside its VMs: operations, hosts, images, keys, accounts, the audit log and scans."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from corral._http import Json, given, segment, succeeded, value
from corral._sync.transport import Tell, Transport
from corral.models import Key, Operation


class _Resource:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport


class Operations(_Resource):
    """Changes that were accepted."""

    def list(
        self,
        *,
        vm: str | None = None,
        host: str | None = None,
        state: str | None = None,
        kind: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Operation]:
        """Newest first."""
        query = {"vm": vm, "host": host, "state": state, "kind": kind}
        return self._transport.pages("/operations", "operations", Operation, limit, **query)

    def get(self, operation_id: str) -> Operation:
        """One of them."""
        return value(Operation, self._transport.json("GET", f"/operations/{segment(operation_id)}"))

    def wait(self, operation_id: str, timeout: float | None = None, tell: Tell | None = None) -> Operation:
        """The operation once it has succeeded; `OperationFailed` otherwise, `WaitTimeout` past the timeout."""
        return succeeded(self._transport.wait(self.get(operation_id), timeout, tell))

    def cancel(self, operation_id: str) -> Operation:
        """Ask for it to be cancelled; its host decides whether that was in time."""
        return value(Operation, self._transport.json("DELETE", f"/operations/{segment(operation_id)}"))


class Hosts(_Resource):
    """The machines that VMs run on, as plain JSON objects."""

    def list(
        self,
        *,
        status: str | None = None,
        scheduling: str | None = None,
        label: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Json]:
        """By name. `status`: "online" or "offline"; `scheduling`: "active", "cordoned"; `label`: terms for labels, such
        as "zone=a,disk!=hdd"."""
        query = {"status": status, "scheduling": scheduling, "label": label}
        return self._transport.pages("/hosts", "hosts", dict[str, Any], limit, **query)

    def get(self, name: str) -> Json:
        """One of them."""
        return value(dict[str, Any], self._transport.json("GET", f"/hosts/{segment(name)}"))

    def remove(self, name: str, *, force: bool = False) -> None:
        """Take a host that is gone for good out of the fleet, as an administrator; its VMs are lost.

        `force`: even while it is online, as one is that was stolen; it is cut off at once.
        """
        self._transport.json("DELETE", f"/hosts/{segment(name)}", force="true" if force else None)

    def cordon(self, name: str, reason: str | None = None) -> Json:
        """Let a host take no new VMs, as an administrator; what is there goes on. The host as it is then."""
        return self._stand(name, "cordon", reason)

    def uncordon(self, name: str, reason: str | None = None) -> Json:
        """End that."""
        return self._stand(name, "uncordon", reason)

    def fence(self, name: str, reason: str | None = None, *, force: bool = False) -> Json:
        """Say that a host is dead, as an administrator; power it off first. It is shut out until it is activated.

        Its VMs are lost, and made again on other hosts where their `restart_policy` says so. `force`: even while it is
        online. The host as it is then.
        """
        body = given(reason=reason, force=force or None)
        return value(dict[str, Any], self._transport.json("POST", f"/hosts/{segment(name)}/fence", body))

    def drain(
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
        return self._transport.change("POST", path, body, wait=wait, timeout=timeout, tell=tell)

    def activate(self, name: str, reason: str | None = None) -> Json:
        """Let a host take VMs again, whatever kept it from that."""
        return self._stand(name, "activate", reason)

    def rotate(self, name: str) -> Json:
        """Have a host's secret changed, as an administrator, as soon as the host is online. The host as it is then.

        It is done when `secret["rotating_since"]` is null again, and `secret["changed_at"]` is later.
        """
        return value(dict[str, Any], self._transport.json("POST", f"/hosts/{segment(name)}/rotate"))

    def _stand(self, name: str, verb: str, reason: str | None) -> Json:
        path = f"/hosts/{segment(name)}/{verb}"
        return value(dict[str, Any], self._transport.json("POST", path, given(reason=reason)))

    def label(self, name: str, labels: dict[str, str | None]) -> Json:
        """Give a host labels, as an administrator; None takes one away, and the others stay."""
        return value(dict[str, Any], self._transport.json("PATCH", f"/hosts/{segment(name)}", {"labels": labels}))

    def set_overcommit(
        self, name: str, *, vcpus: float | None = None, memory_mb: float | None = None, disk_gb: float | None = None
    ) -> Json:
        """How often what a host's agent offers may be promised to VMs, as an administrator; None: as it is."""
        ratios = given(vcpus=vcpus, memory_mb=memory_mb, disk_gb=disk_gb)
        path = f"/hosts/{segment(name)}"
        return value(dict[str, Any], self._transport.json("PATCH", path, {"overcommit": ratios}))

    def orphans(self, name: str) -> Iterator[Json]:
        """VMs that the host has and the record has not, for administrators."""
        return self._transport.pages(f"/hosts/{segment(name)}/orphans", "orphans", dict[str, Any])

    def remove_orphan(self, name: str, vm_id: str) -> None:
        """Have the host delete one of them."""
        self._transport.json("DELETE", f"/hosts/{segment(name)}/orphans/{segment(vm_id)}")

    def adopt_orphan(self, name: str, vm_id: str, *, owner: str, called: str | None = None) -> Json:
        """Take one of them into the record as that user's VM, called as it was unless `called` says otherwise."""
        body = {"owner": owner} if called is None else {"owner": owner, "name": called}
        path = f"/hosts/{segment(name)}/orphans/{segment(vm_id)}/adopt"
        return value(dict[str, Any], self._transport.json("POST", path, body))


class Keys(_Resource):
    """The caller's API keys."""

    def list(self, *, limit: int | None = None) -> Iterator[Key]:
        """Newest first."""
        return self._transport.pages("/keys", "keys", Key, limit)

    def create(self, name: str, *, access: str = "full", expires_at: datetime | None = None) -> Key:
        """A new key; its secret is in `key`, this once. `access`: "read" or "full"."""
        body = given(name=name, access=access, expires_at=expires_at.isoformat() if expires_at else None)
        return value(Key, self._transport.json("POST", "/keys", body))

    def revoke(self, key_id: str) -> None:
        """End one for good."""
        self._transport.json("DELETE", f"/keys/{segment(key_id)}")


class Audit(_Resource):
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
    ) -> Iterator[Json]:
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


class Scans(_Resource):
    """Searches for weaknesses inside guests, as plain JSON objects."""

    def list(self, *, limit: int | None = None) -> Iterator[Json]:
        """Newest first."""
        return self._transport.pages("/security/scans", "scans", dict[str, Any], limit)

    def begin(self, target: str, scan_type: str = "configuration", frameworks: tuple[str, ...] = ()) -> Json:
        """Scan a VM, or "all". `scan_type`: "configuration", "vulnerability" or "compliance" with `frameworks`."""
        body = {"scan_type": scan_type, "target": target, "frameworks": list(frameworks) or None}
        return value(dict[str, Any], self._transport.json("POST", "/security/scan", given(**body)))

    def get(self, scan_id: str) -> Json:
        """One of them, with what was found so far."""
        return value(dict[str, Any], self._transport.json("GET", f"/security/scans/{segment(scan_id)}"))
