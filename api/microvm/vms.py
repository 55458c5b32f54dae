"""/vms: the life of a virtual machine."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy.orm import Session

from api.microvm.schemas.vms import (
    MicrovmVmBriefSchema,
    MicrovmVmCreationSchema,
    MicrovmVmDetailSchema,
    MicrovmVmQuerySchema,
    PausedSchema,
    RestartedSchema,
    ResumedSchema,
    SavedSchema,
    StartedSchema,
    StoppedSchema,
    StoppingSchema,
)
from api.microvm.shape import SHAPE
from api.rest.blueprint import Blueprint
from api.rest.shapes import ResultPage
from api.shared import lifecycle, placements, vm_lists
from api.shared.images import fleet_image
from api.shared.lifecycle import Verb
from api.shared.media import DeleteQuerySchema
from api.shared.views import nothing, vm_of
from api.shared.words import RETURN, preferred
from core.contract.messages import JSON
from core.contract.vms import Hardware, Placement, VmNetwork
from core.services import expiry, listing, vms
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.listing import VmWithStatus
from core.services.vms import VmRequest

PREFERRED = ("cloud-hypervisor", "qemu")

blp = Blueprint("vms", SHAPE, "Virtual machines")


@blp.route("/vms")
class MicrovmVmsView(MethodView):
    @blp.query(MicrovmVmQuerySchema)
    @blp.read_many("vms", MicrovmVmBriefSchema)
    def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
        """List virtual machines."""
        status = query.pop("status", None)
        found, total = listing.page(session, actor, listing.VmFilter(**query, statuses=(status,) if status else ()))
        return ResultPage(found, total, query["limit"], query["offset"])

    @blp.body(MicrovmVmCreationSchema)
    @blp.start_operation(201, MicrovmVmBriefSchema, vm_of)
    def post(self, session: Session, actor: Actor, body: JSON) -> Accepted:
        """Create a virtual machine."""
        return vms.create(session, actor, _wanted(body))


@blp.route("/vms/<vm_name>")
class MicrovmVmView(MethodView):
    @blp.read_one(MicrovmVmDetailSchema)
    def get(self, session: Session, actor: Actor, vm_name: str) -> VmWithStatus:
        """Get a virtual machine."""
        return listing.view(session, actor, vm_name)

    @blp.query(DeleteQuerySchema)
    @blp.start_operation(204, None, nothing)
    def delete(self, session: Session, actor: Actor, query: JSON, vm_name: str) -> Accepted:
        """Delete a virtual machine permanently."""
        return vms.delete(session, actor, vm_name, delete_disks=query["delete_disks"])


lifecycle.add(
    blp,
    "vm_name",
    (
        Verb("start", StartedSchema, "Start a virtual machine."),
        Verb("stop", StoppedSchema, "Stop a virtual machine gracefully.", StoppingSchema),
        Verb("restart", RestartedSchema, "Restart a virtual machine.", StoppingSchema),
        Verb("pause", PausedSchema, "Pause a running virtual machine."),
        Verb("resume", ResumedSchema, "Resume a paused virtual machine."),
        Verb(
            "save", SavedSchema, "Save a virtual machine's memory to disk and stop it; the next start resumes from it."
        ),
    ),
)


def _wanted(body: JSON) -> VmRequest:
    hypervisor = body.get("hypervisor")
    image = body.get("template") or f"{body['os_type']}-default"
    return VmRequest(
        name=body["name"],
        os_type=body["os_type"],
        vcpus=body["vcpus"],
        memory_mb=body["memory_mb"],
        disk_gb=body["storage_config"].get("disk_size_gb"),
        disk_field="storage_config.disk_size_gb",
        image=image,
        hypervisors=(hypervisor,) if hypervisor else preferred(*PREFERRED),
        host=body.get("host"),
        placement=Placement(**body["placement"]),
        network=VmNetwork(**body["network_config"]),
        hardware=Hardware(disk_type=body["storage_config"]["disk_type"]),
        expires_at=expiry.after(body.get("ttl_seconds")),
        content=fleet_image(image),
        restart_policy=body["restart_policy"],
        or_existing=body["if_exists"] == RETURN,
    )


placements.add(blp, MicrovmVmCreationSchema, _wanted)
vm_lists.add(blp, MicrovmVmBriefSchema)
