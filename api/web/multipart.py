"""Multipart bodies, read as they arrive: the common part of both ways to read one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, Any

from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.formparser import FormDataParser
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from api.web.problems import too_large
from core.contract.errors import CorralError, Invalid

FIELD_BYTES = 64 * 1024
_READ_BYTES = 256 * 1024
_BUFFER_BYTES = 1024 * 1024
_MOST_PARTS = 20


def events(stream: IO[bytes], boundary: bytes) -> Iterator[Event]:
    """What a body is made of, one after the other."""
    decoder = MultipartDecoder(boundary, _BUFFER_BYTES, max_parts=_MOST_PARTS)
    try:
        while True:
            decoder.receive_data(stream.read(_READ_BYTES) or None)
            while not isinstance(event := decoder.next_event(), NeedData):
                yield event
                if isinstance(event, Epilogue):
                    return
    except ValueError:
        raise Invalid("the multipart form is incomplete", issue="malformed form") from None


def data_of(parts: Iterator[Event]) -> Iterator[bytes]:
    """The bytes of the part that the last event began."""
    for event in parts:
        if isinstance(event, Data):
            if event.data:
                yield event.data
            if not event.more_data:
                return


def text_of(parts: Iterator[Event], name: str, too_long: Callable[[str, int], CorralError] = too_large) -> str:
    """The value of the field that the last event began; an error that names field and limit when it is too long."""
    data = bytearray()
    for piece in data_of(parts):
        data += piece
        if len(data) > FIELD_BYTES:
            raise too_long(name, FIELD_BYTES)
    return data.decode(errors="replace")


class Forms(FormDataParser):
    """Reads whole forms, files into what `stream_factory` makes, and says which field is too large."""

    def _parse_multipart(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str]
    ) -> Any:
        boundary = options.get("boundary", "").encode(errors="replace")
        fields: list[tuple[str, str]] = []
        files: list[tuple[str, FileStorage]] = []
        parts = events(stream, boundary) if boundary else iter(())
        for event in parts:
            if isinstance(event, Field):
                fields.append((event.name, text_of(parts, event.name)))
            elif isinstance(event, File):
                file = self.stream_factory(content_length, event.headers.get("content-type"), event.filename, None)
                for piece in data_of(parts):
                    file.write(piece)
                file.seek(0)
                files.append((event.name, FileStorage(file, event.filename, event.name, headers=event.headers)))
        return stream, MultiDict(fields), MultiDict(files)
