"""Records of a host's media, a file for each: the owner, the format, and the VM that has it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from core import durable
from core.contract.diskformats import QCOW2, RAW, VDI, VHD, VMDK
from core.contract.errors import Invalid
from core.contract.messages import decode

CLAIMS = ".owners"
FORMATS = {".qcow2": QCOW2, ".raw": RAW, ".img": RAW, ".vdi": VDI, ".vmdk": VMDK, ".vhd": VHD}
OWN_FORMAT = QCOW2  # of what has no such ending
_RECORDS = threading.Lock()


@dataclass(frozen=True)
class Claim:
    """The record of a disk: its owner, its path, and what older releases did not keep: its format, and so on.

    `vm`: the one that has it, or is about to.
    """

    owner: str
    medium: str
    format: str = ""
    created_at: float = 0.0
    id: str = ""
    vm: str = ""


class Records:
    """The records of the disks in these media folders; each folder has its own."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """One thread at a time reads and writes records; no other process than a host's one agent does."""
        with _RECORDS:
            (self._folders[0] / CLAIMS).mkdir(mode=0o700, exist_ok=True)
            yield

    def write(self, claim: Claim) -> None:
        """Puts the record of a disk in the place of the former one."""
        file = self.file(Path(claim.medium))
        file.parent.mkdir(mode=0o700, exist_ok=True)
        durable.write(file, json.dumps(asdict(claim)))

    def all(self) -> Iterator[tuple[Path, Claim]]:
        """Each record that can be read, with its file."""
        for home in self._folders:
            for file in sorted((home / CLAIMS).glob("[!.]*")):
                claim = read(file)
                if claim.medium and self.file(Path(claim.medium)) == file:
                    yield file, claim if claim.id else replace(claim, id=f"med-{file.name[:12]}")

    def file(self, real: Path) -> Path:
        """Where the record of the disk at that real path is, or would be."""
        home = next(home for home in self._folders if home in real.parents)
        return home / CLAIMS / hashlib.sha256(bytes(real)).hexdigest()

    def owner_of(self, real: Path) -> str:
        """The id of its owner; empty while it is nobody's."""
        file = self.file(real)
        return read(file).owner if file.exists() else ""


def new_id() -> str:
    """An id that no medium has."""
    return f"med-{secrets.token_hex(6)}"


def format_of(claim: Claim) -> str:
    """Its format; in a record of an older release, what the name's ending says."""
    return claim.format or FORMATS.get(Path(claim.medium).suffix.lower(), OWN_FORMAT)


def read(file: Path) -> Claim:
    """The record in a file; a damaged one belongs to nobody that there is."""
    try:
        return decode(Claim, file.read_bytes())
    except (OSError, Invalid):
        return Claim("?", "")
