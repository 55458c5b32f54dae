"""/system/metrics: the usage of the fleet or of one host, from what hosts send every few seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.answering import Rendered
from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, MomentField, TextField, moment
from api.rest.shapes import Shape
from api.shared.words import HOST_NAME
from api.web.context import api_context
from core.contract.hosts import HostUsage
from core.contract.messages import JSON
from core.contract.states import VmStatus
from core.models.base import now
from core.services import counts
from core.services.context import Actor
from core.services.hosts import OFFLINE, ONLINE, STATUSES
from core.services.monitoring import capacity
from core.services.monitoring.capacity import HostLoad, MachineTotals
from core.units import percent


class MachineMetricsSchema(Schema):
    """What machines have and use; null while no host has told. Agents on one machine count as one."""

    cpu_usage_percent = fields.Float(required=True, allow_none=True)
    cpu_cores = fields.Integer(required=True, allow_none=True)
    memory_total_gb = fields.Float(required=True, allow_none=True)
    memory_used_gb = fields.Float(required=True, allow_none=True)
    memory_usage_percent = fields.Float(required=True, allow_none=True)
    disk_total_gb = fields.Float(required=True, allow_none=True)
    disk_used_gb = fields.Float(required=True, allow_none=True)
    disk_usage_percent = fields.Float(required=True, allow_none=True)


class HostMetricsSchema(MachineMetricsSchema):
    """One host: nulls while it is offline, or has sent no figures lately."""

    name = fields.String(required=True)
    status = ChoiceField(*STATUSES, required=True)
    last_seen_at = MomentField(required=True)


class VmCountsSchema(Schema):
    """The VMs; `unknown_count`: on hosts that are offline, and not counted as running."""

    total_count = fields.Integer(required=True)
    running_count = fields.Integer(required=True)
    unknown_count = fields.Integer(required=True)
    total_vcpus_allocated = fields.Integer(required=True)
    total_memory_allocated_gb = fields.Float(required=True)


class SystemMetricsSchema(Schema):
    """The fleet in all, or one host, from what the hosts tell every few seconds."""

    timestamp = MomentField(required=True)
    host = fields.Nested(MachineMetricsSchema, required=True)
    vms = fields.Nested(VmCountsSchema, required=True)
    hosts = fields.List(fields.Nested(HostMetricsSchema), required=True)


class SystemQuerySchema(Schema):
    """Of one host alone."""

    host = TextField(longest=63, validate=HOST_NAME)


_NOTHING = tuple(MachineMetricsSchema().fields)
_MANY = 100


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("system_metrics", shape, "Metrics of the fleet")

    @blp.route("/system/metrics")
    class SystemMetricsView(MethodView):
        @blp.query(SystemQuerySchema)
        @blp.read_one(SystemMetricsSchema)
        def get(self, session: Session, actor: Actor, query: JSON) -> Rendered:
            """Get the capacity and the use of the fleet or of a host."""
            host = query.get("host")
            machines = _machines(session, actor) if host is None else _look(session, actor, host)
            return Rendered(machines.body | {"vms": _counted(session, host)}, "hosts", machines.hosts)

    return blp


@dataclass(frozen=True)
class _MachineMetrics:
    """What was found when machines were looked at; `hosts` as JSON, of so many."""

    body: JSON
    hosts: str
    count: int


def _machines(session: Session, actor: Actor) -> _MachineMetrics:
    """Those of a large fleet are looked at once in a while, however many ask: hosts tell every five seconds."""
    kept = api_context().machines
    found: _MachineMetrics | None = kept.get()
    if found is None:
        found = _look(session, actor, None)
        if found.count > _MANY:
            kept.put(found)
    return found


def _look(session: Session, actor: Actor, host: str | None) -> _MachineMetrics:
    found = capacity.measure(session, actor, host)
    hosts = json.dumps([_host(told) for told in found.hosts], separators=(",", ":"))
    body = {"timestamp": moment(now()), "host": _machine(found.machines)}
    return _MachineMetrics(body, hosts, len(found.hosts))


def _counted(session: Session, host: str | None) -> JSON:
    vms = counts.count(session, host)
    return {
        "total_count": vms.total,
        "running_count": vms.by_status.get(VmStatus.RUNNING, 0),
        "unknown_count": vms.by_status.get(VmStatus.UNKNOWN, 0),
        "total_vcpus_allocated": vms.vcpus,
        "total_memory_allocated_gb": _gigabytes(vms.memory_mb),
    }


def _host(told: HostLoad) -> JSON:
    return {
        "name": told.name,
        "status": ONLINE if told.online else OFFLINE,
        "last_seen_at": moment(told.last_seen_at),
    } | _machine(told.usage)


def _machine(used: MachineTotals | HostUsage | None) -> JSON:
    if used is None:
        return dict.fromkeys(_NOTHING)
    return {
        "cpu_usage_percent": used.cpu_percent,
        "cpu_cores": used.cpu_cores,
        "memory_total_gb": _gigabytes(used.memory_total_mb),
        "memory_used_gb": _gigabytes(used.memory_used_mb),
        "memory_usage_percent": percent(used.memory_used_mb, used.memory_total_mb),
        "disk_total_gb": _gigabytes(used.disk_total_mb),
        "disk_used_gb": _gigabytes(used.disk_used_mb),
        "disk_usage_percent": percent(used.disk_used_mb, used.disk_total_mb),
    }


def _gigabytes(megabytes: int) -> float:
    return round(megabytes / 1024, 2)
