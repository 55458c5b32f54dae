"""Exceptions that no view has foreseen, as errors of the one tree.

A server that is away, frozen, full or refuses is never a 500: it is `Unavailable`, wherever it was noticed.
"""

from __future__ import annotations

import errno

import psycopg2
import redis
from gunicorn.http.errors import (
    ConfigurationProblem,
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
    ParseException,
    UnsupportedTransferCoding,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import ClientDisconnected, HTTPException, InternalServerError

from api.web.problems import HttpError, from_http
from core import database, refusals
from core.contract.errors import CorralError, Unavailable

_FULL = (errno.ENOSPC, errno.EDQUOT)
LONGEST_REQUEST_LINE = 8190
_FRAMING: dict[type[Exception], tuple[int, str]] = {
    LimitRequestLine: (414, f"the request line is longer than {LONGEST_REQUEST_LINE} bytes"),
    LimitRequestHeaders: (431, "the header fields are too many or too long"),
    ExpectationFailed: (417, "Expect must be '100-continue'"),
    UnsupportedTransferCoding: (501, "Transfer-Encoding must be 'chunked'"),
    NoMoreData: (400, "the body is shorter than its headers say"),
    ClientDisconnected: (400, "the body is shorter than its headers say"),
}


class Stalled(Exception):
    """A client has not sent the rest of its body; the message says for how long."""


def error_of(error: BaseException) -> CorralError:
    """What to answer; a `HttpError` of 500 for a fault of ours."""
    found = _known(error)
    return found if found is not None else HttpError(500, "An unexpected error occurred")


def is_ours(error: CorralError) -> bool:
    """Whether it is a fault of this program, which belongs in the log with all that is known of it."""
    return isinstance(error, HttpError) and error.status == 500


def _known(error: BaseException) -> CorralError | None:
    match error:
        case CorralError():
            return error
        case InternalServerError() if error.original_exception is not None:
            return _known(error.original_exception)
        case ClientDisconnected() | NoMoreData() | ParseException() | Stalled():
            return _framing(error)
        case HTTPException():
            return from_http(error)
        case redis.RedisError():
            return Unavailable(f"the message broker {refusals.reason(error)}; try again in a few seconds")
        case DBAPIError() | PoolTimeout() | psycopg2.Error():
            return database.unavailable(error)
        case OSError() if error.errno in _FULL:
            return Unavailable("a disk of this server is full; its operator must make room")
        case _:
            return None


def _framing(error: Exception) -> CorralError | None:
    if isinstance(error, ConfigurationProblem | InvalidResponseHeader | InvalidResponseHeaderName):
        return None  # these are the server's
    if isinstance(error, Stalled):
        return HttpError(408, str(error))
    for kind, (status, message) in _FRAMING.items():
        if isinstance(error, kind):
            return HttpError(status, message)
    return HttpError(400, "the request is not well-formed HTTP/1.1")
