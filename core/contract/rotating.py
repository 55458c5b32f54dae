"""What a host is asked while its secret is rotated (core/services/identities/rotations.py), and what it answers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from core.contract.bounds import Name

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class RotationRef(Struct, frozen=True):
    """Make the host's next secret, in the course of that rotation. `secret_sha256`: of the one that the record has."""

    rotation: Name
    secret_sha256: Sha256


class SecretReply(Struct, frozen=True):
    """The SHA-256 of the one that was made, and is kept."""

    secret_sha256: Sha256


class UseReply(Struct, frozen=True):
    """There is nothing to say: it is used."""


CALLS: dict[str, tuple[type[Struct], type[Struct]]] = {
    "secret_make": (RotationRef, SecretReply),
    "secret_use": (RotationRef, UseReply),
}
