"""/vm-list: all VMs of a large fleet, a thousand an answer, each from where the one before ended."""

from __future__ import annotations

import re

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import NumberField, Pattern, TextField
from api.rest.schemas import MOST_OF_ALL, named
from core.contract.messages import JSON
from core.services import listing
from core.services.context import Actor

# The year 9999 in microseconds has 18 digits, but so have years that no datetime can hold.
_CURSOR = Pattern(re.compile(r"[0-9]{1,17}\.[A-Za-z0-9-]{1,40}"), "must be the `next` of an answer")


class FollowingSchema(Schema):
    """Which part: up to `limit` VMs behind that cursor."""

    after = TextField(
        validate=_CURSOR, metadata={"description": "`next` of the last answer; without it: from the first"}
    )
    limit = NumberField(
        1, MOST_OF_ALL, strict=False, load_default=MOST_OF_ALL, metadata={"description": "maximum number of results"}
    )


def add(blp: Blueprint, brief: type[Schema]) -> None:
    """The resource, in a dialect whose lists show VMs as `brief`."""
    about = {"description": "`after` of the next request; null at the end"}
    part = {
        "vms": fields.List(fields.Nested(brief), required=True),
        "next": fields.String(required=True, allow_none=True, metadata=about),
    }

    @blp.route("/vm-list")
    class VmListView(MethodView):
        @blp.query(FollowingSchema)
        @blp.read_one(named("VmListPart", part))
        def get(self, session: Session, actor: Actor, query: JSON) -> JSON:
            """List all virtual machines, oldest first, in few requests."""
            found, cursor = listing.after(session, actor, query.get("after"), query["limit"])
            return {"vms": found, "next": cursor}
