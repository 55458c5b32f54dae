"""/operations: accepted changes, their progress and their results."""

from __future__ import annotations

from flask import Response
from flask.views import MethodView
from marshmallow import Schema
from sqlalchemy.orm import Session

from api.auth import identity
from api.rest import waiting
from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, NumberField, TextField
from api.rest.schemas import OperationSchema, SortingSchema
from api.rest.shapes import ResultPage, Shape
from api.web.context import api_context
from api.web.views import mark
from core.contract.messages import JSON
from core.contract.states import LIVE, HostKind, Kind, OperationState
from core.models import Operation
from core.services import operations
from core.services.context import Actor


class OperationQuerySchema(SortingSchema):
    """Which operations: of one VM (name or id), on one host, in one state, of one kind."""

    vm = TextField(longest=200)
    host = TextField(longest=63)
    state = ChoiceField(*OperationState)
    kind = ChoiceField(*Kind, *HostKind)
    sort = ChoiceField(*operations.ORDERING.sorts)


class WaitQuerySchema(Schema):
    """How long to wait, in seconds; by default as long as a request may be held."""

    timeout = NumberField(0, 3600, strict=False)


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("operations", shape, "Operations")

    @blp.route("/operations")
    class OperationsView(MethodView):
        @blp.query(OperationQuerySchema)
        @blp.read_many("operations", OperationSchema)
        def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
            """List operations, newest first."""
            found, total = operations.list_of(session, actor, operations.OperationFilter(**query))
            return ResultPage(found, total, query["limit"], query["offset"])

    @blp.route("/operations/<operation_id>")
    class OperationView(MethodView):
        @blp.read_one(OperationSchema)
        def get(self, session: Session, actor: Actor, operation_id: str) -> Operation:
            """Get an operation."""
            return operations.get(session, actor, operation_id)

        @blp.write(202, OperationSchema)
        def delete(self, session: Session, actor: Actor, operation_id: str) -> Operation:
            """Ask the host to cancel an operation; it may already be too late."""
            return operations.cancel(session, actor, operation_id)

    @blp.route("/operations/<operation_id>/wait")
    class OperationWaitView(MethodView):
        @blp.query(WaitQuerySchema)
        @blp.respond(200, OperationSchema, kind="wait")
        @mark("uncounted")
        def get(self, query: JSON, operation_id: str) -> Response:
            """Wait for an operation: 200 once it has ended, 202 if it goes on."""
            with waiting.held(query.get("timeout")) as seconds:
                waiting.wait(operation_id, seconds)
            with api_context().transaction() as session:
                operation = operations.get(session, identity.actor(), operation_id)
            return blp.operation(operation, 202 if operation.state in LIVE else 200)

    return blp
