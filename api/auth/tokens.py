"""JSON Web Tokens: made at login, checked at each request."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import lru_cache
from typing import Any

from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import ExpiredSignatureError, PyJWTError

from api.web.context import api_context
from core.contract.errors import Unauthenticated
from core.models import User

LIFETIME_SECONDS = 3600
_REMEMBERED = 1024
_VERSION = "ver"


def install(app: Flask) -> None:
    """Sign with the control plane's secret, which is read at the first token and not at the start."""
    app.config["JWT_ACCESS_TOKEN_EXPIRES"] = timedelta(seconds=LIFETIME_SECONDS)
    manager = JWTManager(app)
    manager.encode_key_loader(lambda _identity: _key())
    manager.decode_key_loader(lambda _header, _payload: _key())


def make(user: User) -> str:
    """A token for that user, which holds until their `token_version` is another."""
    return str(create_access_token(identity=user.id, additional_claims={_VERSION: user.token_version}))


def bearer(header: str) -> str:
    """What an Authorization header bears: a token, or an API key; `Unauthenticated` for any other scheme."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("use Authorization: Bearer <token>, or X-API-Key")
    return token.strip()


def subject(token: str) -> tuple[str, int]:
    """The id of the user whose token it is, and its version; `Unauthenticated` for whatever is no token of ours."""
    try:
        user_id, version, expires_at = _verified(token, _key())
    except ExpiredSignatureError:
        raise _expired() from None
    except (PyJWTError, JWTExtendedException, ValueError, RecursionError):  # PyJWT lets some garbage through as these
        raise Unauthenticated("the token is not valid; log in again") from None
    if expires_at <= time.time():
        raise _expired()
    return user_id, version


@lru_cache(_REMEMBERED)
def _verified(token: str, _secret: str) -> tuple[str, int, float]:
    """Whose token it is, of which version, and when it expires: a signature is checked once, not in each request."""
    payload: dict[str, Any] = decode_token(token)
    return str(payload["sub"]), int(payload.get(_VERSION, 0)), float(payload["exp"])


def _expired() -> Unauthenticated:
    return Unauthenticated("the token has expired; log in again")


def _key() -> str:
    return api_context().secret("jwt")
