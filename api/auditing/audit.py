"""Writes every mutation and every refusal into the audit log, whichever view it was for.

The decorators of `Blueprint` write in the transaction of the work. What they did not write, because it was refused,
broke, or has no transaction of its own, is written when the answer is made: no endpoint can forget it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import Any

from flask import Flask, Response, g, request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.auditing import actions, details
from api.auditing.flood import Flood
from api.web.context import ApiContext, api_context
from api.web.requests import client_request_id, request_id, source_ip
from api.web.views import marked
from core.contract.errors import CorralError
from core.contract.messages import JSON, VmSpec
from core.database import after_commit
from core.services.accepted import AnyOperation
from core.services.audit import records
from core.services.audit.records import ACCEPTED, FAILED, REFUSED, SUCCESS, AuditRecord
from core.services.context import Actor

log = logging.getLogger(__name__)

_IDS = ("id", "user_id", "scan_id")


def make(context: ApiContext) -> Flood:
    """What both apps share to bound their refusals."""

    def write(record: AuditRecord) -> None:
        _write(context, record)

    return Flood(write)


def install(app: Flask, flood: Flood) -> None:
    """Look at each answer of an app."""

    def look(response: Response) -> Response:
        status = response.status_code
        if "is_audited" not in g and _is_told(status):
            record = _record(status, _of_answer(response))
            if status < 400 or flood.admits(record):
                _write(api_context(), record)
        return response

    app.after_request(look)


def within(session: Session, status: int, dumped: Any) -> None:
    """Write what this request has done in the transaction that did it."""
    made = dumped if isinstance(dumped, dict) else {}
    _note(session, status, {name: made[name] for name in _IDS if name in made})


def asking(session: Session) -> None:
    """Write, before a host is asked, that it is going to be: what can't be written is not asked. How it ended follows.

    Of what is only read of a guest nothing follows, unless it failed.
    """
    if actions.changes(request) or marked("audited"):
        records.write(session, _record(202, {}))
        after_commit(session, _asked)


def begun(session: Session, operation: AnyOperation) -> None:
    """Write that an operation was accepted; should it fail, that will be an entry of its own."""
    _note(session, 202, {"operation_id": operation.id, "vm_id": operation.vm_id})


def console_opened(session: Session, actor: Actor, vm: VmSpec, action_type: str = "console_connect") -> None:
    """Write that someone may type into a VM's console from now on, or read of it; what they type is not told."""
    record = AuditRecord(
        action_type=action_type,
        resource_type="vm",
        resource_id=vm.name,
        result=SUCCESS,
        request_id=request_id(),
        user_id=actor.user_id,
        username=actor.username,
        key_id=actor.key_id,
        source_ip=source_ip() or None,
        details={"vm_id": vm.id} | _theirs(),
    )
    records.write(session, record)


def of_user(user_id: str, username: str) -> None:
    """Whose doing the present request is, when that is found out only by its view."""
    g.audited_user = (user_id, username)


def body_is(body: Any) -> None:
    """What the present request has in its body, right or wrong."""
    g.audited_body = body


def _note(session: Session, status: int, more: JSON) -> None:
    records.write(session, _record(status, more))
    after_commit(session, _done)


def _is_told(status: int) -> bool:
    """Whether the answer makes an entry: changes, refusals, and what was read of a guest."""
    if actions.changes(request) or status in actions.DENIALS:
        return True
    return marked("audited") and (status >= 400 or "is_asked" not in g)


def _asked() -> None:
    g.is_asked = True


def _done() -> None:
    g.is_audited = True


def _write(context: ApiContext, record: AuditRecord) -> None:
    """In a transaction of its own. The work is done or refused by now: what can't be recorded is at least logged."""
    try:
        with context.transaction() as session:
            records.write(session, record)
    except (CorralError, SQLAlchemyError) as error:
        log.error(  # noqa: TRY400  # the entry is what counts
            "not in the audit log (%s): %s", type(error).__name__, json.dumps(asdict(record))
        )


def _record(status: int, more: JSON) -> AuditRecord:
    action = actions.of(request, status)
    body = g.get("audited_body") or (request.args.to_dict() if marked("audited") else None)
    caller: Actor | None = g.get("actor")
    path = {name: details.text(value) for name, value in (request.view_args or {}).items()}
    shown = details.harmless(body)
    resource_id = path.pop(action.id_name, "") if action.id_name else _named(shown)
    word = "vm_config" if action.action_type == "vm_create" else "request"
    user_id, username = g.get("audited_user") or ((caller.user_id, caller.username) if caller else (None, None))
    return AuditRecord(
        action_type="login_failed" if action.action_type == "login" and status >= 400 else action.action_type,
        resource_type=action.resource_type,
        resource_id=resource_id if request.url_rule else details.text(request.path),
        result=_result(status),
        request_id=request_id(),
        user_id=user_id,
        username=username,
        key_id=caller.key_id if caller else None,
        source_ip=source_ip() or None,
        status_code=status,
        error_code=_error_code() if status >= 400 else None,
        details=path | ({word: shown} if shown else {}) | more | _theirs(),
    )


def _theirs() -> JSON:
    """The caller's own id of the request; anyone can forge it, so it stands beside ours."""
    given = client_request_id()
    return {"client_request_id": given} if given else {}


def _named(shown: JSON) -> str:
    return details.text(next((shown[name] for name in ("name", "username", "target") if shown.get(name)), ""))


def _result(status: int) -> str:
    if status >= 400:
        return FAILED if status >= 500 else REFUSED
    return ACCEPTED if status == 202 else SUCCESS


def _of_answer(response: Response) -> JSON:
    return {"replayed": True} if "Idempotency-Replayed" in response.headers else {}


def _error_code() -> str:
    error: CorralError | None = g.get("error")
    return error.code if error else "unknown"
