"""Snapshots."""

from __future__ import annotations

from marshmallow import Schema, fields

from api.rest.fields import ChoiceField, FlagField, MomentField, TextField, computed
from api.rest.schemas import SortingAllSchema, StrictSchema, constant
from api.shared.views import SnapshotWithVm
from api.shared.words import SNAPSHOT_NAME, IfExists
from api.vboxmcp.states import observed_state
from core.contract.commands import SnapshotRestore
from core.services import operations, snapshots


class VboxmcpSnapshotQuerySchema(SortingAllSchema):
    """Which part of the snapshots; without a limit all of them."""

    sort = ChoiceField(*snapshots.ORDERING.sorts)


class VboxmcpSnapshotCreationSchema(StrictSchema):
    """A new snapshot."""

    name = TextField(required=True, longest=63, validate=SNAPSHOT_NAME)
    description = TextField(load_default="", longest=2000)
    include_ram = FlagField(load_default=False)
    if_exists = IfExists()


class VboxmcpRestoreRequestSchema(StrictSchema):
    """The state of the VM after the restore; without it: as it was when the snapshot was taken."""

    start_vm = FlagField(load_default=None)


class SnapshotSchema(Schema):
    """A snapshot; `online`: with the memory of the running VM."""

    snapshot_id = fields.String(required=True, attribute="snapshot.id")
    name = fields.String(required=True, attribute="snapshot.name")
    timestamp = MomentField(required=True, attribute="snapshot.created_at")
    online = fields.Boolean(required=True, attribute="snapshot.include_memory")
    description = fields.String(required=True, attribute="snapshot.description")
    size_bytes = fields.Integer(required=True, attribute="snapshot.size_bytes")
    checksum = fields.String(required=True, attribute="snapshot.checksum")


def _previous_state(view: SnapshotWithVm) -> str:
    return observed_state(operations.asked(view.operation, SnapshotRestore).previous_state if view.operation else "")


class VboxmcpRestoredSchema(Schema):
    """A restore that has succeeded."""

    vm_id = fields.String(required=True, attribute="vm.id")
    snapshot_id = fields.String(required=True, attribute="snapshot.id")
    previous_state = computed(fields.String, _previous_state)
    message = constant("Snapshot restored successfully")
