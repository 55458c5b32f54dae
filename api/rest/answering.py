"""The basis of the decorators: reads bodies, makes answers, and documents both."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import flask_smorest
from flask import Response, jsonify
from marshmallow import Schema

from api.rest import documents
from api.rest.parser import Parser
from api.rest.schemas import OperationSchema
from api.rest.shapes import ResultPage, Shape
from api.web.requests import PREFIX
from core.services.accepted import AnyOperation

View = Callable[..., Any]


@dataclass(frozen=True)
class Rendered:
    """One thing that needs no schema any more: as plain data, but for one part of it, which is there as JSON text.

    For what is so long that it is rendered once and answered many times.
    """

    body: dict[str, Any]
    part: str
    text: str


Decorator = Callable[[View], View]


class Answering(flask_smorest.Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """A blueprint that answers in its dialect's shape."""

    DEFAULT_LOCATION_CONTENT_TYPE_MAPPING = {"json": "application/json", "upload": "multipart/form-data"}

    def __init__(self, noun: str, shape: Shape, description: str) -> None:
        super().__init__(noun, __name__, url_prefix=PREFIX, description=description)
        self.shape = shape
        self.ARGUMENTS_PARSER = Parser()
        self.ARGUMENTS_PARSER.DEFAULT_VALIDATION_STATUS = shape.invalid_status
        self._prepare_doc_cbks.append(partial(documents.complete, shape))

    def body(self, schema: type[Schema], *, required: bool = True) -> Decorator:
        """The view takes a JSON body."""
        return self.arguments(schema(), location="json", required=required)  # type: ignore[no-any-return]

    def query(self, schema: type[Schema]) -> Decorator:
        """The view takes a query."""
        return self.arguments(schema(), location="query")  # type: ignore[no-any-return]

    def upload(self, schema: type[Schema]) -> Decorator:
        """The view takes a multipart body of fields and files."""
        return self.arguments(schema(), location="upload")  # type: ignore[no-any-return]

    def streamed_form(self, schema: type[Schema]) -> Decorator:
        """The view reads a multipart body of that form itself, as it comes in (api/rest/forms.py)."""

        def decorate(view: View) -> View:
            documents.note_form(view, schema)
            return view

        return decorate

    def operation(self, operation: AnyOperation, status: int) -> Response:
        """An operation as the answer."""
        return self._one(status, OperationSchema(), operation)

    def _one(self, status: int, schema: Schema, found: Any) -> Response:
        if isinstance(found, Rendered):
            return self._spliced(status, found)
        return self._made(status, schema.dump(found))

    def _spliced(self, status: int, found: Rendered) -> Response:
        mark = secrets.token_hex(16)
        response = self._made(status, found.body | {found.part: mark})
        response.set_data(response.get_data(as_text=True).replace(f'"{mark}"', found.text))
        return response

    def _many(self, noun: str, schema: Schema, listed: ResultPage) -> Response:
        items = [schema.dump(item) for item in listed.items]
        return jsonify(self.shape.many(noun, ResultPage(items, listed.total, listed.limit, listed.offset)))

    def answer(self, status: int, schema: Schema, found: Any) -> Response:
        """One thing as the answer, with another status than its view has."""
        return self._one(status, schema, found)

    def _made(self, status: int, dumped: Any) -> Response:
        if dumped is None:
            empty = Response(status=status)
            del empty.headers["Content-Type"]
            return empty
        response = jsonify(self.shape.one(dumped))
        response.status_code = status
        return response

    def _documented(self, view: View, status: int, schema: type[Schema] | None, kind: str) -> View:
        return self._wrapped(view, status, self.shape.one_schema(schema) if schema else None, kind)

    def _wrapped(self, view: View, status: int, schema: type[Schema] | None, kind: str) -> View:
        documents.note(view, kind)
        decorated: View = self.response(status, schema)(view)
        return decorated
