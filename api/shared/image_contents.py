"""/image-contents: an image by its digest, and its files by theirs, for the hosts that need it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from flask import Response, request
from flask.views import MethodView

from api.auth import hosts
from api.rest.blueprint import Blueprint
from api.rest.shapes import Shape
from api.web.context import api_context
from api.web.parts import part_of
from api.web.views import mark
from core import images
from core.contract.errors import Conflict
from core.contract.images import ImageManifest
from core.services import contents

_CHUNK = 256 * 1024


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("image_contents", shape, "Images")

    @blp.route("/image-contents/<digest>")
    class ImageContentsView(MethodView):
        @blp.respond_bytes()
        @mark("public", "uncounted")
        def get(self, digest: str) -> Response:
            """Get an image's manifest (hosts alone): the text that its digest is of."""
            manifest, _ = _needed(digest)
            return Response(manifest.canonical, content_type="application/json")

    @blp.route("/image-contents/<digest>/<sha256>")
    class ImageBlobsView(MethodView):
        @blp.respond_bytes()
        @mark("public", "uncounted")
        def get(self, digest: str, sha256: str) -> Response:
            """Get a file of an image (hosts alone), or the part of it that `Range` names."""
            manifest, folder = _needed(digest)
            for file in manifest.files:
                if file.sha256 == sha256:
                    return _answer(manifest, folder / file.name, file.size_bytes)
            raise contents.not_found(digest)

    return blp


def _needed(digest: str) -> tuple[ImageManifest, Path]:
    """The image, and the folder that has its files; the errors are those of who shows no proof, or needs it not."""
    with api_context().reading() as session:
        contents.must_need(session, hosts.caller(session), digest)
    store = api_context().settings.images
    for manifest in images.list_all(store):
        if manifest.digest == digest:
            return manifest, store / manifest.name
    raise contents.not_found(digest)


def _answer(image: ImageManifest, path: Path, size_bytes: int) -> Response:
    if not path.is_file() or path.stat().st_size != size_bytes:
        raise Conflict(f"image '{image.name}' is damaged: remove it, and add it again", code="image_damaged")
    status, part, headers = part_of(size_bytes)
    with ExitStack() as held:
        file = held.enter_context(path.open("rb"))
        held.enter_context(api_context().downloads.one(""))
        whole = part.length if part.length is not None else size_bytes
        body = iter(()) if request.method == "HEAD" else _read(file, part.first, whole)
        response = Response(body, status, headers, content_type="application/octet-stream")
        response.call_on_close(held.pop_all().close)
    return response


def _read(file: IO[bytes], first: int, length: int) -> Iterator[bytes]:
    """Others get their turn between two chunks: a file is read without waiting, as far as the event loop knows."""
    file.seek(first)
    while length > 0 and (chunk := file.read(min(_CHUNK, length))):
        length -= len(chunk)
        yield chunk
        time.sleep(0)
