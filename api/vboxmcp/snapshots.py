"""/vms/{vm}/snapshots."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.shapes import ResultPage
from api.shared.views import SnapshotWithVm, nothing, snapshot_of
from api.shared.words import RETURN
from api.vboxmcp.schemas.snapshots import (
    SnapshotSchema,
    VboxmcpRestoredSchema,
    VboxmcpRestoreRequestSchema,
    VboxmcpSnapshotCreationSchema,
    VboxmcpSnapshotQuerySchema,
)
from api.vboxmcp.shape import SHAPE
from core.contract.messages import JSON
from core.services import snapshots
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.paging import Slice

blp = Blueprint("snapshots", SHAPE, "Snapshots of VMs")


@blp.route("/vms/<vm_id_or_name>/snapshots")
class VboxmcpSnapshotsView(MethodView):
    @blp.query(VboxmcpSnapshotQuerySchema)
    @blp.read_many("snapshots", SnapshotSchema)
    def get(self, session: Session, actor: Actor, query: JSON, vm_id_or_name: str) -> ResultPage:
        """List the snapshots of a VM."""
        vm, found, total = snapshots.list_of(session, actor, vm_id_or_name, Slice(**query))
        return ResultPage([SnapshotWithVm(vm, snapshot) for snapshot in found], total, query["limit"], query["offset"])

    @blp.body(VboxmcpSnapshotCreationSchema)
    @blp.start_operation(200, SnapshotSchema, snapshot_of)
    def post(self, session: Session, actor: Actor, body: JSON, vm_id_or_name: str) -> Accepted:
        """Create a snapshot."""
        return snapshots.create(
            session,
            actor,
            vm_id_or_name,
            name=body["name"],
            description=body["description"],
            include_memory=body["include_ram"],
            or_existing=body["if_exists"] == RETURN,
        )


@blp.route("/vms/<vm_id_or_name>/snapshots/<snapshot_id>")
class VboxmcpSnapshotView(MethodView):
    @blp.start_operation(204, None, nothing)
    def delete(self, session: Session, actor: Actor, vm_id_or_name: str, snapshot_id: str) -> Accepted:
        """Delete a snapshot."""
        return snapshots.delete(session, actor, vm_id_or_name, snapshot_id)


@blp.route("/vms/<vm_id_or_name>/snapshots/<snapshot_id>/restore")
class VboxmcpRestoreView(MethodView):
    @blp.body(VboxmcpRestoreRequestSchema, required=False)
    @blp.start_operation(200, VboxmcpRestoredSchema, snapshot_of)
    def post(self, session: Session, actor: Actor, body: JSON, vm_id_or_name: str, snapshot_id: str) -> Accepted:
        """Restore a snapshot."""
        return snapshots.restore(session, actor, vm_id_or_name, snapshot_id, start=body["start_vm"])
