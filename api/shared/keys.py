"""/keys: API keys."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, MomentField, TextField
from api.rest.schemas import SortingSchema, StrictSchema
from api.rest.shapes import ResultPage, Shape
from core.contract.messages import JSON
from core.services import keys
from core.services.context import Actor
from core.services.paging import Slice


class KeyQuerySchema(SortingSchema):
    """Which part of the keys."""

    sort = ChoiceField(*keys.ORDERING.sorts)


class KeyCreationSchema(StrictSchema):
    """A new key. `read` may change nothing."""

    name = TextField(required=True, shortest=1, longest=100)
    access = ChoiceField("read", "full", load_default="full")
    expires_at = MomentField(load_default=None, allow_none=True)


class KeySchema(Schema):
    """A key, by what is known of it later."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    prefix = fields.String(required=True)
    access = fields.String(required=True)
    created_at = MomentField(required=True)
    expires_at = MomentField(required=True, allow_none=True)
    revoked_at = MomentField(required=True, allow_none=True)


class KeyMadeSchema(KeySchema):
    """A new key with its secret, which is shown this once; null when the same request is answered again."""

    key = fields.String(required=True, allow_none=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("keys", shape, "API keys")

    @blp.route("/keys")
    class KeysView(MethodView):
        @blp.query(KeyQuerySchema)
        @blp.read_many("keys", KeySchema)
        def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
            """List your API keys, newest first."""
            found, total = keys.list_of(session, actor, Slice(**query))
            return ResultPage(found, total, query["limit"], query["offset"])

        @blp.body(KeyCreationSchema)
        @blp.write(201, KeyMadeSchema, forgets=("key",))
        def post(self, session: Session, actor: Actor, body: JSON) -> JSON:
            """Create an API key; its secret is shown only in this answer."""
            made, secret = keys.create(session, actor, **body)
            return {name: getattr(made, name) for name in KeySchema().fields} | {"key": secret}

    @blp.route("/keys/<key_id>")
    class KeyView(MethodView):
        @blp.write(204, None)
        def delete(self, session: Session, actor: Actor, key_id: str) -> None:
            """Revoke an API key for good."""
            keys.revoke(session, actor, key_id)

    return blp
