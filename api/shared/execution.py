"""Running commands in guests: the same bodies in both dialects."""

from __future__ import annotations

import base64

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint, Question
from api.rest.fields import Moment, Number, Text
from api.rest.schemas import Strict
from api.rest.shapes import Shape
from api.shared.words import VARIABLE_NAME
from core.contract.messages import JSON
from core.services import calls
from core.services.context import Actor

_LONGEST_COMMAND = 128 * 1024  # what Linux takes as one argument
_DELIVERY_SECONDS = 15.0  # beyond the command's own time: the way there, a slow guest agent, the way back


class Execution(Strict):
    """A command line for the guest's shell."""

    command = Text(required=True, shortest=1, longest=_LONGEST_COMMAND)
    timeout_seconds = Number(1, 3600, load_default=30)
    working_directory = Text(shortest=1, longest=4096, allow_none=True)
    environment = fields.Dict(
        keys=Text(longest=255, validate=VARIABLE_NAME), values=Text(longest=32768), load_default=dict
    )


class Executed(Schema):
    """How a command ended. `truncated`: there was more output than is kept."""

    exit_code = fields.Integer(required=True)
    stdout = fields.String(required=True)
    stderr = fields.String(required=True)
    execution_time_seconds = fields.Float(required=True)
    command = fields.String(required=True)
    executed_at = Moment(required=True)
    truncated = fields.Boolean(required=True)


def executed(question: Question, reply: JSON) -> JSON:
    """What is said of a command that has ended."""
    return {
        "exit_code": reply["exit_code"],
        "stdout": _text(reply["stdout_b64"]),
        "stderr": _text(reply["stderr_b64"]),
        "execution_time_seconds": round(reply["execution_time_seconds"], 3),
        "command": question.params["command"],
        "executed_at": question.asked_at,
        "truncated": reply["truncated"],
    }


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("execution", shape, "Running commands in virtual machines")

    @blp.route("/vms/<vm_name>/execute")
    class Execute(MethodView):
        @blp.body(Execution)
        @blp.asks(Executed, executed)
        def post(self, session: Session, actor: Actor, body: JSON, vm_name: str) -> Question:
            """Execute a command in a virtual machine."""
            host, vm = calls.to_guest(session, actor, vm_name)
            return Question(host, "execute", vm, body, body["timeout_seconds"] + _DELIVERY_SECONDS)

    return blp


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode(errors="replace")
