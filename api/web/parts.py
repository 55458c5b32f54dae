"""Ranges: the part of a file that a request asks for."""

from __future__ import annotations

from flask import request

from api.web.problems import HttpError
from core.contract.openings import FilePart


def part_of(size: int | None) -> tuple[int, FilePart, dict[str, str]]:
    """Status, bytes and headers of what the request asks for."""
    if size is None:
        return 200, FilePart(0), {}
    asked = None if "If-Range" in request.headers else request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return 200, FilePart(0, size), {"Content-Length": str(size), "Accept-Ranges": "bytes"}
    last, until = asked.ranges[0]
    whole = until is None and -last >= size > 0  # the last bytes, of a file that has no more (RFC 9110, 14.1.2)
    found = (0, size) if whole else asked.range_for_length(size)
    if found is None:
        raise HttpError(416, f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"})
    first, end = found
    headers = {"Content-Length": str(end - first), "Content-Range": f"bytes {first}-{end - 1}/{size}"}
    return 206, FilePart(first, end - first), headers
