"""/system/info: the machines of the fleet or of one host, and the largest possible VM; no host is called."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.app import API_VERSION
from api.rest.blueprint import Blueprint
from api.rest.shapes import Shape
from api.shared.system_metrics import SystemQuerySchema
from core.contract.messages import JSON
from core.services import sizes
from core.services.context import Actor
from core.services.monitoring import capacity
from core.version import VERSION

_ABSENT = "absent"


class MachineSchema(Schema):
    """The machines in all. `cpus` and `memory_mb` are what they have, or, where they have not said so lately, offer."""

    os = fields.String(required=True)
    cpus = fields.Integer(required=True)
    memory_mb = fields.Integer(required=True)
    virtualbox_version = fields.String(required=True, metadata={"description": "absent if no host has it"})
    hypervisors = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class LimitsSchema(Schema):
    """How many of the smallest VMs there is room for in all, and how large one VM may be (memory in MB)."""

    max_vms = fields.Integer(required=True)
    max_memory_per_vm = fields.Integer(required=True)
    max_cpus_per_vm = fields.Integer(required=True)


class SystemInfoSchema(Schema):
    """What there is."""

    version = fields.String(required=True)
    api_version = fields.String(required=True)
    host = fields.Nested(MachineSchema, required=True)
    limits = fields.Nested(LimitsSchema, required=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("system_info", shape, "Hardware and drivers of the fleet")

    @blp.route("/system/info")
    class SystemInfoView(MethodView):
        @blp.query(SystemQuerySchema)
        @blp.read_one(SystemInfoSchema)
        def get(self, session: Session, actor: Actor, query: JSON) -> JSON:
            """Get the hardware and drivers of the fleet or of a host."""
            return _described(session, actor, query.get("host"))

    return blp


def _described(session: Session, actor: Actor, host: str | None) -> JSON:
    offered, machines = capacity.offer(session, actor, host), capacity.machines(session, actor, host)
    hypervisors = capacity.versions(session, host)
    return {
        "version": VERSION,
        "api_version": API_VERSION,
        "host": {
            "os": ", ".join(offered.oses) or "none",
            "cpus": machines.cpu_cores if machines else offered.vcpus,
            "memory_mb": machines.memory_total_mb if machines else offered.memory_mb,
            "virtualbox_version": hypervisors.get("virtualbox", _ABSENT),
            "hypervisors": hypervisors,
        },
        "limits": {
            "max_vms": offered.smallest,
            "max_memory_per_vm": min(sizes.MEMORY_MB[1], offered.most_memory_mb),
            "max_cpus_per_vm": min(sizes.VCPUS[1], offered.most_vcpus),
        },
    }
