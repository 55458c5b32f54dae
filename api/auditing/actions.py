"""The actions of the audit log: a name for each request, by its route and method."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from flask import Request

from api.web.requests import PREFIX
from api.web.views import marked

DENIALS = (401, 403)
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
_VARIABLE = re.compile(r"<(?:[^:>]+:)?(\w+)>")


@dataclass(frozen=True)
class Action:
    """`id_name` is the path's variable that names the resource; None when the body does."""

    action_type: str
    resource_type: str
    id_name: str | None = None


# Where the word that the path suggests is not what people call it.
_OWN = {
    "POST /auth/login": Action("login", "user"),
    "POST /auth/register": Action("user_register", "user"),
    "POST /auth/password": Action("password_change", "user"),
    "DELETE /keys/<key_id>": Action("key_revoke", "key", "key_id"),
    "DELETE /operations/<operation_id>": Action("operation_cancel", "operation", "operation_id"),
    "POST /vms/<vm_id_or_name>/disks": Action("disk_attach", "vm", "vm_id_or_name"),
    "DELETE /vms/<vm_id_or_name>/disks/<controller>/<int:port>/<int:device>": Action(
        "disk_detach", "vm", "vm_id_or_name"
    ),
    # What is read of a guest, of views that are marked as `audited`.
    "GET /vms/<vm_name>/files": Action("file_list", "vm", "vm_name"),
    "GET /vms/<vm_name>/files/download": Action("file_download", "vm", "vm_name"),
    "GET /vms/<vm_name>/execs/<exec_id>/output": Action("exec_output", "exec", "exec_id"),
    "PUT /vms/<vm_id_or_name>/network-adapters/<int:slot>": Action("network_adapter_update", "vm", "vm_id_or_name"),
    "POST /security/scan": Action("security_scan", "scan"),
}
_NOWHERE = Action("unknown", "path")
_DENIED = "access_denied"


def of(request: Request, status: int) -> Action:
    """The action that this request asks for, and was answered so."""
    if request.url_rule is None:
        return _NOWHERE
    named = _of_route(request.url_rule.rule, "GET" if request.method == "HEAD" else request.method)
    if changes(request) or (marked("audited") and status not in DENIALS):
        return named
    return Action(_DENIED, named.resource_type, named.id_name)


def changes(request: Request) -> bool:
    """Whether this request asks for a change."""
    return request.method in _CHANGING and not marked("asks")


@cache
def _of_route(rule: str, method: str) -> Action:
    path = rule.removeprefix(PREFIX)
    return _OWN.get(f"{method} {path}") or _derived([step for step in path.split("/") if step], method)


def _derived(steps: list[str], method: str) -> Action:
    """/vms → vm_create; /vms/<x> → vm_delete; /vms/<x>/start → vm_start; /a/<x>/bs/<y>/restore → b_restore."""
    variables = [match[1] for step in steps if (match := _VARIABLE.fullmatch(step))]
    nouns = [_singular(step) for step in steps if not _VARIABLE.fullmatch(step)]
    last, id_name = nouns[-1], variables[-1] if variables else None
    if _VARIABLE.fullmatch(steps[-1]):
        return Action(f"{last}_{_VERBS.get(method, 'read')}", last, id_name)
    if last != _word(steps[-1]) or len(nouns) == 1:  # a collection
        return Action(f"{last}_{_VERBS.get(method, 'read')}", last, None if method == "POST" else id_name)
    verb = last if method == "POST" else f"{last}_{_VERBS.get(method, 'read')}"
    return Action(f"{nouns[-2]}_{verb}", nouns[-2], id_name)


def _singular(step: str) -> str:
    word = _word(step)
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _word(step: str) -> str:
    return step.replace("-", "_")
