"""Serves the web page's files, to anyone; the page calls the API with its user's own token."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

from api.web.views import mark

STATIC = Path(__file__).parent / "static"
# Scripts, styles and connections of this address alone. The terminal writes its own style elements.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def blueprint() -> Blueprint:
    """All that is below /page/."""
    blp = Blueprint("page", __name__)

    @blp.get("/page/<path:name>")
    @mark("public", "uncounted")
    def file(name: str) -> Response:
        response = send_from_directory(STATIC, name, max_age=0)
        if name.endswith(".mjs"):
            response.content_type = "text/javascript; charset=utf-8"
        return _guarded(response)

    return blp


def index() -> Response:
    """The page itself."""
    return _guarded(send_from_directory(STATIC, "index.html", max_age=0))


def _guarded(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
