"""/media: the disks that users have beside their VMs' own."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.auth.identity import actor as caller
from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, MomentField, TextField
from api.rest.schemas import SortingSchema
from api.rest.shapes import ResultPage, Shape
from api.shared.hardware import GigabytesField
from api.web.context import api_context
from core.contract.messages import JSON
from core.models import Medium
from core.services import media
from core.services.context import Actor

_SECONDS = 30.0


class MediaQuerySchema(SortingSchema):
    """Which disks: on one host, of one owner (for administrators), attached to a VM or not."""

    host = TextField(longest=63)
    owner = TextField(longest=100)
    attached = fields.Boolean()
    sort = ChoiceField(*media.ORDERING.sorts)


class MediumSchema(Schema):
    """A disk. `vm_id`: the VM that has it; `reserved_gb`: what is counted for it on its host."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    host = fields.String(required=True, attribute="host_name")
    owner_id = fields.String(required=True)
    format = fields.String(required=True)
    size_gb = GigabytesField(required=True, attribute="size_bytes")
    used_gb = GigabytesField(required=True, allow_none=True, attribute="used_bytes")
    reserved_gb = fields.Integer(required=True)
    vm_id = fields.String(required=True, allow_none=True)
    created_at = MomentField(required=True)


class DeleteQuerySchema(Schema):
    """What goes with a VM."""

    delete_disks = fields.Boolean(
        load_default=False, metadata={"description": "delete the attached disks too (default: they stay)"}
    )


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("media", shape, "Media: disks that users have beside VMs' own")

    @blp.route("/media")
    class MediaView(MethodView):
        @blp.query(MediaQuerySchema)
        @blp.read_many("media", MediumSchema)
        def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
            """List your disks; an administrator gets everyone's."""
            found, total = media.list_of(session, actor, media.MediaFilter(**query))
            return ResultPage(found, total, query["limit"], query["offset"])

    @blp.route("/media/<medium_id>")
    class MediumView(MethodView):
        @blp.read_one(MediumSchema)
        def get(self, session: Session, actor: Actor, medium_id: str) -> Medium:
            """Get a disk."""
            return media.get(session, actor, medium_id)

        @blp.slow_write(204, None, Actor.must_write)
        def delete(self, medium_id: str) -> None:
            """Delete a disk that is not attached, with all its data."""
            with api_context().reading() as session:
                host = media.to_delete(session, caller(), medium_id).host_name
            api_context().hub.call(host, "medium_delete", None, {"id": medium_id}, _SECONDS)
            with api_context().transaction() as session:
                media.removed(session, medium_id)

    return blp
