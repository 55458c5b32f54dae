"""/vms/{vm}/move, and /moves: the files of VMs that move, for the hosts that they move to."""

from __future__ import annotations

from flask import Response, request
from flask.views import MethodView
from msgspec import to_builtins
from sqlalchemy.orm import Session

from api.auth import hosts
from api.rest.blueprint import Blueprint
from api.rest.fields import FlagField, NumberField, TextField
from api.rest.schemas import OperationSchema, StrictSchema
from api.rest.shapes import Shape
from api.shared import transfers
from api.web.context import api_context
from api.web.parts import part_of
from api.web.views import mark
from core.contract.messages import JSON
from core.services import arrivals, moves
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.moves import MoveRequest

_OPEN_SECONDS = 10.0
_HOST = "where it is to go (default: where it fits best)"
_STOP = "a VM that runs is stopped for it, and started again afterwards"


class MovingSchema(StrictSchema):
    """Where a VM goes. With `stop` its guest is asked to stop, and its power cut after the timeout or with `force`."""

    host = TextField(longest=63, metadata={"description": _HOST})
    stop = FlagField(load_default=False, metadata={"description": _STOP})
    timeout_seconds = NumberField(0, 3600, load_default=30)
    force = FlagField(load_default=False)


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("moves", shape, "Virtual machines")

    @blp.route("/vms/<vm_name>/move")
    class MoveView(MethodView):
        @blp.body(MovingSchema, required=False)
        @blp.write(202, OperationSchema)
        def post(self, session: Session, actor: Actor, body: JSON, vm_name: str) -> Accepted:
            """Begin to move a VM that is off, or is stopped for it, to another host, with its disk and snapshots.

            Until it is there it stays where it was, and can be neither started nor changed; a cancel leaves it there.
            """
            wanted = MoveRequest(body.get("host"), body["stop"], body["timeout_seconds"], body["force"])
            return moves.begin(session, actor, vm_name, wanted)

    @blp.route("/moves/<operation_id>/<sha256>")
    class MovedFilesView(MethodView):
        @blp.respond_bytes()
        @mark("public", "uncounted")
        def get(self, operation_id: str, sha256: str) -> Response:
            """Get what a file of a VM that moves has beside its holes (hosts alone), or a part of that."""
            with api_context().reading() as session:
                source, vm, file = arrivals.asked_for(session, hosts.caller(session), operation_id, sha256)
            status, part, headers = part_of(file.sent_bytes)
            wanted = {"file": to_builtins(file), "first": part.first, "length": part.length}
            stream = api_context().hub.stream(source, "moved_file", vm, wanted, _OPEN_SECONDS)
            try:
                body = iter(()) if request.method == "HEAD" else transfers.sent(stream, stream.read())
                response = Response(body, status, headers, content_type="application/octet-stream")
            except BaseException:
                stream.close()
                raise
            response.call_on_close(stream.close)
            return response

    return blp
