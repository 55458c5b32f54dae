"""/system/info: what the fleet, or one host, is made of, and how large a VM may be; nothing is asked of any host."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.app import API_VERSION
from api.rest.blueprint import Blueprint
from api.rest.shapes import Shape
from api.shared.system_metrics import SystemQuery
from core.contract.messages import JSON
from core.models import Host
from core.services import sizes
from core.services.context import Actor
from core.services.monitoring import capacity
from core.services.monitoring.capacity import Fleet
from core.version import VERSION

_ABSENT = "absent"


class Machine(Schema):
    """The machines in all. `cpus` and `memory_mb` are what they have, or, where they have not said so lately, offer."""

    os = fields.String(required=True)
    cpus = fields.Integer(required=True)
    memory_mb = fields.Integer(required=True)
    virtualbox_version = fields.String(required=True, metadata={"description": "absent if no host has it"})
    hypervisors = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class Limits(Schema):
    """How many of the smallest VMs there is room for in all, and how large one VM may be (memory in MB)."""

    max_vms = fields.Integer(required=True)
    max_memory_per_vm = fields.Integer(required=True)
    max_cpus_per_vm = fields.Integer(required=True)


class SystemInfo(Schema):
    """What there is."""

    version = fields.String(required=True)
    api_version = fields.String(required=True)
    host = fields.Nested(Machine, required=True)
    limits = fields.Nested(Limits, required=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("system_info", shape, "Hardware and drivers of the fleet")

    @blp.route("/system/info")
    class OfSystem(MethodView):
        @blp.query(SystemQuery)
        @blp.read_one(SystemInfo)
        def get(self, session: Session, actor: Actor, query: JSON) -> JSON:
            """Get the hardware and drivers of the fleet or of a host."""
            return _described(capacity.measure(session, actor, query.get("host")))

    return blp


def _described(found: Fleet) -> JSON:
    known = [told.host for told in found.hosts]
    hypervisors = capacity.versions(known)
    machines = found.machines
    return {
        "version": VERSION,
        "api_version": API_VERSION,
        "host": {
            "os": ", ".join(sorted({host.facts.os for host in known})) or "none",
            "cpus": machines.cpu_cores if machines else sum(host.vcpus for host in known),
            "memory_mb": machines.memory_total_mb if machines else sum(host.memory_mb for host in known),
            "virtualbox_version": hypervisors.get("virtualbox", _ABSENT),
            "hypervisors": hypervisors,
        },
        "limits": {
            "max_vms": sum(_room(host) for host in known),
            "max_memory_per_vm": min(sizes.MEMORY_MB[1], max((host.memory_mb for host in known), default=0)),
            "max_cpus_per_vm": min(sizes.VCPUS[1], max((host.vcpus for host in known), default=0)),
        },
    }


def _room(host: Host) -> int:
    return min(host.vcpus, host.memory_mb // sizes.MEMORY_MB[0], host.disk_gb)
