"""/health: what works now, found out by use within a second."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import redis
from flask.views import MethodView
from marshmallow import Schema, fields

from api.parts import Parts, parts
from api.rest.blueprint import Blueprint
from api.rest.fields import Choice, Moment
from api.rest.shapes import Shape
from api.rest.views import mark
from core.contract.errors import CorralError
from core.contract.messages import JSON
from core.models.base import now
from core.services import health
from core.services.health import ABSENT, DEGRADED, HEALTHY, UNHEALTHY, WORDS
from core.version import VERSION

T = TypeVar("T")
PATIENCE_SECONDS = 0.8
# Checks that hang keep their thread until their own deadline; then further ones are not begun, and fail.
_pool = ThreadPoolExecutor(4, thread_name_prefix="health")


class Components(Schema):
    """The parts, each with a word for how it is; `absent`: no host has it."""

    api = Choice(*WORDS, required=True)
    database = Choice(*WORDS, required=True)
    redis = Choice(*WORDS, required=True)
    cloud_hypervisor = Choice(*WORDS, required=True)
    qemu = Choice(*WORDS, required=True)
    virtualbox = Choice(*WORDS, required=True)
    network = Choice(*WORDS, required=True)


class Health(Schema):
    """Unhealthy without the database, without Redis or without a host; degraded while any other part is not well."""

    status = Choice(HEALTHY, DEGRADED, UNHEALTHY, required=True)
    timestamp = Moment(required=True)
    version = fields.String(required=True)
    components = fields.Nested(Components, required=True)
    uptime_seconds = fields.Integer(required=True)


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
    fleet, broker = _pool.submit(_fleet, those), _pool.submit(_redis, those)
    begun: list[Future[Any]] = [fleet, broker]
    wait(begun, PATIENCE_SECONDS)
    unknown = dict.fromkeys(("database", "cloud_hypervisor", "qemu", "virtualbox", "network"), UNHEALTHY)
    return {"api": HEALTHY, "redis": _result(broker, UNHEALTHY)} | _result(fleet, unknown)


def overall(components: dict[str, str]) -> str:
    """One word for all."""
    if UNHEALTHY in (components["database"], components["redis"], components["network"]):
        return UNHEALTHY
    return HEALTHY if set(components.values()) <= {HEALTHY, ABSENT} else DEGRADED


def _fleet(those: Parts) -> dict[str, str]:
    with those.transaction() as session:
        return {
            "database": HEALTHY,
            "cloud_hypervisor": health.of_hypervisor(session, "cloud-hypervisor"),
            "qemu": health.of_hypervisor(session, "qemu"),
            "virtualbox": health.of_hypervisor(session, "virtualbox"),
            "network": health.of_network(session),
        }


def _redis(those: Parts) -> str:
    return HEALTHY if those.dispatch.redis.ping() else UNHEALTHY


def _result(future: Future[T], otherwise: T) -> T:
    if not future.done():
        future.cancel()
        return otherwise
    return otherwise if isinstance(future.exception(), CorralError | redis.RedisError) else future.result()
