"""JSON Web Tokens: made at login, checked at each request."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import ExpiredSignatureError, PyJWTError

from api.parts import parts
from core.contract.errors import Unauthenticated

LIFETIME_SECONDS = 3600


def install(app: Flask) -> None:
    """Sign with the control plane's secret, which is read at the first token and not at the start."""
    app.config["JWT_ACCESS_TOKEN_EXPIRES"] = timedelta(seconds=LIFETIME_SECONDS)
    manager = JWTManager(app)
    manager.encode_key_loader(lambda _identity: _key())
    manager.decode_key_loader(lambda _header, _payload: _key())


def make(user_id: str) -> str:
    """A token for that user."""
    return str(create_access_token(identity=user_id))


def subject(header: str) -> str:
    """The user id in an Authorization header; `Unauthenticated` for whatever is no token of ours."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("use Authorization: Bearer <token>, or X-API-Key")
    try:
        payload: dict[str, Any] = decode_token(token.strip())
    except ExpiredSignatureError:
        raise Unauthenticated("the token has expired; log in again") from None
    except (PyJWTError, JWTExtendedException, ValueError, RecursionError):  # PyJWT lets some garbage through as these
        raise Unauthenticated("the token is not valid; log in again") from None
    return str(payload["sub"])


def _key() -> str:
    return parts().secret("jwt")
