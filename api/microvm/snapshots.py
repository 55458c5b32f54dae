"""/vms/{vm_name}/snapshots."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy.orm import Session

from api.microvm.schemas.snapshots import (
    Restored,
    RestoreRequest,
    SnapshotCreation,
    SnapshotListed,
    SnapshotQuery,
    SnapshotTaken,
)
from api.microvm.shape import SHAPE
from api.rest.blueprint import Blueprint
from api.rest.shapes import Listed
from api.shared.views import SnapshotView, nothing, snapshot_of
from core.contract.messages import JSON
from core.services import snapshots
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.paging import Slice

blp = Blueprint("snapshots", SHAPE, "Snapshots of virtual machines")


@blp.route("/vms/<vm_name>/snapshots")
class Snapshots(MethodView):
    @blp.query(SnapshotQuery)
    @blp.read_many("snapshots", SnapshotListed)
    def get(self, session: Session, actor: Actor, query: JSON, vm_name: str) -> Listed:
        """List the snapshots of a virtual machine."""
        vm, found, total = snapshots.list_of(session, actor, vm_name, Slice(**query))
        return Listed([SnapshotView(vm, snapshot) for snapshot in found], total, query["limit"], query["offset"])

    @blp.body(SnapshotCreation)
    @blp.start_operation(201, SnapshotTaken, snapshot_of)
    def post(self, session: Session, actor: Actor, body: JSON, vm_name: str) -> Accepted:
        """Create a snapshot."""
        return snapshots.create(session, actor, vm_name, **body)


@blp.route("/vms/<vm_name>/snapshots/<snapshot_name>")
class OneSnapshot(MethodView):
    @blp.start_operation(204, None, nothing)
    def delete(self, session: Session, actor: Actor, vm_name: str, snapshot_name: str) -> Accepted:
        """Delete a snapshot."""
        return snapshots.delete(session, actor, vm_name, snapshot_name)


@blp.route("/vms/<vm_name>/snapshots/<snapshot_name>/restore")
class Restore(MethodView):
    @blp.body(RestoreRequest, required=False)
    @blp.start_operation(200, Restored, snapshot_of)
    def post(self, session: Session, actor: Actor, body: JSON, vm_name: str, snapshot_name: str) -> Accepted:
        """Restore a virtual machine from a snapshot."""
        return snapshots.restore(session, actor, vm_name, snapshot_name, start=body["start_vm"])
