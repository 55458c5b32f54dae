"""/health: what works now, found out by use within a second."""

from __future__ import annotations

import time

from flask.views import MethodView
from marshmallow import Schema, fields

from api.parts import Parts, parts
from api.rest import promptly
from api.rest.blueprint import Blueprint
from api.rest.fields import Choice, Moment
from api.rest.shapes import Shape
from api.rest.views import mark
from core.contract.messages import JSON
from core.models.base import now
from core.services import health
from core.services.health import ABSENT, DEGRADED, HEALTHY, UNHEALTHY, WORDS
from core.version import VERSION


class Components(Schema):
    """The parts, each with a word for how it is; `absent`: no host has it."""

    api = Choice(*WORDS, required=True)
    database = Choice(*WORDS, required=True)
    redis = Choice(*WORDS, required=True)
    workers = Choice(*WORDS, required=True)
    receiver = Choice(*WORDS, required=True)
    hosts = Choice(*WORDS, required=True)
    cloud_hypervisor = Choice(*WORDS, required=True)
    qemu = Choice(*WORDS, required=True)
    virtualbox = Choice(*WORDS, required=True)
    network = Choice(*WORDS, required=True)


class Health(Schema):
    """Unhealthy without the database, Redis, a worker, its receiver or a host; degraded while another part is ill."""

    status = Choice(HEALTHY, DEGRADED, UNHEALTHY, required=True)
    timestamp = Moment(required=True)
    version = fields.String(required=True)
    components = fields.Nested(Components, required=True)
    uptime_seconds = fields.Integer(required=True)


_VITAL = ("database", "redis", "workers", "receiver", "network")
_IN_TABLES = ("database", "hosts", "cloud_hypervisor", "qemu", "virtualbox", "network")
_IN_REDIS = ("redis", "workers", "receiver")


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("health", shape, "Health")

    @blp.route("/health")
    class HealthView(MethodView):
        @blp.answers(200, Health, kind="health")
        @mark("public", "uncounted")
        def get(self) -> JSON:
            """Check the health of the parts; answers within a second."""
            components = examine(parts())
            return {
                "status": overall(components),
                "timestamp": now(),
                "version": VERSION,
                "components": components,
                "uptime_seconds": int(time.time() - parts().started_at),
            }

    return blp


def examine(those: Parts) -> dict[str, str]:
    """A word for each part; what does not answer in time is unhealthy."""
    fleet, broker = promptly.ask_database(lambda: _fleet(those)), promptly.ask_redis(lambda: _redis(those))
    promptly.answered(fleet, broker)
    in_redis = promptly.answer_or(broker, dict.fromkeys(_IN_REDIS, UNHEALTHY))
    return {"api": HEALTHY} | in_redis | promptly.answer_or(fleet, dict.fromkeys(_IN_TABLES, UNHEALTHY))


def overall(components: dict[str, str]) -> str:
    """One word for all."""
    if UNHEALTHY in [components[name] for name in _VITAL]:
        return UNHEALTHY
    return HEALTHY if set(components.values()) <= {HEALTHY, ABSENT} else DEGRADED


def _fleet(those: Parts) -> dict[str, str]:
    with those.reading() as session:
        return {
            "database": HEALTHY,
            "hosts": health.of_hosts(session),
            "cloud_hypervisor": health.of_hypervisor(session, "cloud-hypervisor"),
            "qemu": health.of_hypervisor(session, "qemu"),
            "virtualbox": health.of_hypervisor(session, "virtualbox"),
            "network": health.of_network(session),
        }


def _redis(those: Parts) -> dict[str, str]:
    redis = those.dispatch.redis
    workers = health.of_workers(redis, those.settings.sweep_seconds)
    return {"redis": HEALTHY, "workers": workers, "receiver": health.of_receiver(redis)}
