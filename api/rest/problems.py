"""The errors that only HTTP has, and those that come back from an operation, in the one tree of errors."""

from __future__ import annotations

from werkzeug.exceptions import HTTPException

from core.contract.errors import Conflict, CorralError, DriverFailure, Unfit
from core.contract.failures import error_of
from core.contract.messages import Failure, build
from core.contract.states import OperationState
from core.models import Operation


class ValidationFailed(Unfit):
    """A body or query that is not what the document says; `details["fields"]` lists each field and its error."""


class Refused(CorralError):
    """Refused by HTTP itself, before any rule: `status` says how."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message, code=_CODES.get(status, "bad_request"))
        self.status = status
        self.headers = headers or {}


_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}


def from_http(error: HTTPException) -> CorralError:
    """What werkzeug or Flask raised, with the headers that belong to it (Allow, Retry-After)."""
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name not in ("Content-Type", "Content-Length")}
    message = "there is no such path" if status == 404 else str(error.description or error.name)
    return Refused(status, message, headers)


def from_operation(operation: Operation) -> CorralError:
    """Why an operation that has ended did not succeed."""
    what = f"the {operation.kind.replace('_', ' ')} of VM '{operation.vm_name}'"
    if operation.state == OperationState.CANCELLED:
        return Conflict(f"{what} was cancelled", code="cancelled", operation_id=operation.id)
    if operation.error is None:
        return DriverFailure(f"{what} failed")
    return error_of(build(Failure, operation.error))
