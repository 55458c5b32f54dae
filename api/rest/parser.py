"""Reads bodies and queries; what is wrong with them becomes an error of the one tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from flask import Request
from marshmallow import Schema, ValidationError
from webargs.core import missing
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy
from werkzeug.datastructures import CombinedMultiDict

from api.auditing import audit
from api.web.problems import HttpError, ValidationFailed
from api.web.uploads import whole_body
from core.contract.errors import Invalid


class Parser(FlaskParser):
    """JSON must be declared as JSON, and be an object; forms with files as multipart."""

    DEFAULT_LOCATION = "json"
    __location_map__ = {**FlaskParser.__location_map__, "upload": "load_upload"}

    def load_upload(self, req: Request, schema: Schema) -> Any:
        """The fields and files of a multipart body, of which each is there once."""
        if req.mimetype != "multipart/form-data":
            raise HttpError(415, "the body must be a form with files: Content-Type: multipart/form-data")
        audit.body_is(req.form.to_dict())
        return MultiDictProxy(CombinedMultiDict([req.form, req.files]), schema)

    def load_json(self, req: Request, schema: Schema) -> Any:
        """The body's JSON; nothing for an empty body."""
        if not (req.content_length or req.headers.get("Transfer-Encoding")):
            return missing
        data = whole_body(req)
        if not data:
            return missing
        if not req.is_json:
            raise HttpError(415, "the body must be JSON, with Content-Type: application/json")
        try:
            body = req.json_module.loads(data)
        except (ValueError, RecursionError):  # nested a hundred thousand deep, or a number of a thousand digits
            raise Invalid("the body is not valid JSON", issue="malformed JSON") from None
        audit.body_is(body)
        return body

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **kwargs: Any) -> NoReturn:
        """Each wrong field with its first error."""
        raise failed(error.messages_dict) from None


def failed(messages: Any) -> ValidationFailed:
    """The error for what is wrong with each field, as marshmallow tells it: {location: {field: [what]}}."""
    return ValidationFailed("Request validation failed", fields=list(_flat(messages)))


def _flat(messages: Any, path: tuple[str, ...] = ()) -> Iterator[dict[str, str]]:
    """Marshmallow's tree of messages as a list: {"field": "network_config.ip", "error": ...}."""
    if isinstance(messages, dict):
        for name, inner in messages.items():
            # The first level says where it was (json, query); "_schema" and the keys of a mapping are no fields.
            step = () if name in ("_schema", "value", "key") else (str(name),)
            yield from _flat(inner, path + step)
    else:
        text = messages[0] if isinstance(messages, list) else messages
        yield {"field": _short(".".join(path[1:])) or "body", "error": _short(str(text))}


def _short(text: str) -> str:
    """What came from the caller goes back in a form that JSON can hold, and not at any length."""
    return text[:200].encode(errors="backslashreplace").decode()
