"""The pages on which people read a dialect's OpenAPI document: /docs/<dialect>/, by Swagger UI, without a CDN."""

from __future__ import annotations

from flask import Flask
from flask_swagger_ui import get_swaggerui_blueprint

from api.rest.shapes import Shape


def install(app: Flask, shape: Shape) -> None:
    """Serve the page, and whatever it loads, to anyone."""
    page = get_swaggerui_blueprint(
        f"/docs/{shape.name}", f"/openapi/{shape.name}.json", config={"app_name": shape.title}
    )
    app.register_blueprint(page)
    for endpoint, view in app.view_functions.items():
        if endpoint.split(".")[0] in (page.name, "api-docs"):
            vars(getattr(view, "__func__", view)).update(is_public=True, is_uncounted=True)
