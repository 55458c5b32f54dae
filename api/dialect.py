"""Which dialect answers a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import RequestRedirect

from api.realtime.hub import Hub

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
        return self.choose(environ)(environ, start_response)

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
