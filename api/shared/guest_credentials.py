"""The account in a guest by which VirtualBox runs commands there: set, never shown."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import Text
from api.rest.questions import Question
from api.rest.schemas import Strict
from api.rest.shapes import Shape
from core.contract.messages import JSON
from core.services import calls
from core.services.context import Actor

_SECONDS = 15.0


class GuestAccount(Strict):
    """A name and a password in the guest."""

    username = Text(required=True, shortest=1, longest=256)
    password = Text(required=True, shortest=1, longest=256)


class GuestAccountSet(Schema):
    """That they were taken; a command run with them shows whether they are right."""

    message = fields.String(required=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("guest-credentials", shape, "Guest credentials, for hypervisors that need them")

    @blp.route("/vms/<vm_name>/guest-credentials")
    class GuestCredentials(MethodView):
        @blp.body(GuestAccount)
        @blp.call_agent(GuestAccountSet, _taken)
        def put(self, session: Session, actor: Actor, body: JSON, vm_name: str) -> Question:
            """Set the account that runs commands in a guest; the host keeps it encrypted."""
            host, vm = calls.to_driver(session, actor, vm_name, "guest_credentials")
            return Question(host, "guest_credentials", vm, body, _SECONDS)

    return blp


def _taken(_question: Question, _reply: JSON) -> JSON:
    return {"message": "the credentials are kept, encrypted, on the VM's host"}
