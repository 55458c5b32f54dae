"""Accounts and tokens."""

from __future__ import annotations

from marshmallow import Schema, fields

from api.auth.tokens import LIFETIME_SECONDS
from api.rest.fields import ChoiceField, MomentField, Pattern, TextField
from api.rest.schemas import StrictSchema, constant
from core.services import users

_USERNAME = Pattern(
    users.USERNAME, "must have 1 to 64 letters, digits, '.', '_', '@' or '-', and begin with a letter or digit"
)
_SHORTEST, _LONGEST = users.PASSWORD_LENGTHS


class RegistrationSchema(StrictSchema):
    """A new account."""

    username = TextField(required=True, longest=64, validate=_USERNAME)
    password = TextField(required=True, shortest=_SHORTEST, longest=_LONGEST)
    role = ChoiceField("user", "admin", load_default="user")


class AccountSchema(Schema):
    """An account."""

    user_id = fields.String(required=True, attribute="id")
    username = fields.String(required=True)
    role = fields.String(required=True)
    created_at = MomentField(required=True)


class CredentialsSchema(StrictSchema):
    """A user's name and password."""

    username = TextField(required=True, longest=1024)
    password = TextField(required=True, longest=1024)


class TokenSchema(Schema):
    """A token of a user."""

    access_token = fields.String(required=True)
    token_type = constant("bearer")
    expires_in = constant(LIFETIME_SECONDS)
