"""/vms: the life of a virtual machine."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.shapes import Listed
from api.shared.media import DeleteQuery
from api.shared.views import outcome
from api.shared.words import preferred
from api.vboxmcp.schemas.vms import StartRequest, StopRequest, VmBrief, VmChanged, VmCreation, VmDetail, VmQuery
from api.vboxmcp.shape import SHAPE
from api.vboxmcp.states import statuses_of
from core.contract.messages import JSON, build
from core.contract.vms import Hardware, VmNetwork
from core.services import expiry, listing, vms
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.listing import VmView
from core.services.vms import VmRequest

PREFERRED = ("virtualbox", "qemu", "cloud-hypervisor")

blp = Blueprint("vms", SHAPE, "Virtual machines")


@blp.route("/vms")
class Vms(MethodView):
    @blp.query(VmQuery)
    @blp.read_many("vms", VmBrief)
    def get(self, session: Session, actor: Actor, query: JSON) -> Listed:
        """List all VMs."""
        statuses = statuses_of(query.pop("state", None))
        found, total = listing.page(session, actor, listing.Page(**query, statuses=statuses))
        return Listed(found, total, query["limit"], query["offset"])

    @blp.body(VmCreation)
    @blp.start_operation(200, VmChanged, outcome)
    def post(self, session: Session, actor: Actor, body: JSON) -> Accepted:
        """Create a VM."""
        return vms.create(session, actor, _wanted(body))


@blp.route("/vms/<vm_id_or_name>")
class OneVm(MethodView):
    @blp.read_one(VmDetail)
    def get(self, session: Session, actor: Actor, vm_id_or_name: str) -> VmView:
        """Get VM details."""
        return listing.view(session, actor, vm_id_or_name)

    @blp.query(DeleteQuery)
    @blp.start_operation(200, VmChanged, outcome, holds=False)
    def delete(self, session: Session, actor: Actor, query: JSON, vm_id_or_name: str) -> Accepted:
        """Delete a VM with all it has."""
        return vms.delete(session, actor, vm_id_or_name, delete_disks=query["delete_disks"])


@blp.route("/vms/<vm_id_or_name>/start")
class Start(MethodView):
    @blp.body(StartRequest, required=False)
    @blp.start_operation(200, VmChanged, outcome, holds=False)
    def post(self, session: Session, actor: Actor, body: JSON, vm_id_or_name: str) -> Accepted:
        """Start a VM."""
        return vms.start(session, actor, vm_id_or_name, gui=body["gui"] or not body["headless"])


@blp.route("/vms/<vm_id_or_name>/stop")
class Stop(MethodView):
    @blp.body(StopRequest, required=False)
    @blp.start_operation(200, VmChanged, outcome, holds=False)
    def post(self, session: Session, actor: Actor, body: JSON, vm_id_or_name: str) -> Accepted:
        """Stop a VM."""
        return vms.stop(session, actor, vm_id_or_name, grace_seconds=body["timeout_seconds"], force=body["force"])


@blp.route("/vms/<vm_id_or_name>/restart")
class Restart(MethodView):
    @blp.body(StopRequest, required=False)
    @blp.start_operation(200, VmChanged, outcome, holds=False)
    def post(self, session: Session, actor: Actor, body: JSON, vm_id_or_name: str) -> Accepted:
        """Restart a VM."""
        return vms.restart(session, actor, vm_id_or_name, grace_seconds=body["timeout_seconds"], force=body["force"])


@blp.route("/vms/<vm_id_or_name>/pause")
class Pause(MethodView):
    @blp.start_operation(200, VmChanged, outcome)
    def post(self, session: Session, actor: Actor, vm_id_or_name: str) -> Accepted:
        """Pause a running VM."""
        return vms.pause(session, actor, vm_id_or_name)


@blp.route("/vms/<vm_id_or_name>/resume")
class Resume(MethodView):
    @blp.start_operation(200, VmChanged, outcome)
    def post(self, session: Session, actor: Actor, vm_id_or_name: str) -> Accepted:
        """Resume a paused VM."""
        return vms.resume(session, actor, vm_id_or_name)


@blp.route("/vms/<vm_id_or_name>/save")
class Save(MethodView):
    @blp.start_operation(200, VmChanged, outcome)
    def post(self, session: Session, actor: Actor, vm_id_or_name: str) -> Accepted:
        """Save a VM's state: off, and the next start goes on from there."""
        return vms.save(session, actor, vm_id_or_name)


def _wanted(body: JSON) -> VmRequest:
    family = "windows" if body["os_type"].lower().startswith("win") else "linux"
    hypervisor = body.get("hypervisor")
    return VmRequest(
        name=body["name"],
        os_type=family,
        vcpus=body["cpus"],
        memory_mb=body["memory_mb"],
        disk_gb=body.get("storage_gb"),
        disk_field="storage_gb",
        image=body.get("template") or f"{family}-default",
        hypervisors=(hypervisor,) if hypervisor else preferred(*PREFERRED),
        host=body.get("host"),
        network=VmNetwork(**body["network_config"]),
        hardware=build(Hardware, {name: body[name] for name in ("os_type", "network", "storage_controllers")}),
        expires_at=expiry.after(body.get("ttl_seconds")),
    )
