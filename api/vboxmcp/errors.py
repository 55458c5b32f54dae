"""The vboxmcp document's answer to each kind of error."""

from __future__ import annotations

from marshmallow import Schema, fields

from api.rest.schemas import constant
from api.rest.shapes import Problem
from api.web.problems import HttpError
from core.contract import errors
from core.contract.errors import CorralError
from core.contract.messages import JSON

_TABLE: dict[type[CorralError], tuple[int, str]] = {
    errors.Invalid: (400, "invalid_request"),
    errors.Unauthenticated: (401, "unauthorized"),
    errors.Forbidden: (403, "forbidden"),
    errors.NotFound: (404, "not_found"),
    errors.Conflict: (409, "invalid_state"),
    errors.NoCapacity: (409, "insufficient_resources"),
    errors.TooMany: (429, "rate_limit_exceeded"),
    errors.Unsupported: (400, "invalid_request"),
    errors.GuestTimeout: (504, "operation_failed"),
    errors.HostRefused: (409, "operation_failed"),
    errors.DriverFailure: (500, "operation_failed"),
    errors.Unavailable: (503, "service_unavailable"),
    CorralError: (500, "operation_failed"),
}
# Kinds of which a code of ours says more than the document's word.
_CODED = (errors.GuestTimeout, errors.HostRefused)
# Where the document has a word of its own for a code of ours, that is said.
_OWN_WORDS = {"vm_not_found", "snapshot_not_found", "image_not_found", "vm_not_running", "vm_already_running"}


def problem(error: CorralError, request_id: str) -> Problem:
    """The answer to an error."""
    if isinstance(error, HttpError):
        status, word = error.status, error.code if error.status != 500 else "internal_error"
        word = "invalid_request" if word == "bad_request" else word
    else:
        status, word = next(_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE)
    coded = isinstance(error, _CODED) and error.code != type(error).code
    code = error.code if coded or error.code in _OWN_WORDS else word
    details = dict(error.details)
    if status == 500:
        details["request_id"] = request_id
    if isinstance(error, errors.Unfit):
        details = {wrong["field"]: wrong["error"] for wrong in error.details["fields"]}
    return Problem(status, {"status": "error", "error": {"code": code, "message": error.message, "details": details}})


class ErrorDetailSchema(Schema):
    """What went wrong."""

    code = fields.String(required=True)
    message = fields.String(required=True)
    details = fields.Dict(required=True)


class VboxmcpErrorSchema(Schema):
    """The envelope of an error."""

    status = constant("error")
    error = fields.Nested(ErrorDetailSchema, required=True)


class StrangerErrorSchema(Schema):
    """What is said to a request without any credential, which is taken for one of the other dialect."""

    error = constant("unauthorized")
    message = fields.String(required=True)


def schema(status: int) -> type[Schema] | JSON:
    """The body of the errors with that status."""
    return {"anyOf": [VboxmcpErrorSchema, StrangerErrorSchema]} if status == 401 else VboxmcpErrorSchema
