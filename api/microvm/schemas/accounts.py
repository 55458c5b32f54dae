"""Accounts and tokens."""

from __future__ import annotations

from marshmallow import Schema, fields

from api.auth.tokens import LIFETIME_SECONDS
from api.rest.fields import Choice, Moment, Pattern, Text
from api.rest.schemas import Strict, constant
from core.services import users

_USERNAME = Pattern(
    users.USERNAME, "must have 1 to 64 letters, digits, '.', '_', '@' or '-', and begin with a letter or digit"
)
_SHORTEST, _LONGEST = users.PASSWORD_LENGTHS


class Registration(Strict):
    """A new account."""

    username = Text(required=True, longest=64, validate=_USERNAME)
    password = Text(required=True, shortest=_SHORTEST, longest=_LONGEST)
    role = Choice("user", "admin", load_default="user")


class Account(Schema):
    """An account."""

    user_id = fields.String(required=True, attribute="id")
    username = fields.String(required=True)
    role = fields.String(required=True)
    created_at = Moment(required=True)


class Credentials(Strict):
    """Who logs in."""

    username = Text(required=True, longest=1024)
    password = Text(required=True, longest=1024)


class Token(Schema):
    """What a login gives."""

    access_token = fields.String(required=True)
    token_type = constant("bearer")
    expires_in = constant(LIFETIME_SECONDS)
