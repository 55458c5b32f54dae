"""/hosts/{host}/cordon and its kin: whether a host takes new VMs, and whether it is one at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask.views import MethodView
from marshmallow import Schema
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import FlagField, TextField
from api.rest.schemas import StrictSchema
from core.contract.messages import JSON
from core.models import Host
from core.services import cordons, fences
from core.services.context import Actor
from core.services.identities import rotations

LONGEST_REASON = 500

Verb = Callable[[Session, Actor, str, str], Host]


class ReasonedSchema(StrictSchema):
    """Why; everyone who may see the host may read it."""

    reason = TextField(longest=LONGEST_REASON, load_default="")


class FencingSchema(ReasonedSchema):
    """Why, and whether even while it is online."""

    force = FlagField(load_default=False)


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
        view = blp.body(ReasonedSchema, required=False)(blp.write(200, schema)(post))
        blp.route(f"/hosts/<host_name>/{name}")(type(name.capitalize(), (MethodView,), {"post": view}))

    @blp.route("/hosts/<host_name>/fence")
    class FenceView(MethodView):
        @blp.body(FencingSchema, required=False)
        @blp.write(200, schema)
        def post(self, session: Session, actor: Actor, body: JSON, host_name: str) -> JSON:
            """Say that a host is dead (administrators). Power it off first: what it runs can't be stopped from here.

            It is shut out at once and its VMs become lost; those with `restart_policy` "elsewhere" are created again on
            other hosts. Should it be alive, or return, it powers off what runs there before it may be a host again.
            """
            return described(fences.fence(session, actor, host_name, body["reason"], force=body["force"]), actor)

    @blp.route("/hosts/<host_name>/rotate")
    class RotateView(MethodView):
        @blp.write(200, schema)
        def post(self, session: Session, actor: Actor, host_name: str) -> JSON:
            """Have a host's secret changed (administrators), as soon as the host is online.

            The host makes the next one itself, and both are valid until it uses that; nothing is restarted.
            """
            return described(rotations.begin(session, actor, host_name), actor)


def _post(verb: Verb, described: Callable[[Host, Actor], JSON]) -> Any:
    def post(_view: MethodView, session: Session, actor: Actor, body: JSON, host_name: str) -> JSON:
        return described(verb(session, actor, host_name, body["reason"]), actor)

    return post
