"""The file that makes a machine a host: its name and its address of Redis. Only its owner may read it."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from core import durable
from core.contract.errors import Invalid
from core.contract.joining import Joined
from core.contract.messages import decode, encode

AUTHORITY = "redis-ca.pem"


@dataclass(frozen=True)
class SavedSettings:
    """The settings that `corral-agent` uses without options. `token`: the id of the join token.

    `api_url` and `api_pin`: the fleet's API, as that token had them. Files of an older release have neither.
    """

    host: str
    home: str
    redis_url: str
    token: str
    hypervisors: list[str] = field(default_factory=list)
    api_url: str = ""
    api_pin: str = ""


@dataclass(frozen=True)
class Pending:
    """A join that has begun: the secret that was made for it, so that repeating it is asking the same."""

    token: str
    secret: str


def default_file() -> Path:
    """Where the settings are: the machine's, or a user's own."""
    if os.geteuid() == 0:
        return Path("/etc/corral/agent.json")
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "corral" / "agent.json"


def default_home() -> Path:
    """Where a joined host has its state, unless CORRAL_HOME says otherwise."""
    if os.environ.get("CORRAL_HOME"):
        return Path(os.environ["CORRAL_HOME"]).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/corral-agent")  # the StateDirectory of its unit, deploy/systemd/corral-agent.service
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "corral"


def read(file: Path) -> SavedSettings | None:
    """What is kept there; None before a join. `SystemExit` for what can't be read."""
    try:
        return decode(SavedSettings, file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SystemExit(f"{file} can't be read ({error.strerror}): run the agent as the user who joined") from None
    except Invalid as error:
        raise SystemExit(
            f"{file}: {error.message}; have an administrator let this host join again (corral host rejoin)"
        ) from None


def keep(file: Path, settings: SavedSettings) -> None:
    """Writes it, whole; the join is over."""
    write(file, encode(settings) + "\n")
    forget(file)


def pending(file: Path, token: str) -> Pending:
    """The join with that token that has begun here, or begins now."""
    draft = _draft(file)
    with suppress(FileNotFoundError, Invalid):
        begun = decode(Pending, draft.read_bytes())
        if begun.token == token:
            return begun
    begun = Pending(token, secrets.token_urlsafe(32))
    write(draft, encode(begun) + "\n")
    return begun


def forget(file: Path) -> None:
    """Nothing of a join that has begun is left."""
    _draft(file).unlink(missing_ok=True)


def address(file: Path, joined: Joined, secret: str) -> str:
    """Redis, as this host comes there; the certificate by which it is known is written beside the settings."""
    parts = urlsplit(joined.redis_url)
    query = dict(parse_qsl(parts.query))
    if joined.redis_ca:
        authority = file.with_name(AUTHORITY)
        write(authority, joined.redis_ca)
        query["ssl_ca_certs"] = str(authority)
    place = f"{joined.account}:{quote(secret, safe='')}@{parts.netloc}"
    return parts._replace(netloc=place, query=urlencode(query)).geturl()


def write(file: Path, text: str) -> None:
    """`text` in a file that its owner alone may read, whole."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    durable.write_private(file, text)


def _draft(file: Path) -> Path:
    return file.with_name(f"{file.name}.joining")
