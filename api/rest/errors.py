"""Every error that leaves a view, turned into its dialect's answer; nothing else does that."""

from __future__ import annotations

import logging

from flask import Flask, Response, g, jsonify
from flask_limiter.errors import RateLimitExceeded
from werkzeug.exceptions import HTTPException

from api.rest import limits
from api.rest.problems import Refused, from_http
from api.rest.requests import request_id
from api.rest.shapes import Shape
from core.contract.errors import CorralError, DriverFailure, TooMany, Unauthenticated, Unavailable

log = logging.getLogger(__name__)

UNAVAILABLE_RETRY_SECONDS = 5


def install(app: Flask, shape: Shape) -> None:
    """Answer all errors of an app in its dialect's shape."""

    def answer(error: CorralError) -> Response:
        g.error = error
        problem = shape.error(error, request_id())
        if problem.status >= 500 and isinstance(error, DriverFailure):
            log.warning("%s: %s (%s)", request_id(), error.message, error.code)
        response = jsonify(problem.body)
        response.status_code = problem.status
        response.headers.extend(_headers(error, shape))
        return response

    def unexpected(error: Exception) -> Response:
        log.error("%s: unexpected error", request_id(), exc_info=error)
        return answer(Refused(500, "An unexpected error occurred"))

    app.register_error_handler(CorralError, answer)
    app.register_error_handler(RateLimitExceeded, lambda _: answer(limits.too_many()))
    app.register_error_handler(HTTPException, lambda error: answer(from_http(error)))
    app.register_error_handler(Exception, unexpected)


def _headers(error: CorralError, shape: Shape) -> dict[str, str]:
    match error:
        case Refused():
            return error.headers
        case Unauthenticated():
            return {"WWW-Authenticate": shape.challenge}
        case TooMany():
            g.retry_after = error.details["retry_after_seconds"]
        case Unavailable():
            g.retry_after = UNAVAILABLE_RETRY_SECONDS
    return {}
