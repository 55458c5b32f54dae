"""One Flask application for one dialect, with all that the requests of both share."""

from __future__ import annotations

from collections.abc import Sequence

import flask_smorest
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from flask.json.provider import DefaultJSONProvider

from api.auditing import audit
from api.auditing.flood import Flood
from api.auth import identity, tokens
from api.monitoring import requests as counting
from api.rest import errors
from api.rest.blueprint import Blueprint
from api.rest.schemas import schema_name
from api.rest.shapes import Shape
from api.web import limits, requests, uploads
from api.web.context import ApiContext

API_VERSION = "1.0"


class DialectApi(flask_smorest.Api):  # type: ignore[misc]  # flask-smorest has no types
    """Leaves the errors to ours, and documents them operation by operation."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, shape: Shape, app: Flask) -> None:
        self.ERROR_SCHEMA = shape.error_schema(400)
        super().__init__(app, spec_kwargs={"marshmallow_plugin": MarshmallowPlugin(schema_name_resolver=schema_name)})

    def _register_error_handlers(self) -> None:
        pass


class Application(Flask):
    """A dialect's application."""

    def log_exception(self, exc_info: object) -> None:
        """Nothing: whoever answers an error also logs it, if it is a fault of ours (api/rest/errors.py)."""


def make(shape: Shape, context: ApiContext, flood: Flood, blueprints: Sequence[Blueprint]) -> Flask:
    """The application of a dialect. The order of the first lines is that in which a request meets them."""
    app = Application(f"corral.{shape.name}", static_folder=None)
    app.extensions["corral"], app.extensions["shape"] = context, shape
    app.request_class = uploads.UploadRequest
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.url_map.merge_slashes = False  # it would answer with a page of HTML that leads elsewhere
    _set_json(app)
    requests.install(app)
    counting.install(app, shape.name, context)
    audit.install(app, flood)
    identity.install_first(app)
    limits.install(app)
    identity.install_last(app)
    app.before_request(requests.check_path)
    app.before_request(lambda: uploads.limit_body(context.settings.max_body_mb))
    tokens.install(app)
    errors.install(app, shape)
    _document(app, shape, blueprints)
    return app


def _set_json(app: Flask) -> None:
    provider = app.json
    if isinstance(provider, DefaultJSONProvider):
        provider.sort_keys, provider.compact = False, True


def _document(app: Flask, shape: Shape, blueprints: Sequence[Blueprint]) -> None:
    app.config.update(
        API_TITLE=shape.title,
        API_VERSION=API_VERSION,
        OPENAPI_VERSION="3.0.3",
        OPENAPI_URL_PREFIX="/openapi",
        OPENAPI_JSON_PATH=f"{shape.name}.json",
        API_SPEC_OPTIONS={
            "info": {"description": shape.description},
            "servers": [{"url": "/"}],
            "components": {"securitySchemes": shape.security},
            "security": [{name: []} for name in shape.security],
        },
    )
    api = DialectApi(shape, app)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
