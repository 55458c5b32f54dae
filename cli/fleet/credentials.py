"""The first administrator's credentials, stored beside the fleet."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sqlalchemy.orm import Session

from core.contract.errors import Unauthenticated
from core.durable import write_private

_FILE = "credentials.json"


@dataclass(frozen=True)
class FleetCredentials:
    """What `credentials.json` holds."""

    url: str
    flower_url: str
    username: str
    password: str
    api_key: str
    metrics_token: str = ""  # files of an older release have none


def path(home: Path) -> Path:
    """Where they are kept."""
    return home / _FILE


def obtain(home: Path, database_url: str, url: str, flower_url: str, metrics_token: str = "") -> FleetCredentials:
    """Those in the file when they still open this database; else an administrator's new ones.

    `metrics_token`: the one that is set; empty: the one that was made at the first start.
    """
    from core import bootstrap, database

    engine = database.connect(database_url, pool_size=2)
    try:
        with database.transaction(engine) as session:
            kept = _read(home)
            token = metrics_token or (kept and kept.metrics_token) or secrets.token_urlsafe(32)
            if kept is not None and _opens(session, kept):
                return replace(kept, url=url, flower_url=flower_url, metrics_token=token)
            return FleetCredentials(url, flower_url, *bootstrap.first_administrator(session), metrics_token=token)
    finally:
        engine.dispose()


def keep(home: Path, credentials: FleetCredentials) -> None:
    """Writes the file, whole, for its owner alone."""
    write_private(path(home), json.dumps(asdict(credentials), indent=2) + "\n")


def _read(home: Path) -> FleetCredentials | None:
    try:
        return FleetCredentials(**json.loads(path(home).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _opens(session: Session, credentials: FleetCredentials) -> bool:
    """Whether the key is one of this database: the data may have been thrown away, or be another's."""
    from core.services import keys

    try:
        return keys.authenticate(session, credentials.api_key).username == credentials.username
    except Unauthenticated:
        return False
