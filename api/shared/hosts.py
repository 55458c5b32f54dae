"""/hosts: the machines of the fleet."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from msgspec import to_builtins
from sqlalchemy.orm import Session

from api.auditing import audit
from api.auth.identity import actor as caller
from api.rest.blueprint import Blueprint
from api.rest.fields import Choice, Moment, Text, computed
from api.rest.schemas import Paging, Sorting
from api.rest.shapes import Listed, Shape
from api.web.context import api_context
from api.web.views import mark
from core.contract.described import Described
from core.contract.messages import JSON, build
from core.contract.states import Status
from core.models import Host, Vm
from core.services import hosts, lost, orphans
from core.services.context import Actor
from core.services.paging import Slice
from core.services.status import status_of

_SECONDS = 20.0


class HostQuery(Sorting):
    """Which hosts: all, or those that are online, or offline."""

    status = Choice(*hosts.STATUSES)
    sort = Choice(*hosts.ORDERING.sorts)


class Capacity(Schema):
    """An amount of what VMs need."""

    vcpus = fields.Integer(required=True)
    memory_mb = fields.Integer(required=True)
    disk_gb = fields.Integer(required=True)


class Hypervisor(Schema):
    """A hypervisor of a host, as probed by use."""

    name = fields.String(required=True)
    healthy = fields.Boolean(required=True)
    version = fields.String(required=True)
    acceleration = fields.String(required=True)
    capabilities = fields.List(fields.String(), required=True)
    problem = fields.String(required=True)


class HostProblem(Schema):
    """What is wrong with a host beside its hypervisors."""

    code = fields.String(required=True)
    message = fields.String(required=True)
    since = fields.String(required=True)


class Orphan(Schema):
    """A VM on a host that is in no table."""

    id = fields.String(required=True)
    host = fields.String(required=True)


class HostSchema(Schema):
    """A host. `orphans`: VMs found there that are in no table, shown to administrators."""

    name = fields.String(required=True)
    silent = computed(fields.Boolean, lambda host: host["silent_since"] is not None)
    last_seen_at = Moment(required=True)
    silent_since = Moment(required=True, allow_none=True)
    first_seen_at = Moment(required=True)
    capacity = fields.Nested(Capacity, required=True)
    reserved = fields.Nested(Capacity, required=True)
    free = fields.Nested(Capacity, required=True)
    hypervisors = fields.List(fields.Nested(Hypervisor), required=True)
    images = fields.List(fields.String(), required=True)
    orphans = fields.List(fields.String(), required=True)
    problems = fields.List(fields.Nested(HostProblem), required=True)
    facts = fields.Dict(required=True)


class AdoptionRequest(Schema):
    """Whose an orphan is to be, and what it is called; by default as it was."""

    owner = Text(longest=64, required=True, metadata={"description": "a user's name"})
    name = Text(longest=63, load_default=None, allow_none=True)


class Adopted(Schema):
    """A VM that was an orphan."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    owner = fields.String(required=True)
    host = fields.String(required=True)
    hypervisor = fields.String(required=True)
    image = fields.String(required=True)
    status = Choice(*Status, required=True)
    vcpus = fields.Integer(required=True)
    memory_mb = fields.Integer(required=True)
    disk_gb = fields.Integer(required=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("hosts", shape, "Hosts")

    @blp.route("/hosts")
    class Hosts(MethodView):
        @blp.query(HostQuery)
        @blp.read_many("hosts", HostSchema)
        def get(self, session: Session, actor: Actor, query: JSON) -> Listed:
            """List the hosts of the fleet."""
            status = query.pop("status", None)
            found, total = hosts.list_of(session, actor, Slice(**query), status)
            shown = [described(host, actor) for host in found]
            return Listed(shown, total, query["limit"], query["offset"])

    @blp.route("/hosts/<host_name>")
    class OneHost(MethodView):
        @blp.read_one(HostSchema)
        def get(self, session: Session, actor: Actor, host_name: str) -> JSON:
            """Get a host."""
            return described(hosts.get(session, actor, host_name), actor)

        @blp.write(200, HostSchema)
        def delete(self, session: Session, actor: Actor, host_name: str) -> JSON:
            """Give up a host that never comes back (administrators).

            Its VMs become lost and their room is free; should it return, what is left of them there is removed.
            """
            return described(lost.remove_host(session, actor, host_name), actor)

    @blp.route("/hosts/<host_name>/orphans")
    class Orphans(MethodView):
        @blp.query(Paging)
        @blp.read_many("orphans", Orphan)
        @mark("admin")
        def get(self, session: Session, actor: Actor, query: JSON, host_name: str) -> Listed:
            """List the VMs on a host that are in no table (administrators)."""
            found, total = orphans.page(session, actor, host_name, query["limit"], query["offset"])
            return Listed([_orphan(host_name, each) for each in found], total, query["limit"], query["offset"])

    @blp.route("/hosts/<host_name>/orphans/<vm_id>")
    class OneOrphan(MethodView):
        @blp.write(202, Orphan)
        def delete(self, session: Session, actor: Actor, host_name: str, vm_id: str) -> JSON:
            """Have a host remove a VM that is in no table (administrators). It is listed until that is done."""
            orphans.remove(session, actor, host_name, vm_id)
            return _orphan(host_name, vm_id)

    @blp.route("/hosts/<host_name>/orphans/<vm_id>/adopt")
    class Adoption(MethodView):
        @blp.slow_write(201, Adopted, Actor.must_administer)
        @blp.body(AdoptionRequest)
        def post(self, body: JSON, host_name: str, vm_id: str) -> JSON:
            """Take a VM that is in no table into the record, with an owner (administrators). It stays as it is."""
            with api_context().reading() as session:
                orphans.to_ask(session, caller(), host_name, vm_id)
            told = api_context().hub.call(host_name, "describe", None, {"vm_id": vm_id}, _SECONDS)
            with api_context().transaction() as session:
                vm = orphans.adopt(session, caller(), host_name, vm_id, build(Described, told), **body)
                made = _adopted(vm, body["owner"])
                audit.within(session, 201, made)
            return made

    return blp


def _adopted(vm: Vm, owner: str) -> JSON:
    shown = ("id", "name", "hypervisor", "image", "vcpus", "memory_mb", "disk_gb")
    told = {name: getattr(vm, name) for name in shown}
    return told | {"host": vm.host_name, "owner": owner, "status": status_of(vm, None)}


def _orphan(host_name: str, vm_id: str) -> JSON:
    return {"id": vm_id, "host": host_name}


def described(host: Host, actor: Actor) -> JSON:
    """A host as that caller may see it."""
    capacity = {"vcpus": host.vcpus, "memory_mb": host.memory_mb, "disk_gb": host.disk_gb}
    reserved = {
        "vcpus": host.reserved_vcpus,
        "memory_mb": host.reserved_memory_mb,
        "disk_gb": host.reserved_disk_gb,
    }
    return {
        "name": host.name,
        "last_seen_at": host.last_seen_at,
        "silent_since": host.silent_since,
        "first_seen_at": host.first_seen_at,
        "capacity": capacity,
        "reserved": reserved,
        "free": {what: max(0, capacity[what] - reserved[what]) for what in capacity},
        "hypervisors": host.drivers,
        "images": host.images,
        "orphans": host.orphans if actor.is_admin else [],
        "problems": [{"code": code, **problem} for code, problem in sorted(host.problems.items())],
        "facts": to_builtins(host.facts),
    }
