"""The archive of the release that this process runs: made for the first request, in a file without a name."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

from flask import Response

from api.web.beside import beside
from core import release

_PIECE_BYTES = 256 * 1024
_making = threading.Lock()
_made: list[IO[bytes]] = []


def response() -> Response:
    """The archive, as a tar."""
    file = _archive()
    size = os.fstat(file.fileno()).st_size
    return Response(_pieces(file, size), content_type="application/x-tar", headers={"Content-Length": str(size)})


def _archive() -> IO[bytes]:
    with _making:
        if not _made:
            _made.append(beside(_write))
        return _made[0]


def _write() -> IO[bytes]:
    file = tempfile.TemporaryFile(prefix="corral-release-")  # noqa: SIM115  # for as long as the process lives
    try:
        release.write(file)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    for offset in range(0, size, _PIECE_BYTES):
        yield os.pread(file.fileno(), _PIECE_BYTES, offset)
