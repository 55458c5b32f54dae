"""Placement: what a new VM asks of its host, and /placements, which explains it and creates nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from flask.views import MethodView
from marshmallow import Schema, ValidationError, fields, validate
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, Pattern, TextField
from api.rest.schemas import PagingSchema, StrictSchema
from api.rest.shapes import ResultPage
from api.shared.words import VM_NAME
from api.web.views import mark
from core import labels
from core.contract.errors import Invalid
from core.contract.messages import JSON
from core.contract.vms import SPREAD, STRATEGIES
from core.placement import Verdict
from core.services import vms
from core.services.context import Actor
from core.services.vms import VmRequest

_GROUP = Pattern(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"), "must be a group's name")
_FEW = validate.Length(max=labels.MOST, error="must be at most {max}")
_ABOUT = "what it asks of its host, beside `host`, which names one"


class TermField(TextField):
    """What a label of a host is to be."""

    def __init__(self) -> None:
        super().__init__(metadata={"description": "zone=a, zone!=a, zone or !zone"})

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return str(labels.term(text))
        except Invalid as error:
            raise ValidationError(error.message) from None


class PlacementRequestSchema(StrictSchema):
    """What a VM asks of its host: terms for its labels, of which those in `prefer` need not hold.

    `apart_from_group`: the VM is of that group of its owner's, of which no host has two. `strategy`: which of equal
    hosts, the one with most memory left ("spread") or least ("pack").
    """

    require = fields.List(TermField(), validate=_FEW, load_default=list)
    prefer = fields.List(TermField(), validate=_FEW, load_default=list)
    apart_from_group = TextField(longest=63, validate=_GROUP, load_default=None, allow_none=True)
    strategy = ChoiceField(*STRATEGIES, load_default=SPREAD)


def asked() -> fields.Nested:
    """The field of a new VM's body."""
    return fields.Nested(
        PlacementRequestSchema, load_default=lambda: PlacementRequestSchema().load({}), metadata={"description": _ABOUT}
    )


class PlacementSchema(Schema):
    """What a VM has asked of its host."""

    require = fields.List(fields.String(), required=True)
    prefer = fields.List(fields.String(), required=True)
    apart_from_group = fields.String(required=True, allow_none=True)
    strategy = ChoiceField(*STRATEGIES, required=True)


class CapacitySchema(Schema):
    """An amount of what VMs need."""

    vcpus = fields.Integer(required=True)
    memory_mb = fields.Integer(required=True)
    disk_gb = fields.Integer(required=True)


class ReasonSchema(Schema):
    """Why a host can't take a VM."""

    code = fields.String(required=True)
    message = fields.String(required=True)


class VerdictSchema(Schema):
    """Whether a host can take a VM, and why not. `hypervisor`: the one that it would have there.

    `preferred`: the terms in `prefer` that hold there; `free`: what is left of the host's capacity.
    """

    host = fields.String(required=True)
    fits = fields.Boolean(required=True)
    hypervisor = fields.String(required=True, allow_none=True)
    preferred = fields.List(fields.String(), required=True)
    free = fields.Nested(CapacitySchema, required=True)
    reasons = fields.List(fields.Nested(ReasonSchema), required=True)


def add(blp: Blueprint, creation: type[Schema], wanted: Callable[[JSON], VmRequest]) -> None:
    """The resource, in a dialect whose body of a new VM is `creation`, which `wanted` reads."""

    class PlacementCreationSchema(creation):  # type: ignore[misc, valid-type]
        """A VM that is not made; it needs no name."""

        name = TextField(longest=63, validate=VM_NAME, load_default="")

    @blp.route("/placements")
    class PlacementsView(MethodView):
        @blp.query(PagingSchema)
        @blp.body(PlacementCreationSchema, required=False)
        @blp.read_many("placements", VerdictSchema)
        @mark("asks")
        def post(self, session: Session, actor: Actor, query: JSON, body: JSON) -> ResultPage:
            """Explain where a virtual machine would be placed: each host, the best first; nothing is made."""
            found = vms.explain(session, actor, wanted(body))
            part = found[query["offset"] : query["offset"] + query["limit"]]
            return ResultPage([_shown(each) for each in part], len(found), query["limit"], query["offset"])


def _shown(verdict: Verdict) -> JSON:
    choice = verdict.choice
    return {
        "host": verdict.host,
        "fits": choice is not None,
        "hypervisor": choice.hypervisor if choice else None,
        "preferred": verdict.preferred,
        "free": verdict.free,
        "reasons": verdict.obstacles,
    }
