"""The one tree of errors: a kind a program can act on, a stable code, and a sentence for a person.

Nothing here knows HTTP: each dialect has one table from kind and code to its documented answer.
"""

from __future__ import annotations

from typing import Any


class CorralError(Exception):
    """An expected failure. `message` names the thing and what to do; `details` is plain JSON data."""

    code = "operation_failed"
    retryable = False

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = details


class Invalid(CorralError):
    """The request can never succeed as it stands."""

    code = "invalid_request"


class Unfit(Invalid):
    """A body whose values can't be; `details["fields"]` lists each field and its error."""

    code = "validation_error"

    @classmethod
    def of(cls, field: str, error: str) -> Unfit:
        """The error about one field."""
        return cls(f"{field}: {error}", fields=[{"field": field, "error": error}])


class Unauthenticated(CorralError):
    """No credential, or one that is not (or no longer) valid."""

    code = "unauthorized"


class Forbidden(CorralError):
    """A known caller who may not do this."""

    code = "forbidden"


class NotFound(CorralError):
    """The thing does not exist, or is someone else's: the caller can't tell which."""

    code = "not_found"


class Conflict(CorralError):
    """The thing's present state, or another operation on it, stands in the way."""

    code = "conflict"


class TooMany(CorralError):
    """The caller must slow down; `details["retry_after_seconds"]` says for how long."""

    code = "rate_limit_exceeded"


class NoCapacity(CorralError):
    """No host has room; `details["rejected"]` lists each host and why not."""

    code = "insufficient_resources"


class Unavailable(CorralError):
    """A part of the fleet can't be reached now; the only kind worth a retry."""

    code = "service_unavailable"
    retryable = True


class Busy(Unavailable):
    """Other changes are in the way of this one, which was tried several times."""


class NotSent(Unavailable):
    """Nobody was even asked, so that trying again can't do it twice."""


class HostRefused(CorralError):
    """What a host said that is no fault of Corral's: its hypervisor, a tool or the guest refused, each with a code."""

    code = "operation_failed"


class DriverFailure(CorralError):
    """The hypervisor, or the guest, refused or broke. The only error that leaves a driver."""

    code = "operation_failed"


class Unsupported(DriverFailure):
    """The driver has no such feature; the message names both."""

    code = "unsupported"


class GuestTimeout(DriverFailure):
    """The guest did not finish, or did not answer, in time."""

    code = "timeout"
