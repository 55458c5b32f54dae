"""Chooses the dialect that answers a request."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from flask import Flask
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import RequestRedirect

from api.realtime.hub import Hub
from api.rest.errors import headers_of
from api.rest.shapes import Shape
from api.web.failures import error_of, is_ours
from api.web.requests import new_id
from core.contract.errors import CorralError

log = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Dialects:
    """A WSGI application in front of both dialects' own.

    The credential decides: an API key is for vboxmcp, a token for microvm; with both the key, as it does when they are
    checked. Without either, or for a path that the chosen one does not have, it is the dialect that has the path,
    microvm first.
    """

    def __init__(self, microvm: Flask, vboxmcp: Flask, realtime: Hub) -> None:
        self.microvm, self.vboxmcp, self.realtime = microvm, vboxmcp, realtime

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The chosen one's answer; the last resort for what its own handlers of errors let through."""
        try:
            return self.choose(environ)(environ, start_response)
        except StopIteration:  # how flask-sock tells the server that a socket's connection is over
            raise
        except Exception as raised:  # the outermost handler
            error = error_of(raised)
            if is_ours(error):
                log.exception("a request failed unexpectedly outside its application")
            status, headers, body = self.refusal(error, api_key="HTTP_X_API_KEY" in environ)
            start_response(status, headers, sys.exc_info())
            return [body]

    def refusal(self, error: CorralError, *, api_key: bool) -> tuple[str, list[tuple[str, str]], bytes]:
        """The answer (status line, headers, body) to a request that no application has seen or survived."""
        shape: Shape = (self.vboxmcp if api_key else self.microvm).extensions["shape"]
        request_id = new_id()
        problem = shape.error(error, request_id)
        body = json.dumps(problem.body, separators=(",", ":")).encode() + b"\n"
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "X-Request-ID": request_id,
            **headers_of(error, shape),
        }
        return f"{problem.status} {HTTPStatus(problem.status).phrase}", list(headers.items()), body

    def choose(self, environ: Environ) -> Flask:
        """The application that answers."""
        first, second = self.microvm, self.vboxmcp
        if "HTTP_X_API_KEY" in environ:
            first, second = second, first
        return second if not _has_path(first, environ) and _has_path(second, environ) else first


def _has_path(app: Flask, environ: Environ) -> bool:
    try:
        app.url_map.bind_to_environ(environ).match(method=environ["REQUEST_METHOD"])
    except (MethodNotAllowed, RequestRedirect):
        return True
    except (NotFound, HTTPException):
        return False
    return True
