"""The tables. Each fact lives in one column with one writer."""

from core.models.addresses import MacAddress
from core.models.audit import AuditEntry, AuditLink, AuditPending
from core.models.base import Base
from core.models.counts import VM_COUNTS
from core.models.departures import Departure
from core.models.events import Event
from core.models.forwards import PortForward
from core.models.hosts import Host
from core.models.idempotency import Idempotency
from core.models.identities import HostIdentity, JoinToken
from core.models.media import Medium
from core.models.operations import Operation
from core.models.scans import Scan, ScannedVm, ScanState
from core.models.secrets import Secret
from core.models.snapshots import Snapshot
from core.models.users import ApiKey, LoginFailure, User
from core.models.vms import Vm
from core.models.webhooks import Webhook, WebhookDelivery

__all__ = [
    "VM_COUNTS",
    "ApiKey",
    "AuditEntry",
    "AuditLink",
    "AuditPending",
    "Base",
    "Departure",
    "Event",
    "Host",
    "HostIdentity",
    "Idempotency",
    "JoinToken",
    "LoginFailure",
    "MacAddress",
    "Medium",
    "Operation",
    "PortForward",
    "Scan",
    "ScanState",
    "ScannedVm",
    "Secret",
    "Snapshot",
    "User",
    "Vm",
    "Webhook",
    "WebhookDelivery",
]
