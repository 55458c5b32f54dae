"""/vms/{vm}/network/port-forwards: ports of the VM's host that lead into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask.views import MethodView
from marshmallow import Schema, ValidationError, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import Between, ChoiceField, MomentField, NumberField, TextField
from api.rest.schemas import PagingSchema, StrictSchema, constant
from api.rest.shapes import ResultPage, Shape
from api.shared.views import nothing
from core.contract.commands import OfForward
from core.contract.errors import NotFound
from core.contract.messages import JSON
from core.models import Host, PortForward, Vm
from core.services import forwards, operations
from core.services.accepted import Accepted, AnyOperation
from core.services.context import Actor
from core.services.forwards import FIRST_PORT, LAST_PORT, ForwardRequest


class _HostPort(Between):
    """0, or a port that needs no privilege."""

    def __init__(self) -> None:
        super().__init__(0, LAST_PORT)

    def __call__(self, value: Any) -> Any:
        if 0 < value < FIRST_PORT:
            raise ValidationError(f"must be 0 (any free one) or at least {FIRST_PORT}")
        return super().__call__(value)


class ForwardCreationSchema(StrictSchema):
    """A port of the host, and where it leads; `host_port` 0: any that is free."""

    host_port = fields.Integer(strict=True, validate=_HostPort(), load_default=0)
    guest_port = NumberField(1, LAST_PORT, required=True)
    protocol = ChoiceField(*forwards.PROTOCOLS, load_default="tcp")
    description = TextField(longest=2000, load_default="")


class WhichProtocolSchema(Schema):
    """Needed only where both have that port."""

    protocol = ChoiceField(*forwards.PROTOCOLS, load_default=None)


class ForwardSchema(Schema):
    """A port forward. `host_address`: where the host listens."""

    host_port = fields.Integer(required=True, attribute="forward.host_port")
    guest_port = fields.Integer(required=True, attribute="forward.guest_port")
    protocol = ChoiceField(*forwards.PROTOCOLS, required=True, attribute="forward.protocol")
    id = fields.String(required=True, attribute="forward.id")
    description = fields.String(required=True, attribute="forward.description")
    host = fields.String(required=True, attribute="host.name")
    host_address = fields.String(required=True)
    created_at = MomentField(required=True, attribute="forward.created_at")


class ForwardMadeSchema(ForwardSchema):
    """A port forward that was made."""

    message = constant("Port forward configured")
    vm_name = fields.String(required=True, attribute="vm.name")


@dataclass(frozen=True)
class ForwardWithVm:
    """A forward, its VM, and the host that listens."""

    forward: PortForward
    vm: Vm
    host: Host

    @property
    def host_address(self) -> str:
        """Where it listens."""
        return forwards.address_of(self.host)


def forward_of(session: Session, operation: AnyOperation) -> ForwardWithVm:
    """The forward of an operation; `NotFound` when it was removed since."""
    asked = operations.asked(operation, OfForward)
    forward = session.get(PortForward, asked.forward_id)
    if forward is None:
        raise NotFound(f"port forward {asked.host_port} of VM '{operation.vm_name}' no longer exists")
    return ForwardWithVm(forward, session.get_one(Vm, forward.vm_id), session.get_one(Host, forward.host_name))


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("forwards", shape, "Port forwards")

    @blp.route("/vms/<vm_name>/network/port-forward")
    class ForwardCreationView(MethodView):
        @blp.body(ForwardCreationSchema)
        @blp.start_operation(201, ForwardMadeSchema, forward_of)
        def post(self, session: Session, actor: Actor, body: JSON, vm_name: str) -> Accepted:
            """Configure a port forward of a virtual machine."""
            return forwards.create(session, actor, vm_name, ForwardRequest(**body))

    @blp.route("/vms/<vm_name>/network/port-forwards")
    class ForwardsView(MethodView):
        @blp.query(PagingSchema)
        @blp.read_many("port_forwards", ForwardSchema)
        def get(self, session: Session, actor: Actor, query: JSON, vm_name: str) -> ResultPage:
            """List the port forwards of a virtual machine."""
            vm, found, total = forwards.page(session, actor, vm_name, **query)
            host = session.get_one(Host, vm.host_name)
            return ResultPage([ForwardWithVm(each, vm, host) for each in found], total, query["limit"], query["offset"])

    @blp.route("/vms/<vm_name>/network/port-forwards/<forward>")
    class ForwardRemovalView(MethodView):
        @blp.query(WhichProtocolSchema)
        @blp.start_operation(204, None, nothing)
        def delete(self, session: Session, actor: Actor, query: JSON, vm_name: str, forward: str) -> Accepted:
            """Remove a port forward, by the host's port or by its id."""
            return forwards.delete(session, actor, vm_name, forward, query["protocol"])

    return blp
