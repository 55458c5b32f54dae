"""/join-tokens and /join: how machines become hosts."""

from __future__ import annotations

from flask import Response, request
from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import Choice, Flag, Moment, Number, Pattern, Text
from api.rest.schemas import Sorting, Strict
from api.rest.shapes import Listed, Shape
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


class JoinTokenQuery(Sorting):
    """Which part of the tokens."""

    sort = Choice(*tokens.ORDERING.sorts)


class JoinTokenCreation(Strict):
    """A new token: for the host of that name, or for any. `replaces`: that host is there, and is to join again.

    `labels`: what who joins with it has from then on.
    """

    host = Text(longest=63, load_default=None, allow_none=True, validate=_HOST)
    replaces = Flag(load_default=False)
    ttl_seconds = Number(60, tokens.LONGEST_SECONDS, load_default=3600)
    uses = Number(1, tokens.MOST_USES, load_default=1)
    labels = given(load_default=dict)


class JoinTokenSchema(Schema):
    """A token, by what is known of it later. `hosts`: those that have joined with it."""

    id = fields.String(required=True)
    host = fields.String(required=True, allow_none=True)
    replaces = fields.Boolean(required=True)
    state = Choice(*STATES, required=True)
    uses = fields.Integer(required=True)
    labels = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    hosts = fields.List(fields.String(), required=True)
    created_by = fields.String(required=True)
    created_at = Moment(required=True)
    used_at = Moment(required=True, allow_none=True)
    expires_at = Moment(required=True)
    revoked_at = Moment(required=True, allow_none=True)


class JoinTokenMade(JoinTokenSchema):
    """A new token with what is pasted on the host, which is shown this once; null when a request is answered again."""

    token = fields.String(required=True, allow_none=True)


class JoinRequest(Strict):
    """Let this machine be a host. `secret_sha256`: of the secret that its agent has made and tells nobody."""

    token = Text(required=True, longest=64)
    secret = Text(required=True, longest=64)
    host = Text(required=True, longest=63)
    secret_sha256 = Text(required=True, longest=64)
    version = Text(required=True, longest=40)
    at = fields.Float(required=True, metadata={"description": "the machine's time, in seconds since the epoch"})


class ReleaseRequest(Strict):
    """Who is to become a host, by its token."""

    token = Text(required=True, longest=64)
    secret = Text(required=True, longest=64)


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
    class Tokens(MethodView):
        @blp.query(JoinTokenQuery)
        @blp.read_many("tokens", JoinTokenSchema)
        @mark("admin")
        def get(self, session: Session, actor: Actor, query: JSON) -> Listed:
            """List the join tokens, newest first (administrators)."""
            found, total = tokens.list_of(session, actor, Slice(**query))
            return Listed([_described(each) for each in found], total, query["limit"], query["offset"])

        @blp.body(JoinTokenCreation)
        @blp.write(201, JoinTokenMade, forgets=("token",))
        def post(self, session: Session, actor: Actor, body: JSON) -> JSON:
            """Create a token that lets a machine join as a host (administrators); it is shown only in this answer."""
            made, secret = tokens.create(session, actor, **body)
            url = api_context().settings.public_url or request.host_url.rstrip("/")
            return _described(made) | {"token": written(Token(url, made.id, secret, made.host or ""))}

    @blp.route("/join-tokens/<token_id>")
    class OneToken(MethodView):
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
    class Joining(MethodView):
        @blp.body(JoinRequest)
        @blp.write(200, JoinedSchema)
        @mark("public")
        def post(self, session: Session, _caller: None, body: JSON) -> Joined:
            """Join the fleet as a host, with a join token. The same request may be repeated."""
            return addresses.answer(api_context().settings, joins.join(session, build(Join, body)))

    @blp.route("/join/release")
    class Release(MethodView):
        @blp.respond_bytes()
        @blp.body(ReleaseRequest)
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
