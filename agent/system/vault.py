"""Secrets at rest on a host: encrypted with a key of the host's own, which no other file holds."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

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
                f"a secret can't be opened with the key in {self._path}: set it anew", code="secret_unreadable"
            ) from None

    def _key(self) -> bytes:
        with self._making:
            if not self._path.exists():
                draft = self._path.with_name(f"{KEY}.new")
                with open(draft, "wb", opener=_ours_alone) as file:
                    file.write(Fernet.generate_key())
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(self._path)
            return self._path.read_bytes()


def _ours_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
