"""The secret by which this host is known to Redis and to the API, and how it is changed while the agent runs.

The agent makes each next secret itself and keeps it, before anybody hears of it; then the control plane makes it valid
beside the former one, and drops that once this agent has come in with the next. It keeps both until the next rotation.
So whichever of them the control plane has settled on, and whatever was lost or killed meanwhile, one is valid.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import redis
from msgspec import Struct
from redis.credentials import CredentialProvider

from core import durable, redis_clients, refusals
from core.contract import channels
from core.contract.errors import Conflict, Invalid, Unavailable
from core.contract.messages import decode, encode
from core.contract.rotating import RotationRef

log = logging.getLogger(__name__)

FILE, ROTATION = "redis.secret", "redis.rotation"
_TRIAL_SECONDS = 3.0


class _Rotation(Struct, frozen=True):
    """The last one that was begun here."""

    id: str
    former: str
    next: str


class HostSecret(CredentialProvider):
    """What each new connection to Redis shows. `given`: the secret that the host has joined with."""

    def __init__(self, url: str, home: Path, account: str, given: str) -> None:
        self._url, self._home = url, home
        self.account, self._given = account, given
        self._changing = threading.Lock()
        self._shown = self._known()[0]

    @property
    def sha256(self) -> str:
        """Of the secret that is shown now, in hex."""
        return _sha256(self._shown)

    def get_credentials(self) -> tuple[str, str]:
        """What redis-py asks for."""
        return self.account, self._shown

    def refused(self) -> None:
        """Redis does not know the secret: from now on another one is shown, if there is another."""
        with self._changing:
            known = self._known()
            following = (known.index(self._shown) + 1) % len(known) if self._shown in known else 0
            if known[following] != self._shown:
                log.warning("Redis does not accept this host's secret; trying another that was valid before")
            self._shown = known[following]

    def make(self, asked: RotationRef) -> str:
        """Make the next secret, which lasts from then on; its SHA-256. The same again for the same rotation.

        `Conflict` if the record does not know this host by a secret that it has.
        """
        with self._changing:
            current = next((each for each in self._known() if _sha256(each) == asked.secret_sha256), None)
            if current is None:
                raise Conflict("this host does not have the secret by which the fleet knows it")
            begun = self._begun()
            if begun is None or (begun.id, begun.former) != (asked.rotation, current):
                self._keep(current)
                begun = _Rotation(asked.rotation, current, secrets.token_urlsafe(32))
                durable.write_private(self._home / ROTATION, encode(begun))
            return _sha256(begun.next)

    def use(self, asked: RotationRef) -> None:
        """Show the next secret from now on, if Redis accepts it; `Unavailable` if not. Again is no error."""
        with self._changing:
            begun = self._begun()
            if begun is None or begun.id != asked.rotation or _sha256(begun.next) != asked.secret_sha256:
                raise Conflict("this host has not made that secret in this rotation")
            self._try(begun.next)
            self._keep(begun.next)
            self._shown = begun.next

    def _known(self) -> list[str]:
        """All secrets that are here, that which is most likely valid first."""
        begun = self._begun()
        found = [self._kept(), self._given, *((begun.next, begun.former) if begun else ())]
        return list(dict.fromkeys(filter(None, found)))

    def _kept(self) -> str:
        with suppress(FileNotFoundError):
            return (self._home / FILE).read_text().strip()
        return ""

    def _keep(self, secret: str) -> None:
        if self._kept() != secret:
            durable.write_private(self._home / FILE, f"{secret}\n")

    def _begun(self) -> _Rotation | None:
        with suppress(FileNotFoundError, Invalid):
            return decode(_Rotation, (self._home / ROTATION).read_bytes())
        return None

    def _try(self, secret: str) -> None:
        shown = redis.UsernamePasswordCredentialProvider(self.account, secret)
        with redis_clients.connect(self._url, seconds=_TRIAL_SECONDS, credentials=shown) as client:
            try:
                client.ping()
            except redis.RedisError as error:
                why = refusals.reason(error)
                raise Unavailable(f"Redis {why} when the host shows its next secret") from None


def of(url: str, home: Path, host: str) -> HostSecret | None:
    """That of a host that has an account of its own in Redis; None of one that comes with an address that all have."""
    parts = urlsplit(url)
    account, given = unquote(parts.username or ""), unquote(parts.password or "")
    if account != channels.account(host) or not given:
        return None
    return HostSecret(url, home, account, given)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
