"""Authentication of hosts, by their proof (core/contract/proofs.py)."""

from __future__ import annotations

import time

from flask import request
from sqlalchemy.orm import Session

from api.web.requests import PREFIX
from core.contract import proofs
from core.contract.errors import Invalid, Unauthenticated
from core.services.identities import accounts


def caller(session: Session) -> str:
    """The host's name; `Unauthenticated` for whoever shows no proof that holds, such as a user."""
    try:
        proof = proofs.read(request.headers.get("Authorization", ""))
    except Invalid as error:
        raise Unauthenticated(error.message) from None
    path = request.path.removeprefix(PREFIX)
    secrets = accounts.secrets_of(session, proof.host)
    if not any(proof.holds(secret_sha256, request.method, path) for secret_sha256 in secrets):
        raise Unauthenticated("the host's proof is not valid: has this host joined this fleet?")
    off = proof.seconds_off(time.time())
    if abs(off) > proofs.SECONDS:
        word = "ahead of" if off > 0 else "behind"
        raise Unauthenticated(f"the host's clock is {abs(off):.0f} s {word} the control plane's: set it by NTP")
    return proof.host
