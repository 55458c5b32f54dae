"""Secrets at rest on a host: encrypted with a key of the host's own, which no other file holds."""

from __future__ import annotations

import threading
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from core import durable
from core.contract.errors import DriverFailure

KEY = "secrets.key"


class Vault:
    """Seals and opens, with the key in `folder`, made when first needed and readable by us alone."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEY
        self._making = threading.Lock()

    def seal(self, secret: bytes) -> bytes:
        """The secret, encrypted and authenticated (Fernet)."""
        return Fernet(self._key()).encrypt(secret)

    def open(self, sealed: bytes) -> bytes:
        """The secret again; `DriverFailure` with code "secret_unreadable" if another key sealed it."""
        try:
            return Fernet(self._key()).decrypt(sealed)
        except InvalidToken:
            raise DriverFailure(
                f"a secret can't be decrypted with the key in {self._path}: set it again", code="secret_unreadable"
            ) from None

    def _key(self) -> bytes:
        with self._making:
            if not self._path.exists():
                durable.write_private(self._path, Fernet.generate_key())
            return self._path.read_bytes()
