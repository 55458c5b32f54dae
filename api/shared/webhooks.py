"""/webhooks: URLs that get a user's events, and what was delivered to them."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, FlagField, Length, MomentField, TextField
from api.rest.schemas import SortingSchema, StrictSchema
from api.rest.shapes import ResultPage, Shape
from api.web.context import api_context
from core.contract.messages import JSON
from core.models import Webhook
from core.services import events
from core.services.context import Actor
from core.services.paging import Slice
from core.services.webhooks import deliveries, hooks

_TYPES = {"description": "the types of events that are delivered; none given: all", "example": ["status_change"]}


class WebhookQuerySchema(SortingSchema):
    """Which part of the webhooks."""

    sort = ChoiceField(*hooks.ORDERING.sorts)


class DeliveryQuerySchema(SortingSchema):
    """Which part of the deliveries."""

    sort = ChoiceField(*deliveries.ORDERING.sorts)
    state = ChoiceField(*deliveries.STATES, load_default=None)


class WebhookCreationSchema(StrictSchema):
    """A new webhook."""

    url = TextField(required=True, shortest=1, longest=hooks.LONGEST_URL)
    types = fields.List(
        TextField(longest=40), load_default=list, validate=Length(max=len(events.TYPES)), metadata=_TYPES
    )


class WebhookChangeSchema(StrictSchema):
    """What of a webhook is to change."""

    url = TextField(shortest=1, longest=hooks.LONGEST_URL)
    types = fields.List(TextField(longest=40), validate=Length(max=len(events.TYPES)), metadata=_TYPES)
    enabled = FlagField()


class WebhookSchema(Schema):
    """A webhook. `failing_since`: no delivery has been accepted since then."""

    id = fields.String(required=True)
    url = fields.String(required=True)
    types = fields.List(fields.String(), required=True)
    enabled = fields.Boolean(required=True)
    created_at = MomentField(required=True)
    failing_since = MomentField(required=True, allow_none=True)
    disabled_at = MomentField(required=True, allow_none=True)
    disabled_reason = fields.String(required=True, allow_none=True)


class WebhookMadeSchema(WebhookSchema):
    """A webhook with its secret, which is shown this once; null when the same request is answered again."""

    secret = fields.String(required=True, allow_none=True)


class DeliverySchema(Schema):
    """An event on its way to a webhook. `event_seq` is null for a test."""

    id = fields.Integer(required=True)
    type = fields.String(required=True)
    event_seq = fields.Integer(required=True, allow_none=True)
    vm_id = fields.String(required=True, allow_none=True)
    state = ChoiceField(*deliveries.STATES, required=True)
    attempts = fields.Integer(required=True)
    last_status = fields.Integer(required=True, allow_none=True)
    last_error = fields.String(required=True, allow_none=True)
    created_at = MomentField(required=True)
    next_try_at = MomentField(required=True)
    ended_at = MomentField(required=True, allow_none=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("webhooks", shape, "Webhooks")
    _add_webhooks(blp)
    _add_deliveries(blp)
    return blp


def _add_webhooks(blp: Blueprint) -> None:
    @blp.route("/webhooks")
    class WebhooksView(MethodView):
        @blp.query(WebhookQuerySchema)
        @blp.read_many("webhooks", WebhookSchema)
        def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
            """List your webhooks, newest first."""
            found, total = hooks.list_of(session, actor, Slice(**query))
            return ResultPage([_described(each) for each in found], total, query["limit"], query["offset"])

        @blp.body(WebhookCreationSchema)
        @blp.write(201, WebhookMadeSchema, forgets=("secret",))
        def post(self, session: Session, actor: Actor, body: JSON) -> JSON:
            """Create a webhook; the secret that signs its deliveries is in this answer alone."""
            made = hooks.create(session, actor, **body, allowed=api_context().settings.webhook_networks)
            return _described(made) | {"secret": made.secret}

    @blp.route("/webhooks/<webhook_id>")
    class WebhookView(MethodView):
        @blp.read_one(WebhookSchema)
        def get(self, session: Session, actor: Actor, webhook_id: str) -> JSON:
            """Get a webhook."""
            return _described(hooks.get(session, actor, webhook_id))

        @blp.body(WebhookChangeSchema)
        @blp.write(200, WebhookSchema)
        def patch(self, session: Session, actor: Actor, body: JSON, webhook_id: str) -> JSON:
            """Change a webhook's URL or types, disable or enable it."""
            allowed = api_context().settings.webhook_networks
            return _described(hooks.change(session, actor, webhook_id, **body, allowed=allowed))

        @blp.write(204, None)
        def delete(self, session: Session, actor: Actor, webhook_id: str) -> None:
            """Delete a webhook and its deliveries."""
            hooks.delete(session, actor, webhook_id)

    @blp.route("/webhooks/<webhook_id>/secret")
    class WebhookSecretView(MethodView):
        @blp.write(200, WebhookMadeSchema, forgets=("secret",))
        def post(self, session: Session, actor: Actor, webhook_id: str) -> JSON:
            """Rotate a webhook's secret; for a day deliveries are signed with the former one too."""
            hook = hooks.rotate(session, actor, webhook_id)
            return _described(hook) | {"secret": hook.secret}


def _add_deliveries(blp: Blueprint) -> None:
    @blp.route("/webhooks/<webhook_id>/deliveries")
    class DeliveriesView(MethodView):
        @blp.query(DeliveryQuerySchema)
        @blp.read_many("deliveries", DeliverySchema)
        def get(self, session: Session, actor: Actor, query: JSON, webhook_id: str) -> ResultPage:
            """List a webhook's deliveries, newest first; they are kept for seven days."""
            state = query.pop("state")
            found, total = deliveries.list_of(session, actor, webhook_id, state, Slice(**query))
            return ResultPage(found, total, query["limit"], query["offset"])

    @blp.route("/webhooks/<webhook_id>/deliveries/<int:delivery_id>/resend")
    class DeliveryResendView(MethodView):
        @blp.write(202, DeliverySchema)
        def post(self, session: Session, actor: Actor, webhook_id: str, delivery_id: int) -> object:
            """Deliver an event once more."""
            return deliveries.resend(session, actor, webhook_id, delivery_id)

    @blp.route("/webhooks/<webhook_id>/test")
    class WebhookTestView(MethodView):
        @blp.write(202, DeliverySchema)
        def post(self, session: Session, actor: Actor, webhook_id: str) -> object:
            """Deliver a test event."""
            return deliveries.test(session, actor, webhook_id)


def _described(hook: Webhook) -> JSON:
    names = [name for name in WebhookSchema().fields if name != "enabled"]
    return {name: getattr(hook, name) for name in names} | {"enabled": hook.disabled_at is None}
