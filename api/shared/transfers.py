"""Transfers of files between a request and a guest, over a stream."""

from __future__ import annotations

import errno
import logging
import mimetypes
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from posixpath import basename
from urllib.parse import quote

from flask import Response, request
from marshmallow import Schema
from werkzeug.http import http_date

from api.rest import idempotency
from api.rest.forms import Form
from api.web.context import api_context
from api.web.parts import part_of
from core.contract.errors import CorralError, Unavailable
from core.contract.messages import JSON, VmSpec, encode
from core.contract.openings import FileFound
from core.models import Idempotency
from core.models.base import now
from core.streams import Stream

log = logging.getLogger(__name__)

Asked = tuple[str, VmSpec]
MOST_ENTRIES = 10_000
_OPEN_SECONDS = 10.0
_ANY_TYPE = "application/octet-stream"


def upload(asked: Asked, form: Form, answer: Schema) -> JSON | Idempotency:
    """Sends the form's file to the guest; what is said of it, or what was said to the first request with its key.

    The file is under another name in the guest until all of the body has come and is right: where it goes may be said
    after it, and whether the same was uploaded before is known only then.
    """
    key = idempotency.idempotency_key()
    before = form.read_fields()
    stream = _open(asked, "file_write", {"path": before.get("path")})
    try:
        for piece in form.pieces():
            stream.write(piece)
        wanted = form.read_fields()
        if key and (first := _claimed(key, form)):
            return first
        with idempotency.given_back_on_failure(key):
            _finish(stream, wanted)
    finally:
        stream.close()
    made = {
        "message": "File uploaded successfully",
        "vm_name": asked[1].name,
        "remote_path": wanted["path"],
        "size_bytes": form.size_bytes,
        "uploaded_at": now(),
    }
    if key:
        with api_context().transaction() as session:
            idempotency.keep(session, key, answer={"dumped": answer.dump(made)})
    return made


def download(asked: Asked, path: str) -> Response:
    """The file, or the part of it that the request's `Range` names; what breaks after the first byte cuts it off."""
    stream = _open(asked, "file_read", {"path": path})
    try:
        found = stream.opening(FileFound)
        if found is None:
            raise Unavailable("the host closed the download before it began; try again")
        status, part, headers = part_of(found.size_bytes)
        if request.method == "HEAD":
            body: Iterator[bytes] = iter(())  # bytes would say their own length
        else:
            stream.write(encode(part).encode())
            body = sent(stream, stream.read())  # what can't even begin is an error, and no answer that is cut off
        response = Response(body, status, headers, content_type=_type(path))
    except BaseException:
        stream.close()
        raise
    response.headers["Last-Modified"] = http_date(found.modified_at)
    response.headers["Content-Disposition"] = _disposition(basename(path))
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.call_on_close(stream.close)
    return response


def listing(query: JSON, reply: JSON) -> JSON:
    """What is said of a folder."""
    first, limit, entries = query["offset"], query["limit"], reply["entries"]
    shown = entries[first:] if limit is None else entries[first : first + limit]
    return {
        "files": [_entry(entry) for entry in shown],
        "directory": query["path"].rstrip("/") or "/",
        "total": len(entries),
        "truncated": reply["truncated"],
    }


def _open(asked: Asked, verb: str, params: JSON) -> Stream:
    host, vm = asked
    return api_context().hub.stream(host, verb, vm, params, _OPEN_SECONDS)


def _claimed(key: str, form: Form) -> Idempotency | None:
    idempotency.set_fingerprint(form.digest())
    with api_context().transaction() as session:
        return idempotency.claim(session, key)


def _finish(stream: Stream, wanted: JSON) -> None:
    permissions = wanted["permissions"]
    stream.end({"path": wanted["path"], "permissions": permissions and int(permissions, 8)})
    for _ in stream.chunks():
        raise Unavailable("unexpected reply from the host; try again")


def sent(stream: Stream, begins: bytes | None) -> Iterator[bytes]:
    """What comes on a stream, the first piece of which is here already; what breaks it off cuts the answer off."""
    if begins is None:
        return
    try:
        yield begins
        yield from stream.chunks()
    except CorralError as error:
        log.warning("a download was cut off: %s", error.message)
        raise ConnectionResetError(errno.ECONNRESET, error.message) from None


def _type(path: str) -> str:
    kind, encoding = mimetypes.guess_type(basename(path))
    return kind if kind and not encoding else _ANY_TYPE


def _disposition(name: str) -> str:
    """RFC 6266, with the name as RFC 5987 has it where ASCII can't say it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = "".join(letter if letter.isprintable() and letter not in '"\\' else "_" for letter in plain)
    exact = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{exact}'


def _entry(entry: JSON) -> JSON:
    return {
        "name": basename(entry["path"]),
        "path": entry["path"],
        "size_bytes": entry["size_bytes"],
        "is_directory": entry["kind"] == "directory",
        "permissions": f"{entry['permissions']:03o}",
        "modified_at": datetime.fromtimestamp(entry["modified_at"], UTC),
        "type": entry["kind"],
    }
