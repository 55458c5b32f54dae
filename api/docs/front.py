"""/ and /docs: the addresses of the API, as JSON; in a browser the web page, and its links.

/join.sh: the script by which a machine that has nothing of Corral's becomes a host.
"""

from __future__ import annotations

from html import escape

from flask import Blueprint, Response, jsonify, request

import deploy
from api.page import views as page
from api.rest.shapes import Shape
from api.web.requests import PREFIX
from api.web.views import mark
from core.version import VERSION

LINKS = {
    "api": PREFIX,
    "health": f"{PREFIX}/health",
    "microvm_document": "/docs/microvm/",
    "vboxmcp_document": "/docs/vboxmcp/",
}


def blueprint(shape: Shape) -> Blueprint:
    """Both views, in a dialect's shape."""
    blp = Blueprint("front", __name__)

    @blp.get("/")
    @blp.get("/docs", strict_slashes=False)
    @mark("public", "uncounted")
    def front() -> Response:
        if request.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html":
            return page.index() if request.path == "/" else Response(_page(), content_type="text/html; charset=utf-8")
        return jsonify(shape.one({"name": "Corral", "version": VERSION, **LINKS}))

    @blp.get("/join.sh")
    @mark("public", "uncounted")
    def join() -> Response:
        response = Response((deploy.FOLDER / "join.sh").read_bytes(), content_type="text/x-shellscript; charset=utf-8")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return blp


def _page() -> str:
    links = (f'<a href="{escape(link)}">{escape(name.replace("_", " "))}</a>' for name, link in LINKS.items())
    items = "".join(f"<li>{link}</li>" for link in links)
    title = f"<title>Corral</title><h1>Corral {escape(VERSION)}</h1>"
    return f'<!doctype html><html lang="en">{title}<ul>{items}</ul></html>\n'
