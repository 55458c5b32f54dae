"""A multipart body with one file, read as it arrives: its fields are kept, and the file's bytes are passed on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from flask import Request
from marshmallow import Schema, ValidationError
from werkzeug.sansio.multipart import Field, File

from api.rest.parser import failed
from api.web import multipart
from api.web.problems import HttpError
from core.contract.errors import CorralError
from core.contract.messages import JSON


class Form:
    """Fields may come before and after the file. Call `read_fields`, take all `pieces`, then `read_fields` again."""

    def __init__(self, request: Request, schema: Schema, file: str) -> None:
        if request.mimetype != "multipart/form-data":
            raise HttpError(415, "the body must be a form with a file: Content-Type: multipart/form-data")
        boundary = request.mimetype_params.get("boundary", "")
        if not boundary:
            raise failed({"form": {"_schema": "the Content-Type has no boundary"}})
        self._events = multipart.events(request.stream, boundary.encode(errors="replace"))
        self._schema, self._file = schema, file
        self._sum = hashlib.sha256()
        self._fields: dict[str, str] = {}
        self._found = False
        self.size_bytes = 0

    def read_fields(self) -> JSON:
        """Reads up to the file, or to the end after it; the fields so far, checked. All must be there in the end."""
        at_file = False
        for event in self._events:
            if isinstance(event, File):
                self._check_file(event.name)
                at_file = self._found = True
                break
            if isinstance(event, Field):
                self._add(event.name, multipart.text_of(self._events, event.name, _too_long))
        return self._loaded(partial=at_file)

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the file."""
        for piece in multipart.data_of(self._events):
            self.size_bytes += len(piece)
            self._sum.update(piece)
            yield piece

    def digest(self) -> bytes:
        """What stands for the whole body in a fingerprint, once it has been read."""
        return json.dumps([sorted(self._fields.items()), self._sum.hexdigest()]).encode()

    def _loaded(self, *, partial: bool) -> JSON:
        problems: JSON = {} if self._found else {self._file: "is required"}
        try:
            loaded: JSON = self._schema.load(self._fields, partial=partial)
        except ValidationError as error:
            raise failed({"form": {**problems, **error.messages_dict}}) from None
        if problems:
            raise failed({"form": problems})
        return loaded

    def _check_file(self, name: str) -> None:
        if name != self._file:
            raise failed({"form": {name: "is not a file field of this form"}})
        if self._found:
            raise failed({"form": {name: "is required exactly once"}})

    def _add(self, name: str, text: str) -> None:
        if name == self._file:
            raise failed({"form": {name: "must be a file"}})
        if name in self._fields:
            raise failed({"form": {name: "is required exactly once"}})
        self._fields[name] = text


def _too_long(name: str, most: int) -> CorralError:
    return failed({"form": {name: f"must have at most {most} bytes"}})
