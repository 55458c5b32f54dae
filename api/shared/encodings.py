"""Bytes in JSON: as text, or in base64, which loses none of them."""

from __future__ import annotations

import base64
import binascii
import codecs

from marshmallow import ValidationError

TEXT, BASE64 = "utf-8", "base64"
ENCODINGS = (TEXT, BASE64)


def to_bytes(field: str, text: str, encoding: str) -> bytes:
    """The bytes that a field of a body means; `ValidationError` names it."""
    if encoding == TEXT:
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValidationError("must be base64", field) from None


def to_text(data: bytes, encoding: str) -> str:
    """How an answer shows those bytes. As text, what is not UTF-8 becomes U+FFFD."""
    return base64.b64encode(data).decode() if encoding == BASE64 else data.decode(errors="replace")


def whole(data: bytes, encoding: str) -> bytes:
    """As much of the beginning as can be shown by itself: in text, no character is cut in two."""
    if encoding == BASE64:
        return data
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    decoder.decode(data)
    half, _ = decoder.getstate()
    return data[: len(data) - len(half)]
