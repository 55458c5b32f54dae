"""/hosts/{host}/cordon and its kin: whether a host takes new VMs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask.views import MethodView
from marshmallow import Schema
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import Text
from api.rest.schemas import Strict
from core.contract.messages import JSON
from core.models import Host
from core.services import cordons
from core.services.context import Actor

LONGEST_REASON = 500

Verb = Callable[[Session, Actor, str, str], Host]


class Reasoned(Strict):
    """Why; everyone who may see the host may read it."""

    reason = Text(longest=LONGEST_REASON, load_default="")


_VERBS: Mapping[str, tuple[Verb, str]] = {
    "cordon": (cordons.cordon, "Let a host take no new VMs (administrators). What is there goes on."),
    "uncordon": (cordons.uncordon, "End a host's cordon (administrators)."),
    "activate": (cordons.activate, "Let a host take VMs again, whatever kept it from that (administrators)."),
}


def add(blp: Blueprint, schema: type[Schema], described: Callable[[Host, Actor], JSON]) -> None:
    """The verbs, among the resources of hosts; each answers with the host."""
    for name, (verb, about) in _VERBS.items():
        post = _post(verb, described)
        post.__doc__ = about
        view = blp.body(Reasoned, required=False)(blp.write(200, schema)(post))
        blp.route(f"/hosts/<host_name>/{name}")(type(name.capitalize(), (MethodView,), {"post": view}))


def _post(verb: Verb, described: Callable[[Host, Actor], JSON]) -> Any:
    def post(_view: MethodView, session: Session, actor: Actor, body: JSON, host_name: str) -> JSON:
        return described(verb(session, actor, host_name, body["reason"]), actor)

    return post
