"""Sealed calls and replies: they contain passwords, and Redis writes what it is given to disk.

A call is sealed for its host alone, with a key that the host has announced (X25519, HKDF-SHA256, ChaCha20-Poly1305, a
new key pair for each call). It brings a key along for its reply.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core import durable

_KEY_BYTES = 32
_NONCE = bytes(12)  # each key seals one thing alone
_FILE = "calls.key"


class Unsealable(ValueError):
    """A message that was sealed with another key, or changed on its way."""


class HostKey:
    """The key of a host, kept in a file of its own that no other user may read."""

    def __init__(self, folder: Path) -> None:
        self._private = X25519PrivateKey.from_private_bytes(_kept(folder / _FILE))
        self._own = self._private.public_key().public_bytes_raw()

    @property
    def public(self) -> str:
        """What a call to this host is sealed with."""
        return _text(self._own)

    def open(self, sealed: str) -> bytes:
        """What was sealed for this host; `Unsealable`."""
        data = _data(sealed)
        other, box = data[:_KEY_BYTES], data[_KEY_BYTES:]
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(other))
            return ChaCha20Poly1305(_derived(shared, other + self._own)).decrypt(_NONCE, box, None)
        except (InvalidTag, ValueError) as error:
            raise Unsealable(str(error)) from None


def seal(public: str, plain: bytes) -> str:
    """For the host that announced this key; `Unsealable` if it is none."""
    host = _data(public)
    try:
        key = X25519PublicKey.from_public_bytes(host)
    except ValueError as error:
        raise Unsealable(str(error)) from None
    once = X25519PrivateKey.generate()
    own = once.public_key().public_bytes_raw()
    return _text(own + ChaCha20Poly1305(_derived(once.exchange(key), own + host)).encrypt(_NONCE, plain, None))


def new_key() -> str:
    """A key that `wrap`s one thing, the reply to a call."""
    return _text(os.urandom(_KEY_BYTES))


def wrap(key: str, plain: bytes) -> str:
    """With a key that both ends have."""
    return _text(ChaCha20Poly1305(_data(key)).encrypt(_NONCE, plain, None))


def unwrap(key: str, wrapped: str) -> bytes:
    """The same again; `Unsealable`."""
    try:
        return ChaCha20Poly1305(_data(key)).decrypt(_NONCE, _data(wrapped), None)
    except (InvalidTag, ValueError) as error:
        raise Unsealable(str(error)) from None


def _derived(shared: bytes, both: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"corral call" + both).derive(shared)


def _kept(path: Path) -> bytes:
    if not path.exists():
        durable.write_private(path, os.urandom(_KEY_BYTES))
    return path.read_bytes()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _data(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Unsealable(str(error)) from None
