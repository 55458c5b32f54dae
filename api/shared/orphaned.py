"""/hosts/{host}/orphans: VMs on a host that are in no table."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.auditing import audit
from api.auth.identity import actor as caller
from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, TextField
from api.rest.schemas import PagingSchema
from api.rest.shapes import ResultPage
from api.web.context import api_context
from api.web.views import mark
from core.contract.described import DescribeReply
from core.contract.messages import JSON, build
from core.contract.states import VmStatus
from core.models import Vm
from core.services import orphans
from core.services.context import Actor
from core.services.status import status_of

_SECONDS = 20.0


class OrphanSchema(Schema):
    """A VM on a host that is in no table."""

    id = fields.String(required=True)
    host = fields.String(required=True)


class AdoptionRequestSchema(Schema):
    """Whose an orphan is to be, and what it is called; by default as it was."""

    owner = TextField(longest=64, required=True, metadata={"description": "the username of the new owner"})
    name = TextField(longest=63, load_default=None, allow_none=True)


class AdoptedSchema(Schema):
    """A VM that was an orphan."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    owner = fields.String(required=True)
    host = fields.String(required=True)
    hypervisor = fields.String(required=True)
    image = fields.String(required=True)
    status = ChoiceField(*VmStatus, required=True)
    vcpus = fields.Integer(required=True)
    memory_mb = fields.Integer(required=True)
    disk_gb = fields.Integer(required=True)


def add(blp: Blueprint) -> None:
    """The resources, among those of hosts."""

    @blp.route("/hosts/<host_name>/orphans")
    class OrphansView(MethodView):
        @blp.query(PagingSchema)
        @blp.read_many("orphans", OrphanSchema)
        @mark("admin")
        def get(self, session: Session, actor: Actor, query: JSON, host_name: str) -> ResultPage:
            """List a host's orphans: VMs that are not in the database (administrators)."""
            found, total = orphans.page(session, actor, host_name, query["limit"], query["offset"])
            return ResultPage([_orphan(host_name, each) for each in found], total, query["limit"], query["offset"])

    @blp.route("/hosts/<host_name>/orphans/<vm_id>")
    class OrphanView(MethodView):
        @blp.write(202, OrphanSchema)
        def delete(self, session: Session, actor: Actor, host_name: str, vm_id: str) -> JSON:
            """Delete an orphan on its host (administrators). It is listed until it is deleted."""
            orphans.remove(session, actor, host_name, vm_id)
            return _orphan(host_name, vm_id)

    @blp.route("/hosts/<host_name>/orphans/<vm_id>/adopt")
    class AdoptionView(MethodView):
        @blp.slow_write(201, AdoptedSchema, Actor.must_administer)
        @blp.body(AdoptionRequestSchema)
        def post(self, body: JSON, host_name: str, vm_id: str) -> JSON:
            """Add an orphan to the database as a user's VM (administrators). The VM itself does not change."""
            with api_context().reading() as session:
                orphans.to_ask(session, caller(), host_name, vm_id)
            told = api_context().hub.call(host_name, "describe", None, {"vm_id": vm_id}, _SECONDS)
            with api_context().transaction() as session:
                vm = orphans.adopt(session, caller(), host_name, vm_id, build(DescribeReply, told), **body)
                made = _adopted(vm, body["owner"])
                audit.within(session, 201, made)
            return made


def _adopted(vm: Vm, owner: str) -> JSON:
    shown = ("id", "name", "hypervisor", "image", "vcpus", "memory_mb", "disk_gb")
    told = {name: getattr(vm, name) for name in shown}
    return told | {"host": vm.host_name, "owner": owner, "status": status_of(vm, None)}


def _orphan(host_name: str, vm_id: str) -> JSON:
    return {"id": vm_id, "host": host_name}
