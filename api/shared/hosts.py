"""/hosts: the machines of the fleet."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from msgspec import to_builtins
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, MomentField, RatioField
from api.rest.schemas import SortingSchema, StrictSchema
from api.rest.shapes import ResultPage, Shape
from api.shared import cordoned, draining, orphaned
from api.shared import labels as labelled
from api.shared.placements import CapacitySchema
from core.contract.messages import JSON
from core.contract.states import SchedulingState
from core.models import Host, HostIdentity
from core.services import hosts, lost
from core.services.context import Actor

_SECONDS = 20.0


class HostQuerySchema(SortingSchema):
    """Which hosts: all, or those that are online or offline, in a scheduling state, or with labels."""

    status = ChoiceField(*hosts.STATUSES)
    scheduling = ChoiceField(*SchedulingState)
    label = labelled.TermsField()
    sort = ChoiceField(*hosts.ORDERING.sorts)


class RemovalQuerySchema(Schema):
    """`force`: even while it is online."""

    force = fields.Boolean(load_default=False)


class SchedulingSchema(Schema):
    """Whether a host takes new VMs, and since when, by whom and why that is so."""

    state = ChoiceField(*SchedulingState, required=True)
    since = MomentField(required=True, allow_none=True)
    by = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True)


class OvercommitChangeSchema(StrictSchema):
    """How often what the host's agent offers may be promised to VMs."""

    vcpus = RatioField(*hosts.OVERCOMMIT)
    memory_mb = RatioField(*hosts.OVERCOMMIT)
    disk_gb = RatioField(*hosts.OVERCOMMIT)


class OvercommitSchema(Schema):
    """The same as it is: 1.0, just what is there."""

    vcpus = fields.Float(required=True)
    memory_mb = fields.Float(required=True)
    disk_gb = fields.Float(required=True)


class HostChangeSchema(StrictSchema):
    """What is to be otherwise; what is left out stays. `labels`: null takes one away."""

    labels = labelled.given(allow_none=True, load_default=dict)
    overcommit = fields.Nested(OvercommitChangeSchema, load_default=dict)


class HypervisorSchema(Schema):
    """A hypervisor of a host, as probed by use."""

    name = fields.String(required=True)
    healthy = fields.Boolean(required=True)
    version = fields.String(required=True)
    acceleration = fields.String(required=True)
    capabilities = fields.List(fields.String(), required=True)
    problem = fields.String(required=True)


class HostProblemSchema(Schema):
    """What is wrong with a host beside its hypervisors."""

    code = fields.String(required=True)
    message = fields.String(required=True)
    since = fields.String(required=True)


class HostSecretSchema(Schema):
    """How old a host's secret is, since when it is to be changed, and why it is not yet. Shown to administrators."""

    changed_at = MomentField(required=True)
    rotating_since = MomentField(required=True, allow_none=True)
    problem = fields.String(required=True, allow_none=True)


class HostSchema(Schema):
    """A host. Its `capacity` is what its agent has `offered`, times `overcommit`.

    `orphans`: VMs found there that are in no table, shown to administrators.
    """

    name = fields.String(required=True)
    labels = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    status = ChoiceField(*hosts.STATUSES, required=True)
    scheduling = fields.Nested(SchedulingSchema, required=True)
    last_seen_at = MomentField(required=True)
    offline_since = MomentField(required=True, allow_none=True)
    first_seen_at = MomentField(required=True)
    offered = fields.Nested(CapacitySchema, required=True)
    overcommit = fields.Nested(OvercommitSchema, required=True)
    capacity = fields.Nested(CapacitySchema, required=True)
    reserved = fields.Nested(CapacitySchema, required=True)
    free = fields.Nested(CapacitySchema, required=True)
    hypervisors = fields.List(fields.Nested(HypervisorSchema), required=True)
    images = fields.List(fields.String(), required=True)
    orphans = fields.List(fields.String(), required=True)
    problems = fields.List(fields.Nested(HostProblemSchema), required=True)
    facts = fields.Dict(required=True)
    secret = fields.Nested(HostSecretSchema, required=True, allow_none=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("hosts", shape, "Hosts")

    @blp.route("/hosts")
    class HostsView(MethodView):
        @blp.query(HostQuerySchema)
        @blp.read_many("hosts", HostSchema)
        def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
            """List the hosts of the fleet."""
            found, total = hosts.list_of(session, actor, hosts.HostFilter(**query))
            shown = [described(host, actor) for host in found]
            return ResultPage(shown, total, query["limit"], query["offset"])

    @blp.route("/hosts/<host_name>")
    class HostView(MethodView):
        @blp.read_one(HostSchema)
        def get(self, session: Session, actor: Actor, host_name: str) -> JSON:
            """Get a host."""
            return described(hosts.get(session, actor, host_name), actor)

        @blp.body(HostChangeSchema)
        @blp.write(200, HostSchema)
        def patch(self, session: Session, actor: Actor, body: JSON, host_name: str) -> JSON:
            """Change a host's labels, and how often its room is promised (administrators)."""
            return described(hosts.change(session, actor, host_name, **body), actor)

        @blp.query(RemovalQuerySchema)
        @blp.write(200, HostSchema)
        def delete(self, session: Session, actor: Actor, query: JSON, host_name: str) -> JSON:
            """Remove a host that is gone for good (administrators).

            Its VMs become lost and their capacity is free; if the host returns, the VMs are deleted there. Its
            agent is cut off at once.
            """
            return described(lost.remove_host(session, actor, host_name, **query), actor)

    cordoned.add(blp, HostSchema, described)
    draining.add(blp)
    orphaned.add(blp)
    return blp


def described(host: Host, actor: Actor) -> JSON:
    """A host as that caller may see it."""
    capacity, reserved = _room(host, ""), _room(host, "reserved_")
    return {
        "name": host.name,
        "labels": host.labels,
        "scheduling": {
            "state": host.scheduling_state,
            "since": host.scheduling_since,
            "by": host.scheduling_by,
            "reason": host.scheduling_reason,
        },
        "status": hosts.status_of(host),
        "last_seen_at": host.last_seen_at,
        "offline_since": host.offline_since,
        "first_seen_at": host.first_seen_at,
        "offered": _room(host, "offered_"),
        "overcommit": _room(host, "overcommit_"),
        "capacity": capacity,
        "reserved": reserved,
        "free": {what: max(0, capacity[what] - reserved[what]) for what in capacity},
        "hypervisors": host.drivers,
        "images": host.images,
        "orphans": host.orphans if actor.is_admin else [],
        "problems": [{"code": code, **problem} for code, problem in sorted(host.problems.items())],
        "facts": to_builtins(host.facts),
        "secret": _secret(host.identity) if actor.is_admin else None,
    }


def _secret(identity: HostIdentity | None) -> JSON | None:
    if identity is None:
        return None
    return {
        "changed_at": identity.secret_changed_at,
        "rotating_since": identity.rotating_since,
        "problem": identity.rotation_problem,
    }


def _room(host: Host, which: str) -> JSON:
    return {what: getattr(host, f"{which}{what}") for what in hosts.ROOM}
