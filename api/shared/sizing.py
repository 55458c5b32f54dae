"""The sizes and limits of VMs: the same bodies in both dialects."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from marshmallow import Schema, ValidationError, fields, validates_schema
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, MomentField, NumberField, Within
from api.rest.schemas import StrictSchema, constant
from api.rest.shapes import Shape
from core.contract import results
from core.contract.messages import JSON
from core.contract.states import Applied
from core.services import operations, sizes
from core.services.accepted import Accepted, AnyOperation
from core.services.context import Actor


class ResizingSchema(StrictSchema):
    """What is to change of a VM's size; at least one of them. A limit of 100 is none."""

    vcpus = fields.Integer(strict=True, validate=Within(*sizes.VCPUS))
    memory_mb = NumberField(*sizes.MEMORY_MB)
    cpu_limit_percent = NumberField(*sizes.PERCENT)
    memory_limit_percent = NumberField(*sizes.PERCENT)

    @validates_schema
    def _asks_for_something(self, data: JSON, **_: Any) -> None:
        if not data:
            raise ValidationError(f"at least one of {', '.join(self.fields)} is required", "vcpus")


class SizesSchema(Schema):
    """A size. Limits are null where there are none."""

    vcpus = fields.Integer(required=True)
    memory_mb = fields.Integer(required=True)
    cpu_limit_percent = fields.Integer(required=True, allow_none=True)
    memory_limit_percent = fields.Integer(required=True, allow_none=True)


class WhenAppliedSchema(Schema):
    """Since when each holds: `live`, of a VM that runs with it now, or `at_next_start`; null until that is known."""

    vcpus = ChoiceField(*Applied, required=True, allow_none=True)
    memory_mb = ChoiceField(*Applied, required=True, allow_none=True)
    cpu_limit_percent = ChoiceField(*Applied, required=True, allow_none=True)
    memory_limit_percent = ChoiceField(*Applied, required=True, allow_none=True)


class ResizedSchema(Schema):
    """A VM whose size was changed."""

    message = constant("Resources updated successfully")
    vm_name = fields.String(required=True)
    updated_at = MomentField(required=True)
    new_resources = fields.Nested(SizesSchema, required=True)
    applied = fields.Nested(WhenAppliedSchema, required=True)


def resized(_session: Session, operation: AnyOperation) -> JSON:
    """What is said of a VM that was resized."""
    told = operations.result_of(operation, results.Resized)
    applied = vars(told.applied) if told else dict.fromkeys(operation.params)
    return {
        "vm_name": operation.vm_name,
        "updated_at": operation.ended_at,
        "new_resources": operation.params,
        "applied": applied,
    }


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("resources", shape, "Sizes and limits of virtual machines")

    @blp.route("/vms/<vm_name>/resources")
    class ResourcesView(MethodView):
        @blp.body(ResizingSchema)
        @blp.start_operation(200, ResizedSchema, resized)
        def put(self, session: Session, actor: Actor, body: JSON, vm_name: str) -> Accepted:
            """Update the resources of a virtual machine."""
            return sizes.resize(session, actor, vm_name, body)

    return blp
