"""/vms/{vm}/metrics: a VM, measured now."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import MomentField
from api.rest.questions import AgentCall
from api.rest.shapes import Shape
from core.contract.messages import JSON
from core.models.base import now
from core.services import calls
from core.services.context import Actor
from core.units import GB, MB, percent

_SECONDS = 30.0


class CpuSchema(Schema):
    """`usage_percent` of all its vCPUs, over half a second; the time since its start."""

    usage_percent = fields.Float(required=True)
    vcpus = fields.Integer(required=True)
    cpu_time_seconds = fields.Integer(required=True)


class MemorySchema(Schema):
    """`used_mb`: what its host holds for it now. What the guest itself uses is in `guest`."""

    allocated_mb = fields.Integer(required=True)
    used_mb = fields.Integer(required=True)
    usage_percent = fields.Float(required=True)
    available_mb = fields.Integer(required=True)


class DiskIoSchema(Schema):
    """What was read and written since its start."""

    read_bytes = fields.Integer(required=True)
    written_bytes = fields.Integer(required=True)
    reads = fields.Integer(required=True)
    writes = fields.Integer(required=True)


class DiskSchema(Schema):
    """`used_gb`: what the disk's files take on the host."""

    allocated_gb = fields.Integer(required=True)
    used_gb = fields.Float(required=True)
    usage_percent = fields.Float(required=True)
    available_gb = fields.Float(required=True)
    io = fields.Nested(DiskIoSchema, required=True, allow_none=True)


class NetworkSchema(Schema):
    """As the VM sees in and out; null where nobody can tell. `source`: the host's tap, VirtualBox, or the guest."""

    bytes_in = fields.Integer(required=True, allow_none=True)
    bytes_out = fields.Integer(required=True, allow_none=True)
    packets_in = fields.Integer(required=True, allow_none=True)
    packets_out = fields.Integer(required=True, allow_none=True)
    source = fields.String(required=True, allow_none=True)


class GuestCpuSchema(Schema):
    """The processors as the guest's kernel sees them."""

    usage_percent = fields.Float(required=True)


class GuestMemorySchema(Schema):
    """The memory as the guest's kernel sees it; what is available includes caches that it would give up."""

    total_mb = fields.Integer(required=True)
    used_mb = fields.Integer(required=True)
    available_mb = fields.Integer(required=True)
    usage_percent = fields.Float(required=True)


class FileSystemSchema(Schema):
    """A file system that is mounted in the guest."""

    mountpoint = fields.String(required=True)
    type = fields.String(required=True)
    total_bytes = fields.Integer(required=True, allow_none=True)
    used_bytes = fields.Integer(required=True, allow_none=True)


class GuestSchema(Schema):
    """What the guest's agent says."""

    cpu = fields.Nested(GuestCpuSchema, required=True, allow_none=True)
    memory = fields.Nested(GuestMemorySchema, required=True, allow_none=True)
    file_systems = fields.List(fields.Nested(FileSystemSchema), required=True, allow_none=True)


class VmMetricsSchema(Schema):
    """A VM, measured; one that does not run uses nothing but its disk. `unknown` says why a part is null."""

    vm_name = fields.String(required=True)
    timestamp = MomentField(required=True)
    cpu = fields.Nested(CpuSchema, required=True)
    memory = fields.Nested(MemorySchema, required=True)
    disk = fields.Nested(DiskSchema, required=True)
    network = fields.Nested(NetworkSchema, required=True)
    guest = fields.Nested(GuestSchema, required=True, allow_none=True)
    reasons = fields.Dict(keys=fields.String(), values=fields.String(), required=True, data_key="unknown")


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("metrics", shape, "Metrics")

    @blp.route("/vms/<vm_name>/metrics")
    class VmMetricsView(MethodView):
        @blp.read_from_agent(VmMetricsSchema, _measured)
        def get(self, session: Session, actor: Actor, vm_name: str) -> AgentCall:
            """Get the resource usage of a virtual machine."""
            host, vm = calls.to_host(session, actor, vm_name, "metrics")
            return AgentCall(host, "measure", vm, {}, _SECONDS)

    return blp


def _measured(question: AgentCall, reply: JSON) -> JSON:
    vm, sample = question.of_vm, reply["sample"]
    allocated_mb, allocated_gb = vm.memory_mb, vm.disk_gb
    used_mb, used_gb = sample["memory_bytes"] // MB, sample["disk_bytes"] / GB
    nothing = 0 if sample["cpu_seconds"] is None else None
    unheard = dict.fromkeys(("bytes_in", "bytes_out", "packets_in", "packets_out"), nothing) | {"source": None}
    return {
        "vm_name": vm.name,
        "timestamp": now(),
        "cpu": {
            "usage_percent": reply["cpu_percent"],
            "vcpus": vm.vcpus,
            "cpu_time_seconds": sample["cpu_seconds"] or 0,
        },
        "memory": {
            "allocated_mb": allocated_mb,
            "used_mb": used_mb,
            "usage_percent": percent(used_mb, allocated_mb),
            "available_mb": max(0, allocated_mb - used_mb),
        },
        "disk": {
            "allocated_gb": allocated_gb,
            "used_gb": round(used_gb, 2),
            "usage_percent": percent(used_gb, allocated_gb),
            "available_gb": round(max(0.0, allocated_gb - used_gb), 2),
            "io": reply["disk_io"],
        },
        "network": reply["network"] or unheard,
        "guest": reply["guest"],
        "reasons": reply["unknown"],
    }
