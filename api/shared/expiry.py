"""/vms/{vm}/expiry: the time when a VM is deleted automatically."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import MomentField, NumberField
from api.rest.schemas import StrictSchema
from api.rest.shapes import Shape
from core.contract.messages import JSON
from core.services import expiry
from core.services.context import Actor

DESCRIPTION = "seconds until the VM is deleted automatically (default: never)"


class ExpiringSchema(StrictSchema):
    """How long a VM lives from now on; null: until somebody deletes it."""

    ttl_seconds = NumberField(
        *expiry.TTL_SECONDS, required=True, allow_none=True, metadata={"description": DESCRIPTION}
    )


class ExpirySchema(Schema):
    """When a VM is deleted by itself; null: never."""

    vm_name = fields.String(required=True, attribute="name")
    expires_at = MomentField(required=True, allow_none=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("expiry", shape, "Times to live of virtual machines")

    @blp.route("/vms/<vm_name>/expiry")
    class ExpiryView(MethodView):
        @blp.body(ExpiringSchema)
        @blp.write(200, ExpirySchema)
        def put(self, session: Session, actor: Actor, body: JSON, vm_name: str) -> object:
            """Set when a virtual machine is deleted automatically, from now on."""
            return expiry.set_ttl(session, actor, vm_name, body["ttl_seconds"])

    return blp
