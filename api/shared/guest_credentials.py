"""The account in a guest by which VirtualBox runs commands there: set, never shown."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import TextField
from api.rest.questions import AgentCall
from api.rest.schemas import StrictSchema
from api.rest.shapes import Shape
from core.contract.messages import JSON
from core.services import calls
from core.services.context import Actor

_SECONDS = 15.0


class GuestAccountSchema(StrictSchema):
    """A name and a password in the guest."""

    username = TextField(required=True, shortest=1, longest=256)
    password = TextField(required=True, shortest=1, longest=256)


class GuestAccountSetSchema(Schema):
    """That they were taken; a command run with them shows whether they are right."""

    message = fields.String(required=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("guest-credentials", shape, "Guest credentials, for hypervisors that need them")

    @blp.route("/vms/<vm_name>/guest-credentials")
    class GuestCredentialsView(MethodView):
        @blp.body(GuestAccountSchema)
        @blp.call_agent(GuestAccountSetSchema, _taken)
        def put(self, session: Session, actor: Actor, body: JSON, vm_name: str) -> AgentCall:
            """Set the account that runs commands in a guest; the host keeps it encrypted."""
            host, vm = calls.to_driver(session, actor, vm_name, "guest_credentials")
            return AgentCall(host, "guest_credentials", vm, body, _SECONDS)

    return blp


def _taken(_question: AgentCall, _reply: JSON) -> JSON:
    return {"message": "the credentials are kept, encrypted, on the VM's host"}
