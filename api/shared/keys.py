"""/keys: API keys."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import Choice, Moment, Text
from api.rest.schemas import Sorting, Strict
from api.rest.shapes import Listed, Shape
from core.contract.messages import JSON
from core.services import keys
from core.services.context import Actor
from core.services.paging import Slice


class KeyQuery(Sorting):
    """Which part of the keys."""

    sort = Choice(*keys.ORDERING.sorts)


class KeyCreation(Strict):
    """A new key. `read` may change nothing."""

    name = Text(required=True, shortest=1, longest=100)
    access = Choice("read", "full", load_default="full")
    expires_at = Moment(load_default=None, allow_none=True)


class KeySchema(Schema):
    """A key, by what is known of it later."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    prefix = fields.String(required=True)
    access = fields.String(required=True)
    created_at = Moment(required=True)
    expires_at = Moment(required=True, allow_none=True)
    revoked_at = Moment(required=True, allow_none=True)


class KeyMade(KeySchema):
    """A new key with its secret, which is shown this once; null when the same request is answered again."""

    key = fields.String(required=True, allow_none=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("keys", shape, "API keys")

    @blp.route("/keys")
    class Keys(MethodView):
        @blp.query(KeyQuery)
        @blp.read_many("keys", KeySchema)
        def get(self, session: Session, actor: Actor, query: JSON) -> Listed:
            """List your API keys, newest first."""
            found, total = keys.list_of(session, actor, Slice(**query))
            return Listed(found, total, query["limit"], query["offset"])

        @blp.body(KeyCreation)
        @blp.write(201, KeyMade, forgets=("key",))
        def post(self, session: Session, actor: Actor, body: JSON) -> JSON:
            """Create an API key; its secret is shown only in this answer."""
            made, secret = keys.create(session, actor, **body)
            return {name: getattr(made, name) for name in KeySchema().fields} | {"key": secret}

    @blp.route("/keys/<key_id>")
    class OneKey(MethodView):
        @blp.write(204, None)
        def delete(self, session: Session, actor: Actor, key_id: str) -> None:
            """Revoke an API key for good."""
            keys.revoke(session, actor, key_id)

    return blp
