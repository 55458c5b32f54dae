"""Errors, as one small tree: the API's refusals by their kind, and failures on the way to it."""

from __future__ import annotations

from typing import Any


class CorralError(Exception):
    """Anything that this library raises. `message` is a sentence for people."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unreachable(CorralError):
    """No answer came: the address is wrong, the server is down, or the connection broke."""


class NotConfigured(CorralError):
    """The fleet or the credentials are not configured."""


class WaitTimeout(CorralError):
    """Something goes on for longer than it was to be waited for. It is not cancelled."""


class OperationFailed(CorralError):
    """An operation was accepted and did not succeed. `code` is for programs; `retryable` says if again may help."""

    def __init__(self, operation_id: str, message: str, code: str = "", *, retryable: bool = False) -> None:
        super().__init__(message)
        self.operation_id, self.code, self.retryable = operation_id, code, retryable


class ApiError(CorralError):
    """The API refused. `status`: HTTP's; `code`: a word for programs; `request_id` finds it in the server's log."""

    def __init__(self, message: str, status: int, code: str = "", details: Any = None, request_id: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.details, self.request_id = status, code, details, request_id


class InvalidRequest(ApiError):
    """A field is wrong: `details` names which."""


class Unauthenticated(ApiError):
    """The credential is missing, wrong, revoked or expired."""


class Forbidden(ApiError):
    """The caller may not do that."""


class NotFound(ApiError):
    """There is no such thing, or it is another user's."""


class Conflict(ApiError):
    """The thing is in a state that does not allow it, exists already, or there is no room."""


class RateLimited(ApiError):
    """Too many requests; `retry_after` seconds from now there is room again."""

    @property
    def retry_after(self) -> float:
        """Seconds."""
        return float(self.details.get("retry_after_seconds", 1)) if isinstance(self.details, dict) else 1.0


class Unavailable(ApiError):
    """A part of the fleet is out of reach at the moment; trying again may help."""


class GuestTimeout(ApiError):
    """The guest did not answer, or a command did not end, in time."""


class ServerError(ApiError):
    """A fault of the server's."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
    503: Unavailable,
    504: GuestTimeout,
}


_LONGEST_MESSAGE = 2000


def from_answer(status: int, body: Any, reason: str, request_id: str) -> ApiError:
    """The error of an answer with that status. `body` is its JSON, or None when it is none."""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    if not isinstance(body, dict):
        return kind(f"{status} {reason}", status, request_id=request_id)
    details = body.get("details")
    if status == 429:
        details = {"retry_after_seconds": body.get("retry_after_seconds", 1)}
    message = "; ".join([str(body.get("message") or reason), *_particulars(details)])
    return kind(message[:_LONGEST_MESSAGE], status, str(body.get("error", "")), details, request_id)


def _particulars(details: Any) -> list[str]:
    """What details add for a person: each wrong field, and why each host was not chosen."""
    if isinstance(details, list):
        return [f"{each.get('field')} {each.get('error')}" for each in details if isinstance(each, dict)]
    if isinstance(details, dict) and isinstance(details.get("rejected"), list):
        return [f"{each.get('host')}: {each.get('reason')}" for each in details["rejected"] if isinstance(each, dict)]
    return []
