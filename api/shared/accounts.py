"""/auth/password and /users: passwords changed, accounts disabled and tokens revoked, in both dialects."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.auth import passwords, tokens
from api.auth.identity import actor as calling
from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, MomentField, TextField
from api.rest.schemas import SortingSchema, StrictSchema
from api.rest.shapes import ResultPage, Shape
from api.web.views import mark
from core.contract.messages import JSON
from core.models import User
from core.services import users
from core.services.context import Actor
from core.services.paging import Slice

_SHORTEST, _LONGEST = users.PASSWORD_LENGTHS


class PasswordChangeSchema(StrictSchema):
    """A new password, by who knows the present one."""

    current_password = TextField(required=True, longest=1024)
    new_password = TextField(required=True, shortest=_SHORTEST, longest=_LONGEST)


class PasswordChangedSchema(Schema):
    """The account, and a token that holds; those made before do not any more. API keys are as they were."""

    username = fields.String(required=True)
    access_token = fields.String(required=True)


class UserSchema(Schema):
    """An account. A disabled one has no credential that holds."""

    user_id = fields.String(required=True, attribute="id")
    username = fields.String(required=True)
    role = fields.String(required=True)
    created_at = MomentField(required=True)
    disabled_at = MomentField(required=True, allow_none=True)


class UserQuerySchema(SortingSchema):
    """Which part of the users."""

    sort = ChoiceField(*users.ORDERING.sorts)


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("accounts", shape, "Passwords and accounts")

    @blp.route("/auth/password")
    class PasswordView(MethodView):
        @blp.body(PasswordChangeSchema)
        @blp.respond(200, PasswordChangedSchema)
        def post(self, body: JSON) -> JSON:
            """Change your password; all your tokens are revoked."""
            caller = calling()
            caller.must_write()
            user = passwords.change(caller.username, body["current_password"], body["new_password"])
            return {"username": user.username, "access_token": tokens.make(user)}

    @blp.route("/users")
    class UsersView(MethodView):
        @blp.query(UserQuerySchema)
        @blp.read_many("users", UserSchema)
        @mark("admin")
        def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
            """List all users (administrators)."""
            found, total = users.page(session, actor, Slice(**query))
            return ResultPage(found, total, query["limit"], query["offset"])

    @blp.route("/users/<username>/disable")
    class DisableUserView(MethodView):
        @blp.write(200, UserSchema)
        def post(self, session: Session, actor: Actor, username: str) -> User:
            """Disable a user: all their credentials are refused, and their VMs keep running (administrators)."""
            return users.enable(session, actor, username, enabled=False)

    @blp.route("/users/<username>/enable")
    class EnableUserView(MethodView):
        @blp.write(200, UserSchema)
        def post(self, session: Session, actor: Actor, username: str) -> User:
            """Enable a disabled user (administrators)."""
            return users.enable(session, actor, username, enabled=True)

    @blp.route("/users/<username>/revoke-tokens")
    class RevokeTokensView(MethodView):
        @blp.write(200, UserSchema)
        def post(self, session: Session, actor: Actor, username: str) -> User:
            """Revoke all your tokens, or as an administrator another user's; API keys stay."""
            return users.revoke_tokens(session, actor, username)

    return blp
