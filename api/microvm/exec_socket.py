"""`WS /vms/{vm}/execs/{id}/stream`: the output of an execution, as it appears, and the keyboard of its terminal.

Who calls is known as on the other sockets (callers.py). `?stdout=N&stderr=N` goes on from those bytes;
`?encoding=base64` is for whoever must have each byte. Frames are JSON:

    {"type": "output", "stream", "offset", "next_offset", "encoding", "data"}
    {"type": "gap", "stream", "from", "to"}     those bytes are not kept any more
    {"type": "exit", "state", "exit_code"}      the last one; the close code is 1000
    {"type": "error", "error", "message"}       what the client said could not be done

With a terminal all that it shows is "stdout", and the client's messages are its keyboard (api/realtime/keyboard.py).

Nothing is read ahead of a slow reader: the next part is asked for when this one is on its way, and who takes none of
it for ten seconds is cut.
"""

from __future__ import annotations

import json
import time
from typing import Any, NoReturn

from flask import g, request
from flask_sock import Sock
from simple_websocket import Server
from sqlalchemy.engine import Engine

from api.auditing import audit
from api.microvm import callers
from api.microvm.callers import Authenticate
from api.realtime.connection import NORMAL, TRY_LATER, ConnectionEnded, WsConnection, ws_connection
from api.realtime.executions import Chunk, FollowedExec, pause_after
from api.realtime.hub import Hub
from api.realtime.keyboard import Keyboard
from api.realtime.upgrade import socket_blueprint
from api.shared.encodings import ENCODINGS, TEXT, to_text, whole
from api.web.requests import check_path
from api.web.views import mark
from core.contract.errors import Conflict, HostRefused, Invalid, Unavailable
from core.database import transaction
from core.services import calls
from core.services.context import Actor

PATH = "/api/v1/vms/<vm_name>/execs/<exec_id>/stream"
AWAY_SECONDS, AWAY_PAUSE = 60.0, 0.5
GUEST_WENT = ("guest_restarted", "guest_stopped")  # agent/guest/commands.py
CHUNK_BYTES = 32 * 1024  # as base64, a frame that the line holds (api/realtime/ws_transport.py)


def register(sock: Sock, realtime: Hub, engine: Engine, authenticate: Authenticate) -> None:
    """Add the route to `sock.app`."""
    blueprint = socket_blueprint(sock, "exec_sockets", realtime)

    def enter(actor: Actor) -> None:
        g.listener.actor = actor
        g.execution = _execution(realtime, engine, actor)
        g.has_terminal = g.execution.state()["tty"]

    def admit() -> None:
        check_path()
        g.offsets, g.encoding = {stream: _offset(stream) for stream in ("stdout", "stderr")}, _encoding()
        callers.admit(sock.app, authenticate, enter)

    def stream(ws: Server, **_: str) -> None:
        with ws_connection(ws, realtime) as connection:
            callers.ask(connection, sock.app, authenticate, enter)
            shown = ExecStream(connection, g.execution, g.offsets, g.encoding, has_terminal=g.has_terminal)
            connection.go_on(shown.step, shown.hear, g.caller)

    blueprint.before_request(admit)
    sock.route(PATH, bp=blueprint, endpoint="stream")(mark("public", "uncounted")(stream))
    sock.app.register_blueprint(blueprint)


class ExecStream:
    """One reader of one command's output."""

    def __init__(
        self,
        connection: WsConnection,
        execution: FollowedExec,
        offsets: dict[str, int],
        encoding: str,
        *,
        has_terminal: bool,
    ) -> None:
        self._connection, self._execution, self._encoding = connection, execution, encoding
        self._has_terminal = has_terminal
        self._offsets = {"stdout": offsets["stdout"]} if has_terminal else dict(offsets)
        self._keyboard = Keyboard(execution, has_terminal=has_terminal, may_type=self._may_type)
        self._heard_at = self._answered_at = time.monotonic()

    def step(self) -> float:
        """Asks for what is new and passes it on; how long to wait with the next. `ConnectionEnded` after the last."""
        try:
            chunks = self._execution.output(self._offsets, CHUNK_BYTES)
        except (Conflict, Unavailable, HostRefused) as error:
            if isinstance(error, Conflict) and (not self._has_terminal or self._has_ended()):
                self._end(error.message)  # the guest is off, and what it had written can't be read
            # Its agent may be starting anew, and what is typed meanwhile waits for it; of a guest that goes off a later
            # answer tells.
            passes = not isinstance(error, HostRefused) or error.code in GUEST_WENT
            if not (passes and self._has_terminal) or time.monotonic() - self._answered_at > AWAY_SECONDS:
                raise
            return AWAY_PAUSE
        self._answered_at = time.monotonic()
        for stream, chunk in chunks.items():
            self._tell(stream, chunk)
            if chunk.data:
                self._heard_at = time.monotonic()
            if chunk.ended:
                del self._offsets[stream]
        if not self._offsets:
            self._end("the command has ended")
        if any(each.data for each in chunks.values()):
            return 0.0
        return pause_after(time.monotonic() - self._heard_at, terminal=self._has_terminal)

    def hear(self, messages: list[str | bytes]) -> None:
        """Does what the client says; what comes of it is looked for at once."""
        self._heard_at = time.monotonic()
        for error in self._keyboard.hear(messages):
            self._send({"type": "error", "error": error.code, "message": error.message})

    def _may_type(self) -> bool:
        actor = self._connection.listener.actor
        return actor is not None and not actor.read_only

    def _has_ended(self) -> bool:
        """As far as its host can tell at this moment."""
        try:
            return bool(self._execution.state()["state"] != "running")
        except (Conflict, Unavailable, HostRefused):
            return False

    def _end(self, reason: str) -> NoReturn:
        state = self._execution.state()
        if state["state"] == "running":
            raise ConnectionEnded(TRY_LATER, reason)
        self._send({"type": "exit", "state": state["state"], "exit_code": state["exit_code"]})
        raise ConnectionEnded(NORMAL, reason)

    def _tell(self, stream: str, chunk: Chunk) -> None:
        if chunk.offset > self._offsets[stream]:
            self._send({"type": "gap", "stream": stream, "from": self._offsets[stream], "to": chunk.offset})
        shown = chunk.data if chunk.ended else whole(chunk.data, self._encoding)
        self._offsets[stream] = chunk.offset + len(shown)
        if shown:
            frame = {"type": "output", "stream": stream, "offset": chunk.offset, "next_offset": self._offsets[stream]}
            self._send({**frame, "encoding": self._encoding, "data": to_text(shown, self._encoding)})

    def _send(self, frame: dict[str, Any]) -> None:
        self._connection.send(json.dumps(frame, separators=(",", ":")))


def _execution(realtime: Hub, engine: Engine, actor: Actor) -> FollowedExec:
    values = request.view_args or {}
    exec_id = calls.exec_id(values["exec_id"])
    with transaction(engine) as session:
        host, vm = calls.to_execs(session, actor, values["vm_name"])
        audit.console_opened(session, actor, vm, "exec_output")
    return FollowedExec(realtime, host, vm, exec_id)


def _offset(stream: str) -> int:
    text = request.args.get(stream, "0")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid(f"{stream} must be a number of bytes", field=stream)
    return int(text)


def _encoding() -> str:
    encoding = request.args.get("encoding", TEXT)
    if encoding not in ENCODINGS:
        raise Invalid(f"encoding must be one of {', '.join(ENCODINGS)}", field="encoding")
    return encoding
