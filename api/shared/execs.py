"""/vms/{vm}/execs: executions, in both dialects."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, ValidationError, fields, validates_schema
from sqlalchemy.orm import Session

from api.auth import identity
from api.realtime.executions import FollowedExec, wait
from api.rest import waiting
from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, MomentField, NumberField, computed
from api.rest.questions import AgentCall
from api.rest.schemas import PagingSchema, StrictSchema
from api.rest.shapes import ResultPage, Shape
from api.shared.encodings import ENCODINGS, TEXT, to_text, whole
from api.shared.execution import CommandLineSchema
from api.shared.operations import WaitQuerySchema
from api.shared.words import EXEC_NAME
from api.web.context import api_context
from api.web.requests import client_gone
from api.web.views import mark
from core.contract.bounds import MOST_CELLS
from core.contract.messages import JSON
from core.services import calls
from core.services.context import Actor

CALL_SECONDS = 30.0
STATES = ("running", "exited", "killed", "timed_out", "lost", "unknown")
SIGNALS = ("TERM", "KILL", "INT", "HUP", "QUIT", "USR1", "USR2")
MOST_BYTES = 1024 * 1024
A_WEEK = 7 * 24 * 3600


class TerminalSizeSchema(StrictSchema):
    """Of a terminal, in characters."""

    rows = NumberField(1, MOST_CELLS, required=True)
    columns = NumberField(1, MOST_CELLS, required=True)


class ExecCreationSchema(CommandLineSchema):
    """A command that runs on by itself. Past its timeout, if it has one, it is killed with its children."""

    name = fields.String(validate=EXEC_NAME, metadata={"description": "a name for people; need not be unique"})
    timeout_seconds = NumberField(1, A_WEEK, metadata={"description": "seconds until it is killed (default: never)"})
    tty = fields.Nested(
        TerminalSizeSchema,
        metadata={
            "description": "run on a terminal of that size: all that it shows is stdout, and what is typed "
            "comes over WS .../stream"
        },
    )

    @validates_schema
    def _types_only(self, body: JSON, **_: Any) -> None:
        if body.get("tty") and body.get("stdin") is not None:
            raise ValidationError("can't be given with tty: what is typed comes over WS .../stream", "stdin")


class ExecQuerySchema(PagingSchema):
    """Which executions, newest first."""

    state = ChoiceField(*STATES)


class OutputQuerySchema(Schema):
    """Which part of which output."""

    stream = ChoiceField("stdout", "stderr", load_default="stdout")
    offset = NumberField(0, 2**62, strict=False, load_default=0, metadata={"description": "offset of the first byte"})
    limit = NumberField(
        4, MOST_BYTES, strict=False, load_default=65536, metadata={"description": "maximum number of bytes"}
    )
    encoding = ChoiceField(*ENCODINGS, load_default=TEXT)


class KillingSchema(StrictSchema):
    """What is sent to all processes of the command."""

    signal = ChoiceField(*SIGNALS, load_default="KILL")


def _moment(name: str) -> Any:
    return lambda told: None if told[name] is None else datetime.fromtimestamp(told[name], UTC)


def _seconds(told: JSON) -> float | None:
    return None if told["ended_at"] is None else round(max(0.0, told["ended_at"] - told["started_at"]), 3)


class ExecSchema(Schema):
    """A command that runs, or ran, by itself. `exit_code` is 128 + N where signal N ended it."""

    id = fields.String(required=True)
    name = fields.String(required=True, allow_none=True)
    command = fields.String(required=True)
    working_directory = fields.String(required=True, allow_none=True)
    timeout_seconds = fields.Integer(required=True, allow_none=True)
    state = ChoiceField(
        *STATES,
        required=True,
        metadata={
            "description": "lost: the guest restarted or stopped; unknown: it was running, and the guest does not "
            "answer now"
        },
    )
    exit_code = fields.Integer(required=True, allow_none=True)
    signal = ChoiceField(
        *SIGNALS, required=True, allow_none=True, metadata={"description": "the last signal that was sent"}
    )
    started_at = computed(MomentField, _moment("started_at"))
    ended_at = computed(MomentField, _moment("ended_at"), allow_none=True)
    execution_time_seconds = computed(fields.Float, _seconds, allow_none=True)
    tty = fields.Boolean(required=True, metadata={"description": "whether it runs on a terminal"})


class OutputSchema(Schema):
    """Some of what a command wrote.

    `offset` is larger than asked for where older output is not kept any more; go on with `next_offset`.
    """

    stream = ChoiceField("stdout", "stderr", required=True)
    encoding = ChoiceField(*ENCODINGS, required=True)
    data = fields.String(required=True)
    offset = fields.Integer(required=True)
    next_offset = fields.Integer(required=True)
    ended = fields.Boolean(required=True, metadata={"description": "whether this is the end of the output"})


def _told(_question: AgentCall, reply: JSON) -> JSON:
    return reply


def _listed(question: AgentCall, reply: JSON) -> ResultPage:
    return ResultPage(reply["execs"], reply["total"], question.params["limit"], question.params["offset"])


def _shown(question: AgentCall, reply: JSON) -> JSON:
    """Where the end of a text's part is half a character, that is left for the next part."""
    ((stream, part),) = reply.items()
    encoding = question.said["encoding"]
    data = base64.b64decode(part["data_b64"])
    shown = data if part["ended"] else whole(data, encoding)
    return {
        "stream": stream,
        "encoding": encoding,
        "data": to_text(shown, encoding),
        "offset": part["offset"],
        "next_offset": part["offset"] + len(shown),
        "ended": part["ended"],
    }


def _about(
    session: Session,
    actor: Actor,
    vm_name: str,
    exec_id: str,
    verb: str,
    params: JSON | None = None,
    *,
    writes: bool = False,
    said: JSON | None = None,
) -> AgentCall:
    """What a VM's host is asked about one execution."""
    host, vm = calls.to_execs(session, actor, vm_name, writes=writes)
    return AgentCall(host, verb, vm, {**(params or {}), "id": calls.exec_id(exec_id)}, CALL_SECONDS, said=said or {})


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("execs", shape, "Executions: commands that keep running in virtual machines without their caller")

    @blp.route("/vms/<vm_name>/execs")
    class ExecsView(MethodView):
        @blp.query(ExecQuerySchema)
        @blp.read_many_from_agent("execs", ExecSchema, _listed)
        def get(self, session: Session, actor: Actor, query: JSON, vm_name: str) -> AgentCall:
            """List a virtual machine's executions, newest first; the last 100 that ended are kept."""
            host, vm = calls.to_execs(session, actor, vm_name)
            return AgentCall(host, "exec_list", vm, query, CALL_SECONDS)

        @blp.body(ExecCreationSchema)
        @blp.call_agent(ExecSchema, _told, status=201)
        def post(self, session: Session, actor: Actor, body: JSON, vm_name: str) -> AgentCall:
            """Begin an execution: a command that keeps running without its caller."""
            host, vm = calls.to_guest(session, actor, vm_name, "terminals" if body.get("tty") else "execs")
            return AgentCall(host, "exec_begin", vm, {**body, "id": uuid.uuid4().hex}, CALL_SECONDS)

    @blp.route("/vms/<vm_name>/execs/<exec_id>")
    class ExecView(MethodView):
        @blp.call_agent(ExecSchema, _told, kind="ask")
        def get(self, session: Session, actor: Actor, vm_name: str, exec_id: str) -> AgentCall:
            """Get an execution."""
            return _about(session, actor, vm_name, exec_id, "exec_get")

        @blp.call_agent(None, _told, status=204)
        def delete(self, session: Session, actor: Actor, vm_name: str, exec_id: str) -> AgentCall:
            """Kill an execution if it runs, and delete its output."""
            return _about(session, actor, vm_name, exec_id, "exec_delete", writes=True)

    _add_what_runs(blp)
    return blp


def _add_what_runs(blp: Blueprint) -> None:
    """What is there of one that runs: its output, its end, and signals for it."""

    @blp.route("/vms/<vm_name>/execs/<exec_id>/output")
    class ExecOutputView(MethodView):
        @blp.query(OutputQuerySchema)
        @blp.call_agent(OutputSchema, _shown, kind="ask")
        @mark("audited")
        def get(self, session: Session, actor: Actor, query: JSON, vm_name: str, exec_id: str) -> AgentCall:
            """Read an output from an offset; at least the newest 8 MiB are kept."""
            params = {"offsets": {query["stream"]: query["offset"]}, "limit": query["limit"]}
            return _about(session, actor, vm_name, exec_id, "exec_output", params, said=query)

    @blp.route("/vms/<vm_name>/execs/<exec_id>/kill")
    class ExecKillView(MethodView):
        @blp.body(KillingSchema, required=False)
        @blp.call_agent(ExecSchema, _told)
        def post(self, session: Session, actor: Actor, body: JSON, vm_name: str, exec_id: str) -> AgentCall:
            """Send a signal to all processes of an execution; does nothing once it has ended."""
            return _about(session, actor, vm_name, exec_id, "exec_signal", body, writes=True)

    @blp.route("/vms/<vm_name>/execs/<exec_id>/wait")
    class ExecWaitView(MethodView):
        @blp.query(WaitQuerySchema)
        @blp.respond(200, ExecSchema, kind="hold")
        @mark("uncounted")
        def get(self, query: JSON, vm_name: str, exec_id: str) -> JSON | Response:
            """Wait for an execution: 200 once it has ended, 202 if it still runs."""
            with api_context().reading() as session:
                host, vm = calls.to_execs(session, identity.actor(), vm_name)
            execution = FollowedExec(api_context().hub, host, vm, calls.exec_id(exec_id))
            with waiting.held(query.get("timeout")) as seconds:
                found = wait(execution, seconds, client_gone())
            return blp.answer(202, ExecSchema(), found) if found["state"] == "running" else found
