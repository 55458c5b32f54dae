"""Error answers: every exception of a view becomes its dialect's answer here, and nowhere else."""

from __future__ import annotations

import logging

from flask import Flask, Response, g, jsonify
from werkzeug.exceptions import HTTPException

from api.rest.shapes import Shape
from api.web.failures import error_of, is_ours
from api.web.problems import HttpError
from api.web.requests import shown_id
from core.contract.errors import CorralError, DriverFailure, TooMany, Unauthenticated, Unavailable

log = logging.getLogger(__name__)

UNAVAILABLE_RETRY_SECONDS = 5


def install(app: Flask, shape: Shape) -> None:
    """Answer all errors of an app in its dialect's shape."""

    def answer(raised: Exception) -> Response:
        g.error = error = error_of(raised)
        if is_ours(error):
            log.error("%s: unexpected error", shown_id(), exc_info=raised)
        problem = shape.error(error, shown_id())
        if problem.status >= 500 and isinstance(error, DriverFailure):
            log.warning("%s: %s (%s)", shown_id(), error.message, error.code)
        response = jsonify(problem.body)
        response.status_code = problem.status
        response.headers.extend(headers_of(error, shape))
        return response

    for kind in (CorralError, HTTPException, Exception):
        app.register_error_handler(kind, answer)


def headers_of(error: CorralError, shape: Shape) -> dict[str, str]:
    """The headers that belong to an error's answer."""
    match error:
        case HttpError():
            return error.headers
        case Unauthenticated():
            return {"WWW-Authenticate": shape.challenge}
        case TooMany():
            return {"Retry-After": str(error.details["retry_after_seconds"])}
        case Unavailable():
            return {"Retry-After": str(UNAVAILABLE_RETRY_SECONDS)}
    return {}
