"""Snapshots."""

from __future__ import annotations

from marshmallow import Schema, fields

from api.rest.fields import ChoiceField, FlagField, MomentField, TextField
from api.rest.schemas import SortingSchema, StrictSchema, constant
from api.shared.words import SNAPSHOT_NAME, IfExists
from core.services import snapshots


class MicrovmSnapshotQuerySchema(SortingSchema):
    """The query of a list of snapshots."""

    sort = ChoiceField(*snapshots.ORDERING.sorts)


class MicrovmSnapshotCreationSchema(StrictSchema):
    """A new snapshot."""

    name = TextField(required=True, longest=63, validate=SNAPSHOT_NAME)
    description = TextField(load_default="", longest=2000)
    include_memory = FlagField(load_default=False)
    if_exists = IfExists()


class MicrovmRestoreRequestSchema(StrictSchema):
    """The state of the VM after the restore; without it: as it was when the snapshot was taken."""

    start_vm = FlagField(load_default=None)


class SnapshotMetadataSchema(Schema):
    """The VM at the moment of a snapshot."""

    vm_status = fields.String(required=True)
    vcpus = fields.Integer(required=True)
    memory_mb = fields.Integer(required=True)


class SnapshotBriefSchema(Schema):
    """A snapshot."""

    name = fields.String(required=True, attribute="snapshot.name")
    vm_name = fields.String(required=True, attribute="vm.name")
    created_at = MomentField(required=True, attribute="snapshot.created_at")
    size_bytes = fields.Integer(required=True, attribute="snapshot.size_bytes")
    description = fields.String(required=True, attribute="snapshot.description")
    id = fields.String(required=True, attribute="snapshot.id")
    include_memory = fields.Boolean(required=True, attribute="snapshot.include_memory")
    checksum = fields.String(required=True, attribute="snapshot.checksum")


class SnapshotListedSchema(SnapshotBriefSchema):
    """A snapshot in a list."""

    metadata = fields.Nested(SnapshotMetadataSchema, required=True, attribute="snapshot")


class SnapshotTakenSchema(SnapshotBriefSchema):
    """A snapshot that was taken."""


class MicrovmRestoredSchema(Schema):
    """A restore that has succeeded."""

    message = constant("VM restored successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    snapshot_name = fields.String(required=True, attribute="snapshot.name")
    restored_at = MomentField(required=True, attribute="operation.ended_at")
