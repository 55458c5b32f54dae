"""`corral backup`: writes one file, completely or not at all."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cli.backup import archive, record, secrecy
from cli.backup.archive import BackupManifest
from cli.backup.place import BackupServers
from cli.remote.progress import Advance
from core import database, durable
from core.contract.errors import Conflict, CorralError, Invalid
from core.services.audit import records
from core.version import VERSION

ACTION = "backup"
Bar = Callable[[str, int], AbstractContextManager[Advance]]
"""A bar of bytes for a step, with how many there are."""


@dataclass(frozen=True)
class Taken:
    """What was written. `unnoted`: why the audit log has no word of it; "" when it has."""

    manifest: BackupManifest
    bytes: int
    unnoted: str


def take(place: BackupServers, to: Path, public: Sequence[Any], bar: Bar) -> Taken:
    """Backs a control plane up, encrypted if there are `public` keys; it may run meanwhile."""
    _must_be_free(to)
    try:
        with ExitStack() as drafts:  # without names, so that none is left whatever ends this
            contents: dict[str, IO[bytes]] = {
                archive.RECORD: drafts.enter_context(tempfile.TemporaryFile(dir=to.parent)),
                archive.SETTINGS: io.BytesIO(place.settings.encode()),
            }
            manifest = _recorded(place, contents, bar)
            with durable.writing(to, mode=0o600) as file, bar("writing", manifest.bytes) as advance:
                if public:
                    plain = drafts.enter_context(tempfile.TemporaryFile(dir=to.parent))
                    archive.write(plain, manifest, contents, advance)
                    secrecy.seal(plain, file, public)
                else:
                    archive.write(file, manifest, contents, advance)
    except OSError as error:
        raise Invalid(f"{to} can't be written: {error.strerror or error}") from None
    return Taken(manifest, to.stat().st_size, _noted(place, manifest, sealed=bool(public)))


def _must_be_free(to: Path) -> None:
    if to.exists():
        raise Conflict(f"{to} exists, and a backup overwrites no file: choose another name", code="file_exists")
    if not os.access(to.parent, os.W_OK):
        raise Invalid(f"{to.parent} can't be written to, or is not a folder")


def _recorded(place: BackupServers, contents: dict[str, IO[bytes]], bar: Bar) -> BackupManifest:
    taken_at = time.time()
    with record.snapshot(place.database_url) as moment, bar("reading", sum(moment.sizes.values())) as advance:
        record.dump(place.database_url, moment, contents[archive.RECORD], advance)
    parts = {name: archive.part_of(content) for name, content in contents.items()}
    return BackupManifest(VERSION, moment.schema, taken_at, moment.holds, parts)


def _noted(place: BackupServers, manifest: BackupManifest, *, sealed: bool) -> str:
    """Writes it into the audit log, after it is there; by that, `corral upgrade --check` knows of it."""
    details = {"schema": manifest.schema, "sha256": manifest.parts[archive.RECORD].sha256, "encrypted": sealed}
    entry = records.AuditRecord(
        action_type=ACTION,
        resource_type="control_plane",
        resource_id=manifest.release,
        result=records.SUCCESS,
        request_id="",
        details=details,
    )
    engine = database.connect(place.database_url, pool_size=1)
    try:
        with database.transaction(engine) as session:
            records.write(session, entry)
    except CorralError as error:
        return error.message
    finally:
        engine.dispose()
    return ""
