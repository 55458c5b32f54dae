"""/vms/{vm_name}/snapshots."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy.orm import Session

from api.microvm.schemas.snapshots import (
    MicrovmRestoredSchema,
    MicrovmRestoreRequestSchema,
    MicrovmSnapshotCreationSchema,
    MicrovmSnapshotQuerySchema,
    SnapshotListedSchema,
    SnapshotTakenSchema,
)
from api.microvm.shape import SHAPE
from api.rest.blueprint import Blueprint
from api.rest.shapes import ResultPage
from api.shared.views import SnapshotWithVm, nothing, snapshot_of
from api.shared.words import RETURN
from core.contract.messages import JSON
from core.services import snapshots
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.paging import Slice

blp = Blueprint("snapshots", SHAPE, "Snapshots of virtual machines")


@blp.route("/vms/<vm_name>/snapshots")
class MicrovmSnapshotsView(MethodView):
    @blp.query(MicrovmSnapshotQuerySchema)
    @blp.read_many("snapshots", SnapshotListedSchema)
    def get(self, session: Session, actor: Actor, query: JSON, vm_name: str) -> ResultPage:
        """List the snapshots of a virtual machine."""
        vm, found, total = snapshots.list_of(session, actor, vm_name, Slice(**query))
        return ResultPage([SnapshotWithVm(vm, snapshot) for snapshot in found], total, query["limit"], query["offset"])

    @blp.body(MicrovmSnapshotCreationSchema)
    @blp.start_operation(201, SnapshotTakenSchema, snapshot_of)
    def post(self, session: Session, actor: Actor, body: JSON, vm_name: str) -> Accepted:
        """Create a snapshot."""
        return snapshots.create(session, actor, vm_name, or_existing=body.pop("if_exists") == RETURN, **body)


@blp.route("/vms/<vm_name>/snapshots/<snapshot_name>")
class MicrovmSnapshotView(MethodView):
    @blp.start_operation(204, None, nothing)
    def delete(self, session: Session, actor: Actor, vm_name: str, snapshot_name: str) -> Accepted:
        """Delete a snapshot."""
        return snapshots.delete(session, actor, vm_name, snapshot_name)


@blp.route("/vms/<vm_name>/snapshots/<snapshot_name>/restore")
class MicrovmRestoreView(MethodView):
    @blp.body(MicrovmRestoreRequestSchema, required=False)
    @blp.start_operation(200, MicrovmRestoredSchema, snapshot_of)
    def post(self, session: Session, actor: Actor, body: JSON, vm_name: str, snapshot_name: str) -> Accepted:
        """Restore a virtual machine from a snapshot."""
        return snapshots.restore(session, actor, vm_name, snapshot_name, start=body["start_vm"])
