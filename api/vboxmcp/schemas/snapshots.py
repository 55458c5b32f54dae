"""Snapshots."""

from __future__ import annotations

from marshmallow import Schema, fields

from api.rest.fields import Choice, Flag, Moment, Text, computed
from api.rest.schemas import SortingAll, Strict, constant
from api.shared.views import SnapshotView
from api.shared.words import SNAPSHOT_NAME
from api.vboxmcp.states import observed_state
from core.contract.commands import SnapshotRestore
from core.services import operations, snapshots


class SnapshotQuery(SortingAll):
    """Which part of the snapshots; without a limit all of them."""

    sort = Choice(*snapshots.ORDERING.sorts)


class SnapshotCreation(Strict):
    """A new snapshot."""

    name = Text(required=True, longest=63, validate=SNAPSHOT_NAME)
    description = Text(load_default="", longest=2000)
    include_ram = Flag(load_default=False)


class RestoreRequest(Strict):
    """Whether the VM is to run afterwards; without it: as it was when the snapshot was taken."""

    start_vm = Flag(load_default=None)


class SnapshotSchema(Schema):
    """A snapshot; `online`: with the memory of the running VM."""

    snapshot_id = fields.String(required=True, attribute="snapshot.id")
    name = fields.String(required=True, attribute="snapshot.name")
    timestamp = Moment(required=True, attribute="snapshot.created_at")
    online = fields.Boolean(required=True, attribute="snapshot.include_memory")
    description = fields.String(required=True, attribute="snapshot.description")
    size_bytes = fields.Integer(required=True, attribute="snapshot.size_bytes")
    checksum = fields.String(required=True, attribute="snapshot.checksum")


def _previous_state(view: SnapshotView) -> str:
    return observed_state(operations.asked(view.operation, SnapshotRestore).previous_state if view.operation else "")


class Restored(Schema):
    """A restore that has succeeded."""

    vm_id = fields.String(required=True, attribute="vm.id")
    snapshot_id = fields.String(required=True, attribute="snapshot.id")
    previous_state = computed(fields.String, _previous_state)
    message = constant("Snapshot restored successfully")
