"""The file of a backup: a tar archive of parts, and a manifest that says what they are and proves them whole.

`manifest.json` comes first, then `manifest.sha256`, then the parts. By hand: `tar -xf FILE`, `sha256sum -c
manifest.sha256`, and `pg_restore` reads `record.dump`.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, BinaryIO

from cli.remote.progress import Advance
from core.contract.errors import Invalid
from core.contract.messages import decode, encode

FORMAT = 1
RECORD, SETTINGS = "record.dump", "settings.env"
_MANIFEST, _SUM = "manifest.json", "manifest.sha256"
_LONGEST_MANIFEST = 1 << 20
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class ArchivePart:
    """What one part is."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class BackupManifest:
    """`taken_at`: the moment of the record, in seconds since the epoch. `holds`: rows by table, for people."""

    release: str
    schema: str
    taken_at: float
    holds: dict[str, int]
    parts: dict[str, ArchivePart]
    format: int = FORMAT

    @property
    def bytes(self) -> int:
        """Of all parts."""
        return sum(part.bytes for part in self.parts.values())


@dataclass(frozen=True)
class _Form:
    format: int


class Damaged(Invalid):
    """The file is no backup, or not all of one."""

    code = "damaged_backup"


def part_of(content: IO[bytes]) -> ArchivePart:
    """What a part is, read from its beginning."""
    content.seek(0)
    digest, length = hashlib.sha256(), 0
    while block := content.read(_BLOCK_BYTES):
        digest.update(block)
        length += len(block)
    return ArchivePart(length, digest.hexdigest())


def write(file: IO[bytes], manifest: BackupManifest, contents: Mapping[str, IO[bytes]], advance: Advance) -> None:
    """The whole archive. `contents`: each part that the manifest names, from its beginning."""
    text = encode(manifest).encode() + b"\n"
    proof = f"{hashlib.sha256(text).hexdigest()}  {_MANIFEST}\n".encode()
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, _MANIFEST, len(text), io.BytesIO(text), manifest)
        _add(tar, _SUM, len(proof), io.BytesIO(proof), manifest)
        for name, part in manifest.parts.items():
            contents[name].seek(0)
            _add(tar, name, part.bytes, contents[name], manifest)
            advance(part.bytes)


def _add(tar: tarfile.TarFile, name: str, length: int, content: IO[bytes], manifest: BackupManifest) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = length, int(manifest.taken_at), 0o600
    tar.addfile(entry, content)


class Archive:
    """A backup that can be read: its manifest is whole. `check` says so of its parts."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        text = self._read(_MANIFEST)
        if self._read(_SUM).decode("ascii", "replace").split(" ")[0] != hashlib.sha256(text).hexdigest():
            raise Damaged("the backup is damaged: its manifest does not match its checksum")
        form = decode(_Form, text).format
        if form != FORMAT:
            raise Invalid(f"the backup has format {form}, and this release reads {FORMAT}: use a newer release")
        self.manifest = decode(BackupManifest, text)

    def check(self, advance: Advance) -> None:
        """That each part is all there and as it was written; `Damaged`. `advance` is told of bytes."""
        for name, part in self.manifest.parts.items():
            digest, length = hashlib.sha256(), 0
            with self._found(name) as content:
                while block := content.read(_BLOCK_BYTES):
                    digest.update(block)
                    length += len(block)
                    advance(len(block))
            if (length, digest.hexdigest()) != (part.bytes, part.sha256):
                raise Damaged(f"the backup is damaged: {name} does not match its checksum")

    def copy(self, name: str, to: IO[bytes], advance: Advance) -> None:
        """Writes a part's content."""
        with self._found(name) as content:
            while block := content.read(_BLOCK_BYTES):
                to.write(block)
                advance(len(block))

    def _read(self, name: str) -> bytes:
        with self._found(name) as content:
            return content.read(_LONGEST_MANIFEST)

    def _found(self, name: str) -> IO[bytes]:
        try:
            content = self._tar.extractfile(name)
        except KeyError:
            content = None
        if content is None:
            raise Damaged(f"this is not a backup, or it is damaged: it has no {name}")
        return content


@contextmanager
def opened(file: BinaryIO) -> Iterator[Archive]:
    """The backup in that file; `Damaged` also for what turns out so while it is read."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            yield Archive(tar)
    except (tarfile.TarError, EOFError) as error:
        raise Damaged(f"this is not a backup, or it is damaged ({error})") from None
