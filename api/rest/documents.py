"""The OpenAPI documents: headers and errors that are the same for all operations of a kind."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from api.rest.schemas import OperationSchema
from api.rest.shapes import Shape
from api.web.views import has_mark
from core.contract.messages import JSON

_ERRORS = {
    "health": (500,),
    "wait": (401, 404, 429, 500, 503),
    "read": (401, 404, 429, 500, 503),
    "question": (400, 401, 403, 404, 409, 429, 500, 503, 504),
    "change": (400, 401, 403, 404, 409, 413, 415, 429, 500, 503),
    "operation": (400, 401, 403, 404, 409, 413, 415, 429, 500, 503),
    "ask": (400, 401, 404, 409, 429, 500, 503, 504),
    "hold": (400, 401, 404, 409, 429, 500, 503, 504),
    "call": (400, 401, 403, 404, 409, 413, 415, 429, 500, 503, 504),
}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Repeat a request with the same key: the work is done once. Kept for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`respond-async`: answer 202 with the operation; `wait=N`: wait for its end up to N seconds.",
    "schema": {"type": "string"},
}
_PARAMETERS = {"change": [_IDEMPOTENCY], "call": [_IDEMPOTENCY], "operation": [_IDEMPOTENCY, _PREFER]}


def note(view: Callable[..., Any], kind: str) -> None:
    """Remember of a view what its operation's document needs."""
    documented = dict(getattr(view, "_apidoc", {}))
    documented["corral"] = {"kind": kind} | {name: has_mark(view, name) for name in ("public", "admin", "asks")}
    vars(view)["_apidoc"] = documented


def note_form(view: Callable[..., Any], schema: Any) -> None:
    """Remember the multipart form that a view reads."""
    vars(view)["_apidoc"] = {**getattr(view, "_apidoc", {}), "form": schema}


def complete(shape: Shape, doc: JSON, doc_info: JSON, **_: Any) -> JSON:
    """Called by flask-smorest for each operation, after it has written what it knows."""
    noted = doc_info.get("corral", {"kind": "read", "public": True, "admin": False, "asks": False})
    responses = doc.setdefault("responses", {})
    responses.pop("default", None)
    if form := doc_info.get("form"):
        doc["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    takes_input = bool(form) or any(str(status) == str(shape.invalid_status) for status in responses)
    errors = set(_ERRORS[noted["kind"]]) | ({shape.invalid_status} if takes_input else set())
    errors |= {403} if noted["admin"] else set()
    errors |= {400} if noted["asks"] else set()
    for status in list(responses):
        if str(status) == str(shape.invalid_status):
            del responses[status]
    for status in sorted(errors):
        responses[status] = _response(HTTPStatus(status).phrase, shape.error_schema(status))
    if noted["kind"] == "hold":
        done = next(response for status, response in responses.items() if str(status) == "200")
        responses[202] = {**done, "description": "The execution still runs"}
    if noted["kind"] in ("operation", "wait"):
        schema = shape.one_schema(OperationSchema)
        responses[202] = _response("Accepted: the operation goes on; follow it by its id", schema)
    if parameters := _PARAMETERS.get(noted["kind"]):
        doc.setdefault("parameters", []).extend(parameters)
    if noted["public"]:
        doc["security"] = []
    return doc


def _response(description: str, schema: Any) -> JSON:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
