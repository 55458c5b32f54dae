"""The microvm document's answer to each kind of error."""

from __future__ import annotations

from marshmallow import Schema, fields

from api.rest.shapes import Problem
from api.web.problems import HttpError
from core.contract import errors
from core.contract.errors import CorralError
from core.contract.messages import JSON

_TABLE: dict[type[CorralError], tuple[int, str]] = {
    errors.Unfit: (422, "validation_error"),
    errors.Invalid: (400, "bad_request"),
    errors.Unauthenticated: (401, "unauthorized"),
    errors.Forbidden: (403, "forbidden"),
    errors.NotFound: (404, "not_found"),
    errors.Conflict: (409, "conflict"),
    errors.NoCapacity: (409, "conflict"),
    errors.TooMany: (429, "rate_limit_exceeded"),
    errors.Unsupported: (400, "bad_request"),
    errors.GuestTimeout: (504, "timeout"),
    errors.HostRefused: (409, "conflict"),
    errors.DriverFailure: (500, "internal_error"),
    errors.Unavailable: (503, "service_unavailable"),
    CorralError: (500, "internal_error"),
}
# Kinds of which the code says more than the document's word.
_CODED = (errors.GuestTimeout, errors.HostRefused)
_DETAILS = ("field", "issue", "operation_id", "reason", "rejected", "vm_ids")


def problem(error: CorralError, request_id: str) -> Problem:
    """The answer to an error."""
    if isinstance(error, HttpError):
        status, word = error.status, error.code if error.status != 500 else "internal_error"
    else:
        status, word = next(_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE)
    body: JSON = {"error": word, "message": error.message}
    if status == 500:
        body["request_id"] = request_id
    elif isinstance(error, errors.TooMany):
        body["retry_after_seconds"] = error.details["retry_after_seconds"]
    elif isinstance(error, errors.Unfit):
        body["details"] = error.details["fields"]
    elif details := _details(error):
        body["details"] = details
    return Problem(status, body)


def _details(error: CorralError) -> JSON:
    """What the message does not say; the document's other errors have no details."""
    issue = {"issue": error.message} if "field" in error.details else {}
    if isinstance(error, _CODED) and error.code != type(error).code:
        issue["code"] = error.code
    return issue | {name: value for name, value in error.details.items() if name in _DETAILS}


class MicrovmErrorSchema(Schema):
    """An error."""

    error = fields.String(required=True)
    message = fields.String(required=True)
    details = fields.Dict(metadata={"description": "what was wrong, by field or subject"})


class FieldErrorSchema(Schema):
    """An error of one field."""

    field = fields.String(required=True)
    error = fields.String(required=True)


class ValidationErrorSchema(Schema):
    """The errors of a body or query, field by field."""

    error = fields.String(required=True)
    message = fields.String(required=True)
    details = fields.List(fields.Nested(FieldErrorSchema), required=True)


class TooManyErrorSchema(Schema):
    """Slow down."""

    error = fields.String(required=True)
    message = fields.String(required=True)
    retry_after_seconds = fields.Integer(required=True)


class InternalErrorSchema(Schema):
    """An unexpected error; the id finds it in the log."""

    error = fields.String(required=True)
    message = fields.String(required=True)
    request_id = fields.String(required=True)


def schema(status: int) -> type[Schema]:
    """The body of the errors with that status."""
    return {422: ValidationErrorSchema, 429: TooManyErrorSchema, 500: InternalErrorSchema}.get(
        status, MicrovmErrorSchema
    )
