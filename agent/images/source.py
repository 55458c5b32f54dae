"""The source of pulled images and of VMs that move: the fleet's API, over HTTP, with this host's proof."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import urlsplit

from agent.system import api
from core.contract import proofs
from core.contract.errors import CorralError, DriverFailure, Invalid, NotFound
from core.contract.images import ImageFile, ImageManifest, of_content

_SECONDS = 30.0  # without a byte
_MOST_BYTES = 1 << 20  # of a manifest, or an error
BROKE_OFF = "the fleet's API broke off"
_OK, _PARTIAL, _NOT_FOUND, _CONFLICT = 200, 206, 404, 409
_LATER = (408, 425, 429, 500, 502, 503, 504)


class Away(Exception):
    """The source does not answer now, or has broken off; it may be asked again after at least `seconds`."""

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(why)
        self.seconds = seconds


class BlobResponse:
    """The response with a blob, read as it arrives. `begins`: the number of its first byte in the file."""

    def __init__(self, connection: HTTPConnection, response: HTTPResponse, begins: int) -> None:
        self._connection, self._response, self.begins = connection, response, begins

    @property
    def length(self) -> int:
        """How many bytes it says that they are, but no more than a manifest may have."""
        told = self._response.headers.get("Content-Length", "")
        return min(int(told), _MOST_BYTES) if told.isdigit() else _MOST_BYTES

    def read(self, most: int) -> bytes:
        """Some more of it; nothing once it was cut off. `Away`."""
        try:
            return self._response.read1(most)
        except (OSError, HTTPException) as error:
            raise _away(error) from None

    def close(self) -> None:
        """Nobody wants the rest."""
        self._connection.close()


class Source:
    """The fleet's API, as one host asks it. `secret_sha256`: of the secret that the host has now, which changes."""

    def __init__(self, url: str, pin: str, host: str, secret_sha256: Callable[[], str]) -> None:
        self._url, self._pin, self._host = url.rstrip("/"), pin, host
        self._secret_sha256 = secret_sha256

    def manifest(self, digest: str) -> ImageManifest:
        """The image with that digest; `NotFound`, another `CorralError` for good, or `Away`."""
        text = b""
        with closing(self._asked(f"/image-contents/{digest}")) as answer:
            while len(text) < answer.length and (more := answer.read(answer.length - len(text))):
                text += more
        if len(text) < answer.length:
            raise Away(BROKE_OFF)
        try:
            return of_content(text, digest)
        except Invalid as error:
            raise DriverFailure(error.message, code="image_damaged") from None

    def file(self, digest: str, file: ImageFile, first: int) -> BlobResponse:
        """One of its files from that byte on, or from the first; the errors are the same."""
        return self._asked(f"/image-contents/{digest}/{file.sha256}", first)

    def moved(self, operation_id: str, sha256: str, first: int) -> BlobResponse:
        """What is sent of a file of a VM that moves here, from that byte on; the errors are the same."""
        return self._asked(f"/moves/{operation_id}/{sha256}", first)

    def _asked(self, path: str, first: int = 0) -> BlobResponse:
        proof = proofs.header(self._host, self._secret_sha256(), "GET", path, time.time())
        headers = {"Authorization": proof, "Connection": "close"} | ({"Range": f"bytes={first}-"} if first else {})
        try:
            connection = api.connect(self._url, self._pin, _SECONDS, only_pinned=False)
            connection.request("GET", f"{urlsplit(self._url).path}/api/v1{path}", headers=headers)
            response = connection.getresponse()
            if response.status not in (_OK, _PARTIAL):
                with closing(connection):
                    raise _refusal(response)
        except api.Unsafe as unsafe:
            raise DriverFailure(unsafe.message, code="image_unavailable") from None
        except (OSError, HTTPException) as error:
            raise _away(error) from None
        in_part = response.headers.get("Content-Range", "").startswith(f"bytes {first}-")
        return BlobResponse(connection, response, first if response.status == _PARTIAL and in_part else 0)


def _refusal(response: HTTPResponse) -> Exception:
    try:
        message = str(json.loads(response.read(_MOST_BYTES))["message"])
    except (ValueError, LookupError, TypeError):
        message = "it is no API of this release, or a proxy stands before it"
    if response.status in _LATER:
        pause = response.headers.get("Retry-After", "")
        return Away(f"the fleet's API answered {response.status}: {message}", float(pause) if pause.isdigit() else 0.0)
    kinds: dict[int, tuple[type[CorralError], str]] = {
        _NOT_FOUND: (NotFound, "image_not_found"),
        _CONFLICT: (DriverFailure, "image_damaged"),
    }
    kind, code = kinds.get(response.status, (DriverFailure, "image_unavailable"))
    return kind(f"the fleet's API answered {response.status}: {message}", code=code)


def _away(error: Exception) -> Away:
    return Away(f"the fleet's API can't be reached ({api.words(error)})")
