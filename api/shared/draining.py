"""/hosts/{host}/drain: empties a host of running VMs."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, NumberField
from api.rest.schemas import OperationSchema
from api.shared.cordoned import ReasonedSchema
from core.contract.messages import JSON
from core.models import Operation
from core.services import drains
from core.services.context import Actor
from core.services.drains import DrainRequest

_STRATEGY = (
    "wait: until their owners have stopped or deleted the VMs that run there; stop: shut each down; move: move each to "
    "another host"
)
_DEADLINE = (
    "when the drain fails if it is not over; by default a day after its beginning (wait), an hour (stop) or four (move)"
)
_AT_ONCE = "how many VMs are being stopped or moved at a time"
_GRACE = "how long each guest may take to shut down before its power is cut"


class DrainingSchema(ReasonedSchema):
    """How a host is to be emptied."""

    strategy = ChoiceField(*drains.STRATEGIES, required=True, metadata={"description": _STRATEGY})
    deadline_seconds = NumberField(1, drains.LONGEST_SECONDS, load_default=None, metadata={"description": _DEADLINE})
    at_once = NumberField(1, 100, load_default=DrainRequest.at_once, metadata={"description": _AT_ONCE})
    grace_seconds = NumberField(0, 3600, load_default=DrainRequest.grace_seconds, metadata={"description": _GRACE})


def add(blp: Blueprint) -> None:
    """The resource, among those of hosts."""

    @blp.route("/hosts/<host_name>/drain")
    class DrainView(MethodView):
        @blp.body(DrainingSchema)
        @blp.write(202, OperationSchema)
        def post(self, session: Session, actor: Actor, body: JSON, host_name: str) -> Operation:
            """Begin to empty a host of what runs there (administrators): an operation, with a result for each VM.

            Meanwhile, and once that is done, the host takes no new VMs and nothing starts there, until it is activated.
            Whatever ends it otherwise (its deadline, a cancel) leaves the host cordoned.
            """
            return drains.begin(session, actor, host_name, DrainRequest(**body))
