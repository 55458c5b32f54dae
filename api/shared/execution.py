"""Commands in guests: the same bodies in both dialects."""

from __future__ import annotations

import base64
from typing import Any

from flask.views import MethodView
from marshmallow import Schema, fields, post_load
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, GuestTextField, MomentField, NumberField, TextField
from api.rest.questions import AgentCall
from api.rest.schemas import StrictSchema
from api.rest.shapes import Shape
from api.shared.encodings import BASE64, ENCODINGS, TEXT, to_bytes, to_text
from api.shared.words import VARIABLE_NAME
from core.contract.messages import JSON
from core.contract.texts import COMMAND_BYTES, PATH_BYTES, VALUE_BYTES
from core.services import calls
from core.services.context import Actor

_LONGEST_STDIN = 128 * 1024  # as JSON may write it, within the largest body
# Beyond the command's own time: the way there, a slow guest agent, killing what did not end, the way back.
_DELIVERY_SECONDS = 45.0
_TRUNCATION = "an output is over {limit} bytes and was cut there; POST .../execs runs commands with more output"


class CommandLineSchema(StrictSchema):
    """A command line for the guest's shell, and what it is given."""

    command = GuestTextField(required=True, shortest=1, longest=COMMAND_BYTES)
    working_directory = GuestTextField(shortest=1, longest=PATH_BYTES, allow_none=True)
    environment = fields.Dict(
        keys=TextField(longest=255, validate=VARIABLE_NAME),
        values=GuestTextField(longest=VALUE_BYTES),
        load_default=dict,
    )
    stdin = TextField(
        longest=_LONGEST_STDIN, metadata={"description": "standard input of the command (default: empty)"}
    )
    encoding = ChoiceField(
        *ENCODINGS,
        load_default=TEXT,
        metadata={"description": "encoding of stdin, stdout and stderr: text, or base64 for any bytes"},
    )

    @post_load
    def _encode_stdin(self, body: JSON, **_: Any) -> JSON:
        """What travels is base64."""
        stdin = body.pop("stdin", None)
        if stdin is not None:
            body["stdin_b64"] = to_text(to_bytes("stdin", stdin, body["encoding"]), BASE64)
        return body


class ExecutionSchema(CommandLineSchema):
    """A command that is waited for. Past its timeout, or when the client hangs up, it is killed with its children."""

    timeout_seconds = NumberField(1, 3600, load_default=30)


class ExecutedSchema(Schema):
    """How a command ended. `truncated`: an output was over `output_limit_bytes`, and what follows them is lost."""

    exit_code = fields.Integer(required=True)
    stdout = fields.String(required=True)
    stderr = fields.String(required=True)
    execution_time_seconds = fields.Float(required=True)
    command = fields.String(required=True)
    executed_at = MomentField(required=True)
    encoding = ChoiceField(*ENCODINGS, required=True)
    truncated = fields.Boolean(required=True)
    truncation = fields.String(
        required=True, allow_none=True, metadata={"description": "which limit was reached, and how to get the rest"}
    )
    output_limit_bytes = fields.Integer(required=True, metadata={"description": "bytes kept of each output"})


def executed(question: AgentCall, reply: JSON) -> JSON:
    """What is said of a command that has ended."""
    encoding, limit = question.params["encoding"], reply["output_limit_bytes"]
    stdout, stderr = (to_text(base64.b64decode(reply[name]), encoding) for name in ("stdout_b64", "stderr_b64"))
    return {
        "exit_code": reply["exit_code"],
        "stdout": stdout,
        "stderr": stderr,
        "execution_time_seconds": round(reply["execution_time_seconds"], 3),
        "command": question.params["command"],
        "executed_at": question.asked_at,
        "encoding": encoding,
        "truncated": reply["truncated"],
        "truncation": _TRUNCATION.format(limit=limit) if reply["truncated"] else None,
        "output_limit_bytes": limit,
    }


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("execution", shape, "Commands in virtual machines")

    @blp.route("/vms/<vm_name>/execute")
    class ExecuteView(MethodView):
        @blp.body(ExecutionSchema)
        @blp.call_agent(ExecutedSchema, executed)
        def post(self, session: Session, actor: Actor, body: JSON, vm_name: str) -> AgentCall:
            """Execute a command in a virtual machine."""
            host, vm = calls.to_guest(session, actor, vm_name)
            return AgentCall(host, "execute", vm, body, body["timeout_seconds"] + _DELIVERY_SECONDS)

    return blp
