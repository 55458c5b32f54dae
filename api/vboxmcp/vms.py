"""/vms: the life of a virtual machine."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.shapes import ResultPage
from api.shared import lifecycle, placements, vm_lists
from api.shared.images import fleet_image
from api.shared.lifecycle import Verb
from api.shared.media import DeleteQuerySchema
from api.shared.views import outcome
from api.shared.words import RETURN, preferred
from api.vboxmcp.schemas.vms import (
    StartRequestSchema,
    StopRequestSchema,
    VboxmcpVmBriefSchema,
    VboxmcpVmCreationSchema,
    VboxmcpVmDetailSchema,
    VboxmcpVmQuerySchema,
    VmChangedSchema,
)
from api.vboxmcp.shape import SHAPE
from api.vboxmcp.states import statuses_of
from core.contract.messages import JSON, build
from core.contract.vms import Hardware, Placement, VmNetwork
from core.services import expiry, listing, vms
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.listing import VmWithStatus
from core.services.vms import VmRequest

PREFERRED = ("virtualbox", "qemu", "cloud-hypervisor")

blp = Blueprint("vms", SHAPE, "Virtual machines")


@blp.route("/vms")
class VboxmcpVmsView(MethodView):
    @blp.query(VboxmcpVmQuerySchema)
    @blp.read_many("vms", VboxmcpVmBriefSchema)
    def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
        """List all VMs."""
        statuses = statuses_of(query.pop("state", None))
        found, total = listing.page(session, actor, listing.VmFilter(**query, statuses=statuses))
        return ResultPage(found, total, query["limit"], query["offset"])

    @blp.body(VboxmcpVmCreationSchema)
    @blp.start_operation(200, VmChangedSchema, outcome)
    def post(self, session: Session, actor: Actor, body: JSON) -> Accepted:
        """Create a VM."""
        return vms.create(session, actor, _wanted(body))


@blp.route("/vms/<vm_id_or_name>")
class VboxmcpVmView(MethodView):
    @blp.read_one(VboxmcpVmDetailSchema)
    def get(self, session: Session, actor: Actor, vm_id_or_name: str) -> VmWithStatus:
        """Get VM details."""
        return listing.view(session, actor, vm_id_or_name)

    @blp.query(DeleteQuerySchema)
    @blp.start_operation(200, VmChangedSchema, outcome, holds=False)
    def delete(self, session: Session, actor: Actor, query: JSON, vm_id_or_name: str) -> Accepted:
        """Delete a VM with its disk and snapshots."""
        return vms.delete(session, actor, vm_id_or_name, delete_disks=query["delete_disks"])


lifecycle.add(
    blp,
    "vm_id_or_name",
    (
        Verb("start", VmChangedSchema, "Start a VM.", StartRequestSchema, holds=False),
        Verb("stop", VmChangedSchema, "Stop a VM.", StopRequestSchema, holds=False),
        Verb("restart", VmChangedSchema, "Restart a VM.", StopRequestSchema, holds=False),
        Verb("pause", VmChangedSchema, "Pause a running VM."),
        Verb("resume", VmChangedSchema, "Resume a paused VM."),
        Verb("save", VmChangedSchema, "Save a VM's memory to disk and stop it; the next start resumes from it."),
    ),
)


def _wanted(body: JSON) -> VmRequest:
    family = "windows" if body["os_type"].lower().startswith("win") else "linux"
    hypervisor = body.get("hypervisor")
    image = body.get("template") or f"{family}-default"
    return VmRequest(
        name=body["name"],
        os_type=family,
        vcpus=body["cpus"],
        memory_mb=body["memory_mb"],
        disk_gb=body.get("storage_gb"),
        disk_field="storage_gb",
        image=image,
        hypervisors=(hypervisor,) if hypervisor else preferred(*PREFERRED),
        host=body.get("host"),
        placement=Placement(**body["placement"]),
        network=VmNetwork(**body["network_config"]),
        hardware=build(Hardware, {name: body[name] for name in ("os_type", "network", "storage_controllers")}),
        expires_at=expiry.after(body.get("ttl_seconds")),
        content=fleet_image(image),
        restart_policy=body["restart_policy"],
        or_existing=body["if_exists"] == RETURN,
    )


placements.add(blp, VboxmcpVmCreationSchema, _wanted)
vm_lists.add(blp, VboxmcpVmBriefSchema)
