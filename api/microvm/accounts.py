"""/auth: accounts and tokens."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy.orm import Session

from api.auditing import audit
from api.auth import identity, passwords, tokens
from api.microvm.schemas.accounts import Account, Credentials, Registration, Token
from api.microvm.shape import SHAPE
from api.rest.blueprint import Blueprint
from api.web.views import mark
from core.contract.messages import JSON
from core.models import User
from core.services import users

blp = Blueprint("auth", SHAPE, "Accounts and tokens")


@blp.route("/auth/register")
class Register(MethodView):
    @blp.body(Registration)
    @blp.write(201, Account)
    @mark("public")
    def post(self, session: Session, _actor: None, body: JSON) -> User:
        """Register an account; registering an administrator needs an administrator's token."""
        password_hash = passwords.hashed(body.pop("password"))
        return users.register(session, identity.actor(required=False), password_hash=password_hash, **body)


@blp.route("/auth/login")
class Login(MethodView):
    @blp.body(Credentials)
    @blp.respond(200, Token)
    @mark("public")
    def post(self, body: JSON) -> JSON:
        """Log in with a password."""
        user = passwords.login(body["username"], body["password"])
        audit.of_user(user.id, user.username)
        return {"access_token": tokens.make(user)}
