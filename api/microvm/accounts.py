"""/auth: accounts and tokens."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy.orm import Session

from api.auditing import audit
from api.auth import identity, passwords, tokens
from api.microvm.schemas.accounts import AccountSchema, CredentialsSchema, RegistrationSchema, TokenSchema
from api.microvm.shape import SHAPE
from api.rest.blueprint import Blueprint
from api.web.views import mark
from core.contract.messages import JSON
from core.models import User
from core.services import users

blp = Blueprint("auth", SHAPE, "Accounts and tokens")


@blp.route("/auth/register")
class RegisterView(MethodView):
    @blp.body(RegistrationSchema)
    @blp.write(201, AccountSchema)
    @mark("public")
    def post(self, session: Session, _actor: None, body: JSON) -> User:
        """Register an account; registering an administrator needs an administrator's token."""
        password_hash = passwords.hashed(body.pop("password"))
        return users.register(session, identity.actor(required=False), password_hash=password_hash, **body)


@blp.route("/auth/login")
class LoginView(MethodView):
    @blp.body(CredentialsSchema)
    @blp.respond(200, TokenSchema)
    @mark("public")
    def post(self, body: JSON) -> JSON:
        """Log in with a password."""
        user = passwords.login(body["username"], body["password"])
        audit.of_user(user.id, user.username)
        return {"access_token": tokens.make(user)}
