"""/join-tokens and /join: how machines become hosts."""

from __future__ import annotations

from flask import Response, request
from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, FlagField, MomentField, NumberField, Pattern, TextField
from api.rest.schemas import SortingSchema, StrictSchema
from api.rest.shapes import ResultPage, Shape
from api.shared import archive
from api.shared.labels import given
from api.web.context import api_context
from api.web.views import mark
from core.contract import channels
from core.contract.joining import Join, Joined, Token, written
from core.contract.messages import JSON, build
from core.models import JoinToken
from core.services.context import Actor
from core.services.identities import addresses, joins, tokens
from core.services.paging import Slice

_HOST = Pattern(channels.HOST_NAME, "must be lower-case letters, digits, '.' and '-', at most 63")
STATES = ("waiting", "used", "expired", "revoked")


class JoinTokenQuerySchema(SortingSchema):
    """Which part of the tokens."""

    sort = ChoiceField(*tokens.ORDERING.sorts)


class JoinTokenCreationSchema(StrictSchema):
    """A new token: for the host of that name, or for any. `replaces`: that host is there, and is to join again.

    `labels`: what who joins with it has from then on.
    """

    host = TextField(longest=63, load_default=None, allow_none=True, validate=_HOST)
    replaces = FlagField(load_default=False)
    ttl_seconds = NumberField(60, tokens.LONGEST_SECONDS, load_default=3600)
    uses = NumberField(1, tokens.MOST_USES, load_default=1)
    labels = given(load_default=dict)


class JoinTokenSchema(Schema):
    """A token, by what is known of it later. `hosts`: those that have joined with it."""

    id = fields.String(required=True)
    host = fields.String(required=True, allow_none=True)
    replaces = fields.Boolean(required=True)
    state = ChoiceField(*STATES, required=True)
    uses = fields.Integer(required=True)
    labels = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    hosts = fields.List(fields.String(), required=True)
    created_by = fields.String(required=True)
    created_at = MomentField(required=True)
    used_at = MomentField(required=True, allow_none=True)
    expires_at = MomentField(required=True)
    revoked_at = MomentField(required=True, allow_none=True)


class JoinTokenMadeSchema(JoinTokenSchema):
    """A new token with what is pasted on the host, which is shown this once; null when a request is answered again."""

    token = fields.String(required=True, allow_none=True)


class JoinRequestSchema(StrictSchema):
    """Let this machine be a host. `secret_sha256`: of the secret that its agent has made and tells nobody."""

    token = TextField(required=True, longest=64)
    secret = TextField(required=True, longest=64)
    host = TextField(required=True, longest=63)
    secret_sha256 = TextField(required=True, longest=64)
    version = TextField(required=True, longest=40)
    at = fields.Float(required=True, metadata={"description": "the machine's time, in seconds since the epoch"})


class ReleaseRequestSchema(StrictSchema):
    """Who is to become a host, by its token."""

    token = TextField(required=True, longest=64)
    secret = TextField(required=True, longest=64)


class JoinedSchema(Schema):
    """It is one: where it finds Redis, and as whom it comes there."""

    host = fields.String(required=True)
    account = fields.String(required=True)
    redis_url = fields.String(required=True)
    redis_ca = fields.String(required=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("joining", shape, "Hosts")

    @blp.route("/join-tokens")
    class JoinTokensView(MethodView):
        @blp.query(JoinTokenQuerySchema)
        @blp.read_many("tokens", JoinTokenSchema)
        @mark("admin")
        def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
            """List the join tokens, newest first (administrators)."""
            found, total = tokens.list_of(session, actor, Slice(**query))
            return ResultPage([_described(each) for each in found], total, query["limit"], query["offset"])

        @blp.body(JoinTokenCreationSchema)
        @blp.write(201, JoinTokenMadeSchema, forgets=("token",))
        def post(self, session: Session, actor: Actor, body: JSON) -> JSON:
            """Create a token that lets a machine join as a host (administrators); it is shown only in this answer."""
            made, secret = tokens.create(session, actor, **body)
            url = api_context().settings.public_url or request.host_url.rstrip("/")
            return _described(made) | {"token": written(Token(url, made.id, secret, made.host or ""))}

    @blp.route("/join-tokens/<token_id>")
    class JoinTokenView(MethodView):
        @blp.read_one(JoinTokenSchema)
        @mark("admin")
        def get(self, session: Session, actor: Actor, token_id: str) -> JSON:
            """Get a join token (administrators)."""
            return _described(tokens.get(session, actor, token_id))

        @blp.write(204, None)
        def delete(self, session: Session, actor: Actor, token_id: str) -> None:
            """Revoke a join token (administrators); hosts that have joined stay."""
            tokens.revoke(session, actor, token_id)

    @blp.route("/join")
    class JoinView(MethodView):
        @blp.body(JoinRequestSchema)
        @blp.write(200, JoinedSchema)
        @mark("public")
        def post(self, session: Session, _caller: None, body: JSON) -> Joined:
            """Join the fleet as a host, with a join token. The same request may be repeated."""
            return addresses.answer(api_context().settings, joins.join(session, build(Join, body)))

    @blp.route("/join/release")
    class ReleaseHostView(MethodView):
        @blp.respond_bytes()
        @blp.body(ReleaseRequestSchema)
        @mark("public", "asks")
        def post(self, body: JSON) -> Response:
            """Fetch the release of the fleet, with a join token: a tar of wheels, of requirements.txt and its digests.

            It is of the Python and the processor of the control plane's machine.
            """
            with api_context().reading() as session:
                joins.may_install(session, body["token"], body["secret"])
            return archive.response()

    return blp


def _described(token: JoinToken) -> JSON:
    return {name: getattr(token, name) for name in JoinTokenSchema().fields if name != "state"} | {
        "state": tokens.state_of(token)
    }
