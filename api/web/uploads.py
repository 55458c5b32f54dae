"""Uploaded files: streamed to a folder that has room for them, never held in memory."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import IO, Any

from flask import Request, request

from api.web import multipart
from api.web.context import api_context
from api.web.problems import too_large
from api.web.views import marked
from core import diskfiles, filelocks, images


class UploadRequest(Request):
    """A request whose uploaded files are written where `settings.images` is, and hashed on their way."""

    form_data_parser_class = multipart.Forms

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return Upload(api_context().settings.images)  # type: ignore[return-value]


class Upload:
    """A file that vanishes unless it is linked elsewhere, and the SHA-256 of what was written to it."""

    def __init__(self, folder: Path) -> None:
        with images.uploading(folder):
            self._file = tempfile.NamedTemporaryFile(prefix=images.UPLOAD, dir=folder)  # noqa: SIM115  # werkzeug closes it
            self._lock: int | None = filelocks.take(self.path, flags=os.O_RDONLY)
        self._hash = hashlib.sha256()

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self._file.name)

    @property
    def sha256(self) -> str:
        """Of all that was written."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        """One more piece; `Unavailable` when there is no room for it."""
        self._hash.update(data)
        try:
            return self._file.write(data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise diskfiles.no_room() from None

    def close(self) -> None:
        """Remove it, unless it has become part of an image."""
        try:
            self._file.close()
        except FileNotFoundError:
            pass
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def whole_body(req: Request) -> bytes:
    """A body of which werkzeug would take a part for the whole, were it too long and sent without a length."""
    data = req.get_data()
    limit = req.max_content_length
    cut = limit is not None and req.content_length is None and len(data) >= limit
    if cut and req.environ["wsgi.input"].read(1):
        raise too_large()
    return data


def limit_body(max_body_mb: int) -> None:
    """Let only those views that take uploads have a body of any size."""
    request.max_content_length = None if marked("uploads") else max_body_mb << 20


def digest_of_uploads() -> bytes:
    """What stands for a multipart body in a fingerprint: its fields, and the digest of each file."""
    files = sorted((name, file.stream.sha256) for name, file in request.files.items())  # type: ignore[attr-defined]
    return json.dumps([sorted(request.form.items()), files]).encode()
