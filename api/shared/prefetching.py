"""/images/{image}/prefetch: hosts get an image before a VM needs it there."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields, validate
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import NumberField, TextField
from api.rest.schemas import OperationSchema, StrictSchema
from api.shared.labels import TermsField
from api.web.context import api_context
from core import images
from core.contract.messages import JSON
from core.services import prefetching
from core.services.context import Actor
from core.services.prefetching import Prefetched, PrefetchRequest

_MOST_HOSTS = 1000
_HOSTS = "their names; without any, all hosts whose labels fit"
_DEADLINE = "when each operation fails if its host does not have the image"


class PrefetchingSchema(StrictSchema):
    """Which hosts are to have the image."""

    hosts = fields.List(
        TextField(longest=63),
        load_default=list,
        validate=validate.Length(max=_MOST_HOSTS, error="must be at most {max}"),
        metadata={"description": _HOSTS},
    )
    label = TermsField(load_default=())
    deadline_seconds = NumberField(
        1,
        prefetching.LONGEST_SECONDS,
        load_default=prefetching.DEADLINE_SECONDS,
        metadata={"description": _DEADLINE},
    )


class SkippedSchema(Schema):
    """A host that gets nothing."""

    host = fields.String(required=True)
    reason = fields.String(required=True)
    has_image = fields.Boolean(required=True)


class PrefetchedSchema(Schema):
    """An operation for each host that gets the image, and the reason for each other one."""

    operations = fields.List(fields.Nested(OperationSchema), required=True)
    skipped = fields.List(fields.Nested(SkippedSchema), required=True)


def add(blp: Blueprint) -> None:
    """The resource, among those of images."""

    @blp.route("/images/<image_name>/prefetch")
    class PrefetchView(MethodView):
        @blp.body(PrefetchingSchema)
        @blp.write(202, PrefetchedSchema)
        def post(self, session: Session, actor: Actor, body: JSON, image_name: str) -> Prefetched:
            """Have hosts pull an image before a VM needs it there (administrators): an operation for each host.

            A host that has the image, is offline or is being emptied gets none, and is listed with the reason.
            """
            actor.must_administer()
            image = images.get(api_context().settings.images, image_name)
            return prefetching.begin(session, actor, image, PrefetchRequest(**body))
