"""Errors of HTTP itself, and errors of failed operations, in the one tree of errors."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from core.contract.errors import Conflict, CorralError, DriverFailure, Unfit
from core.contract.failures import error_of
from core.contract.messages import JSON, Failure, build
from core.contract.states import OperationState
from core.services.accepted import AnyOperation, subject_of


class ValidationFailed(Unfit):
    """A body or query that is not what the document says; `details["fields"]` lists each field and its error."""


class HttpError(CorralError):
    """Refused by HTTP itself, before any rule: `status` says how."""

    def __init__(
        self, status: int, message: str, headers: dict[str, str] | None = None, *, details: JSON | None = None
    ) -> None:
        super().__init__(message, code=_CODES.get(status, "bad_request"), **(details or {}))
        self.status = status
        self.headers = headers or {}


_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "payload_too_large",
    414: "uri_too_long",
    415: "unsupported_media_type",
    431: "headers_too_large",
    501: "not_implemented",
}


def from_http(error: HTTPException) -> CorralError:
    """What werkzeug or Flask raised, with the headers that belong to it (Allow, Retry-After)."""
    if isinstance(error, RequestEntityTooLarge):
        return too_large()
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name not in ("Content-Type", "Content-Length")}
    message = "there is no such path" if status == 404 else str(error.description or error.name)
    return HttpError(status, message, headers)


def too_large(what: str = "the body", limit: int | None = None) -> CorralError:
    """A part of the request is over its limit, by default the whole of it; the message names limit and size."""
    size = request.content_length
    has = f"; it has {size}" if size is not None and limit is None else ""
    most = limit if limit is not None else request.max_content_length
    message = f"{what} may have at most {most} bytes{has}" if most is not None else f"{what} is too large"
    field = {} if limit is None else {"field": what}
    return HttpError(413, message, details=field)


def from_operation(operation: AnyOperation) -> CorralError:
    """Why an operation that has ended did not succeed."""
    what = f"the {operation.kind.replace('_', ' ')} of {subject_of(operation)}"
    if operation.state == OperationState.CANCELLED:
        return Conflict(f"{what} was cancelled", code="cancelled", operation_id=operation.id)
    if operation.error is None:
        return DriverFailure(f"{what} failed")
    return error_of(build(Failure, operation.error))
