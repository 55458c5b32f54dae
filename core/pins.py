"""The key of a server, by which a join token identifies it, whoever has signed its certificate."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate


def key_of(certificate: bytes) -> str:
    """The SHA-256 of the public key of a certificate (DER), in hex."""
    key = load_der_x509_certificate(certificate).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
