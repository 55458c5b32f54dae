"""Snapshots."""

from __future__ import annotations

from marshmallow import Schema, fields

from api.rest.fields import Choice, Flag, Moment, Text
from api.rest.schemas import Sorting, Strict, constant
from api.shared.words import SNAPSHOT_NAME
from core.services import snapshots


class SnapshotQuery(Sorting):
    """Which part of the snapshots."""

    sort = Choice(*snapshots.ORDERING.sorts)


class SnapshotCreation(Strict):
    """A new snapshot."""

    name = Text(required=True, longest=63, validate=SNAPSHOT_NAME)
    description = Text(load_default="", longest=2000)
    include_memory = Flag(load_default=False)


class RestoreRequest(Strict):
    """Whether the VM is to run afterwards; without it: as it was when the snapshot was taken."""

    start_vm = Flag(load_default=None)


class SnapshotMetadata(Schema):
    """What the VM was at the moment of a snapshot."""

    vm_status = fields.String(required=True)
    vcpus = fields.Integer(required=True)
    memory_mb = fields.Integer(required=True)


class SnapshotBrief(Schema):
    """A snapshot."""

    name = fields.String(required=True, attribute="snapshot.name")
    vm_name = fields.String(required=True, attribute="vm.name")
    created_at = Moment(required=True, attribute="snapshot.created_at")
    size_bytes = fields.Integer(required=True, attribute="snapshot.size_bytes")
    description = fields.String(required=True, attribute="snapshot.description")
    id = fields.String(required=True, attribute="snapshot.id")
    include_memory = fields.Boolean(required=True, attribute="snapshot.include_memory")
    checksum = fields.String(required=True, attribute="snapshot.checksum")


class SnapshotListed(SnapshotBrief):
    """A snapshot in a list."""

    metadata = fields.Nested(SnapshotMetadata, required=True, attribute="snapshot")


class SnapshotTaken(SnapshotBrief):
    """A snapshot that was taken."""


class Restored(Schema):
    """A restore that has succeeded."""

    message = constant("VM restored successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    snapshot_name = fields.String(required=True, attribute="snapshot.name")
    restored_at = Moment(required=True, attribute="operation.ended_at")
