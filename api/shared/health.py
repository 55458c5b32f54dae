"""/health: the health of each component, checked by use within a second."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from flask.views import MethodView
from marshmallow import Schema, fields

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, MomentField
from api.rest.shapes import Shape
from api.web import bounded_checks
from api.web.context import ApiContext, api_context
from api.web.views import mark
from core import refusals
from core.contract.messages import JSON
from core.models.base import now
from core.services.monitoring import health
from core.services.monitoring.health import ABSENT, DEGRADED, HEALTHY, UNHEALTHY, WORDS
from core.settings import Settings
from core.version import VERSION


class ComponentsSchema(Schema):
    """The parts, each with a word for how it is; `absent`: no host has it."""

    api = ChoiceField(*WORDS, required=True)
    database = ChoiceField(*WORDS, required=True)
    redis = ChoiceField(*WORDS, required=True)
    workers = ChoiceField(*WORDS, required=True)
    receiver = ChoiceField(*WORDS, required=True)
    hosts = ChoiceField(*WORDS, required=True)
    cloud_hypervisor = ChoiceField(*WORDS, required=True)
    qemu = ChoiceField(*WORDS, required=True)
    virtualbox = ChoiceField(*WORDS, required=True)
    network = ChoiceField(*WORDS, required=True)


class HealthSchema(Schema):
    """Unhealthy without the database, Redis, a worker, its receiver or a host; degraded while another part is ill."""

    status = ChoiceField(HEALTHY, DEGRADED, UNHEALTHY, required=True)
    timestamp = MomentField(required=True)
    version = fields.String(required=True)
    components = fields.Nested(ComponentsSchema, required=True)
    problems = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "problems by part, if there are any"},
    )
    uptime_seconds = fields.Integer(required=True)


_FULL_BYTES = 16 * 1024 * 1024
_VITAL = ("database", "redis", "workers", "receiver", "network")
_IN_TABLES = ("database", "hosts", "cloud_hypervisor", "qemu", "virtualbox", "network")
_HYPERVISORS = ("cloud-hypervisor", "qemu", "virtualbox")
_IN_REDIS = ("redis", "workers", "receiver")


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("health", shape, "Health")

    @blp.route("/health")
    class HealthView(MethodView):
        @blp.respond(200, HealthSchema, kind="health")
        @mark("public", "uncounted")
        def get(self) -> JSON:
            """Check the health of the parts; answers within a second."""
            found = api_context().examinations.ask(lambda: examine(api_context()))
            return {
                "status": overall(found.components),
                "timestamp": now(),
                "version": VERSION,
                "components": found.components,
                "uptime_seconds": int(time.time() - api_context().started_at),
                **({"problems": found.problems} if found.problems else {}),
            }

    return blp


@dataclass(frozen=True)
class ComponentStates:
    """A word for each part, and why it is not healthy, of those that say."""

    components: dict[str, str]
    problems: dict[str, str]


def examine(context: ApiContext) -> ComponentStates:
    """What does not answer in time is unhealthy."""
    fleet, broker = (
        bounded_checks.ask_database(lambda: _fleet(context)),
        bounded_checks.ask_redis(lambda: _redis(context)),
    )
    disks = bounded_checks.ask_disks(lambda: _disks(context.settings))
    bounded_checks.answered(fleet, broker, disks)
    redis = bounded_checks.answer_or(
        broker, ComponentStates(dict.fromkeys(_IN_REDIS, UNHEALTHY), {"redis": "does not answer"})
    )
    tables = bounded_checks.answer_or(fleet, dict.fromkeys(_IN_TABLES, UNHEALTHY))
    problems = redis.problems | {
        "database": bounded_checks.problem_of(fleet),
        "api": bounded_checks.answer_or(disks, ""),
    }
    api = DEGRADED if problems["api"] else HEALTHY
    return ComponentStates(
        {"api": api} | redis.components | tables, {part: problem for part, problem in problems.items() if problem}
    )


def overall(components: dict[str, str]) -> str:
    """One word for all."""
    if UNHEALTHY in [components[name] for name in _VITAL]:
        return UNHEALTHY
    return HEALTHY if set(components.values()) <= {HEALTHY, ABSENT} else DEGRADED


def _fleet(context: ApiContext) -> dict[str, str]:
    with context.reading() as session:
        words = health.of_fleet(session, _HYPERVISORS)
    return {"database": HEALTHY} | {name.replace("-", "_"): word for name, word in words.items()}


def _redis(context: ApiContext) -> ComponentStates:
    client = context.dispatch.redis
    problem = health.of_redis(client)
    if problem:
        others = dict.fromkeys(("workers", "receiver"), UNHEALTHY if problem in refusals.AWAY else DEGRADED)
        return ComponentStates({"redis": UNHEALTHY, **others}, {"redis": problem})
    workers = health.of_workers(client, context.settings.sweep_seconds)
    nodes, receiver = health.of_nodes(client), health.of_receiver(client)
    redis = DEGRADED if nodes else HEALTHY
    return ComponentStates({"redis": redis, "workers": workers, "receiver": receiver}, {"redis": nodes})


def _disks(settings: Settings) -> str:
    """Which of this server's disks are full, by the setting that names them."""
    full = [name for name, path in (("CORRAL_HOME", settings.home), ("CORRAL_IMAGES", settings.images)) if _full(path)]
    return f"the disk of {' and of '.join(full)} is full" if full else ""


def _full(path: Path) -> bool:
    try:
        room = os.statvfs(path)
    except OSError:  # it is made when it is first used
        return False
    return room.f_bavail * room.f_frsize < _FULL_BYTES
