"""Proofs of a host over HTTP, which do not contain its secret (docs/decisions/0039).

The key is made of the SHA-256 of that secret, which the record has. What is shown is good for one method and path, and
for some minutes: whoever has read it on its way may ask the same once more, and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass

from core.contract.errors import Invalid

SCHEME = "Corral-Host"
SECONDS = 300.0
_PURPOSE = b"corral host proof 1"


@dataclass(frozen=True)
class Proof:
    """The proof of a host: its name, its time in seconds since the epoch, and a code that only it can make."""

    host: str
    at: str
    code: str

    def holds(self, secret_sha256: str, method: str, path: str) -> bool:
        """Whether the host with that secret has made it, for that method and that path below /api/v1."""
        return hmac.compare_digest(self.code.encode(), _code(secret_sha256, self.host, self.at, method, path).encode())

    def seconds_off(self, now: float) -> float:
        """By how much its clock, when it was made, was ahead of that time."""
        return float(self.at) - now


def header(host: str, secret_sha256: str, method: str, path: str, now: float) -> str:
    """The value of `Authorization` for a request."""
    at = f"{now:.3f}"
    return f"{SCHEME} {host}:{at}:{_code(secret_sha256, host, at, method, path)}"


def read(text: str) -> Proof:
    """The proof in such a value; `Invalid` for what is none."""
    scheme, _, shown = text.partition(" ")
    parts = shown.split(":")
    if scheme.lower() != SCHEME.lower() or len(parts) != len(Proof.__dataclass_fields__):
        raise Invalid(f"only hosts may do this: send Authorization: {SCHEME} …")
    proof = Proof(*parts)
    try:
        sane = math.isfinite(proof.seconds_off(0))
    except ValueError:
        sane = False
    if not sane:
        raise Invalid("the time in the proof is not a number")
    return proof


def _code(secret_sha256: str, *said: str) -> str:
    key = hmac.digest(secret_sha256.encode(), _PURPOSE, hashlib.sha256)
    return hmac.digest(key, "\n".join(said).encode(errors="replace"), hashlib.sha256).hex()
