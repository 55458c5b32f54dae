"""The verbs of a VM's life, written once: each dialect has a table of its own words for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask.views import MethodView
from marshmallow import Schema
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.shared.views import outcome
from core.contract.messages import JSON
from core.services import vms
from core.services.accepted import Accepted
from core.services.context import Actor


@dataclass(frozen=True)
class Verb:
    """`POST /vms/{vm}/<name>`, answered with `schema`; a body is optional. `holds`: see `Blueprint.start_operation`."""

    name: str
    schema: type[Schema]
    about: str
    body: type[Schema] | None = None
    holds: bool = True


def _start(session: Session, actor: Actor, vm: str, body: JSON) -> Accepted:
    return vms.start(session, actor, vm, gui=body.get("gui", False) or not body.get("headless", True))


def _stop(session: Session, actor: Actor, vm: str, body: JSON) -> Accepted:
    return vms.stop(session, actor, vm, grace_seconds=body["timeout_seconds"], force=body["force"])


def _restart(session: Session, actor: Actor, vm: str, body: JSON) -> Accepted:
    return vms.restart(session, actor, vm, grace_seconds=body["timeout_seconds"], force=body["force"])


_SERVICES: Mapping[str, Callable[[Session, Actor, str, JSON], Accepted]] = {
    "start": _start,
    "stop": _stop,
    "restart": _restart,
    "pause": lambda session, actor, vm, _: vms.pause(session, actor, vm),
    "resume": lambda session, actor, vm, _: vms.resume(session, actor, vm),
    "save": lambda session, actor, vm, _: vms.save(session, actor, vm),
}


def add(blueprint: Blueprint, vm: str, verbs: Iterable[Verb]) -> None:
    """Serves the verbs. `vm` is the dialect's name of that part of the path."""
    for verb in verbs:
        view = type(verb.name.capitalize(), (MethodView,), {"post": _post(blueprint, vm, verb)})
        blueprint.route(f"/vms/<{vm}>/{verb.name}")(view)


def _post(blueprint: Blueprint, vm: str, verb: Verb) -> Any:
    def post(_view: MethodView, session: Session, actor: Actor, body: JSON | None = None, **path: str) -> Accepted:
        return _SERVICES[verb.name](session, actor, path[vm], body or {})

    post.__doc__ = verb.about
    view = blueprint.start_operation(200, verb.schema, outcome, holds=verb.holds)(post)
    return blueprint.body(verb.body, required=False)(view) if verb.body else view
