"""Encrypted backups, in the format of `age` (age-encryption.org): `age -d` reads them too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pyrage

from core.contract.errors import Invalid

_BEGINS = b"age-encryption.org/"
_SSH = "ssh-"
_SECRET_KEY = "AGE-SECRET-KEY-"  # noqa: S105 - what one begins with


def is_sealed(file: IO[bytes]) -> bool:
    """Whether a file is encrypted; it stands at its beginning afterwards."""
    file.seek(0)
    begins = file.read(len(_BEGINS))
    file.seek(0)
    return begins == _BEGINS


def recipients(texts: Sequence[str]) -> list[Any]:
    """Public keys: of `age-keygen` (`age1…`), or of SSH (`ssh-ed25519 …`, `ssh-rsa …`)."""
    found: list[Any] = []
    for text in texts:
        kind = pyrage.ssh.Recipient if text.startswith(_SSH) else pyrage.x25519.Recipient
        try:
            found.append(kind.from_str(text.strip()))
        except pyrage.RecipientError as error:
            raise Invalid(f"'{text:.40}' is not a public key of age or SSH ({error})") from None
    return found


def identities(file: Path) -> list[Any]:
    """The secret keys in a file: those of `age-keygen`, or one of SSH without a passphrase."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file} can't be read: {error.strerror}") from None
    lines = [line.strip() for line in content.decode(errors="replace").splitlines()]
    try:
        own: list[Any] = [pyrage.x25519.Identity.from_str(line) for line in lines if line.startswith(_SECRET_KEY)]
        return own or [pyrage.ssh.Identity.from_buffer(content)]
    except pyrage.IdentityError as error:
        raise Invalid(f"{file} has no secret key of age or SSH ({error})") from None


def seal(plain: Any, sealed: Any, public: Sequence[Any]) -> None:
    """Encrypts all of the one into the other."""
    plain.seek(0)
    pyrage.encrypt_io(plain, sealed, public)


def unseal(sealed: Any, plain: Any, own: Sequence[Any]) -> None:
    """Decrypts all of the one into the other; `Invalid` with a key that it is not for, or if it was changed."""
    try:
        pyrage.decrypt_io(sealed, plain, own)
    except (pyrage.DecryptError, OSError) as error:
        if getattr(error, "errno", None) is not None:  # else it is age's own word for a block that was changed
            raise
        raise Invalid(f"the backup can't be decrypted: it is for another key, or damaged ({error})") from None
    plain.seek(0)
