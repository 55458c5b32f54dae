"""/status: the fleet in numbers, for every user; answered within a second, as /health is."""

from __future__ import annotations

import platform
from concurrent.futures import Future
from functools import cache

from flask import copy_current_request_context
from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.auth import identity
from api.rest.blueprint import Blueprint
from api.rest.fields import MomentField
from api.rest.shapes import Shape
from api.web import bounded_checks, limits
from api.web.context import api_context
from api.web.views import mark
from core.contract.errors import Unauthenticated
from core.contract.messages import JSON
from core.contract.states import VmStatus
from core.models.base import now
from core.services import counts, snapshots
from core.services.context import Actor
from core.services.monitoring import capacity, request_stats
from core.version import VERSION


class SystemSchema(Schema):
    """`host_os` and `python_version` are the API's own; versions of hypervisors are those of the hosts."""

    host_os = fields.String(required=True)
    cloud_hypervisor_version = fields.String(required=True, metadata={"description": "absent if no host has it"})
    python_version = fields.String(required=True)
    hypervisors = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class StatisticsSchema(Schema):
    """Of the whole fleet. Requests: since midnight UTC; their time: a mean over five minutes, without what only waits.

    Null while Redis can't be reached.
    """

    total_vms = fields.Integer(required=True)
    running_vms = fields.Integer(required=True)
    total_snapshots = fields.Integer(required=True)
    total_hosts = fields.Integer(required=True)
    offline_hosts = fields.Integer(required=True)
    api_requests_today = fields.Integer(required=True, allow_none=True)
    average_response_time_ms = fields.Float(required=True, allow_none=True)


class StatusSchema(Schema):
    """The system in figures."""

    api_version = fields.String(required=True)
    timestamp = MomentField(required=True)
    system = fields.Nested(SystemSchema, required=True)
    statistics = fields.Nested(StatisticsSchema, required=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("status", shape, "Status of the system")

    @blp.route("/status")
    class StatusView(MethodView):
        @blp.respond(200, StatusSchema, kind="read")
        @mark("prompt", "uncounted")
        def get(self) -> JSON:
            """Get the status of the system; answers within a second."""
            requests, tables = _requests(), bounded_checks.ask_database(copy_current_request_context(_from_tables))
            bounded_checks.answered(requests, tables)
            caller, found = bounded_checks.answer(tables)
            identity.note(caller)
            limits.count_request()
            identity.actor()
            today, milliseconds = bounded_checks.answer_or(requests, (None, None))
            counted = {"api_requests_today": today, "average_response_time_ms": milliseconds}
            return {
                "api_version": VERSION,
                "timestamp": now(),
                "system": found["system"],
                "statistics": found["statistics"] | counted,
            }

    return blp


def _requests() -> Future[tuple[int | None, float | None]]:
    client = api_context().dispatch.redis
    return bounded_checks.ask_redis(lambda: request_stats.today(client))


def _from_tables() -> tuple[Actor | Unauthenticated, JSON]:
    """Who is calling is found out here too: it is the database that knows."""
    caller = identity.caller_or_error()
    if isinstance(caller, Unauthenticated):
        return caller, {}
    with api_context().reading() as session:
        return caller, _status(session)


def _status(session: Session) -> JSON:
    vms, (hosts, offline) = counts.count(session), capacity.heard(session)
    hypervisors = capacity.versions(session)
    return {
        "system": {
            "host_os": _os(),
            "cloud_hypervisor_version": hypervisors.get("cloud-hypervisor", "absent"),
            "python_version": platform.python_version(),
            "hypervisors": hypervisors,
        },
        "statistics": {
            "total_vms": vms.total,
            "running_vms": vms.by_status.get(VmStatus.RUNNING, 0),
            "total_snapshots": snapshots.count(session),
            "total_hosts": hosts,
            "offline_hosts": offline,
        },
    }


@cache
def _os() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return f"{platform.system()} {platform.release()}"
