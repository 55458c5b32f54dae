"""`corral vm cp` and `files`: files and folders, to and from guests."""

from __future__ import annotations

import shlex
import tarfile
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from cli.remote import completion, unpacking
from cli.remote.output import show_many
from cli.remote.progress import bytes_bar
from cli.remote.session import Session, fleet_command
from cli.remote.vms import VM

if TYPE_CHECKING:
    from corral.outputs import FileEntry

_FILES = {
    "MODE": "permissions",
    "TYPE": "type",
    "BYTES": "size_bytes",
    "MODIFIED": "modified_at",
    "PATH": "path",
}
_TAR_SECONDS = 3600


@dataclass(frozen=True)
class _There:
    """A path in a VM."""

    vm: str
    path: str

    @property
    def name(self) -> str:
        """Its last part."""
        return PurePosixPath(self.path).name


@click.command()
@click.argument("source", shell_complete=completion.vms)
@click.argument("target", shell_complete=completion.vms)
@fleet_command
def cp(session: Session, source: str, target: str) -> None:
    """Copy a file or a folder between this machine and a VM.

    A path in a VM is VM:/absolute/path. A target that ends in / is a folder to copy into. A folder is sent as tar,
    which the guest must have.

    \b
    corral vm cp ./site web:/srv/site
    corral vm cp web:/var/log/syslog .
    """
    start, end = _where(source), _where(target)
    if isinstance(start, Path) and isinstance(end, _There):
        _put(session, start, end)
    elif isinstance(start, _There) and isinstance(end, Path):
        _fetch(session, start, end)
    else:
        raise click.UsageError("exactly one of SOURCE and TARGET must be in a VM (VM:/path)")


@click.command()
@VM
@click.argument("path", default="/")
@click.option("--recursive", "-r", is_flag=True, help="Include subfolders.")
@fleet_command
def files(session: Session, vm: str, path: str, recursive: bool) -> None:
    """List a folder in a VM."""
    show_many(session, session.client.files.list(vm, path, recursive=recursive), _FILES, name="path")


def _where(text: str) -> Path | _There:
    vm, colon, path = text.partition(":")
    if not colon or "/" in vm or vm in ("", "."):
        return Path(text)
    if not path.startswith("/"):
        raise click.UsageError(f"{text!r}: a path in a VM must begin with /")
    return _There(vm, path)


def _put(session: Session, source: Path, target: _There) -> None:
    if not source.exists():
        raise click.ClickException(f"{source} not found")
    if source.is_dir():
        _put_folder(session, source, target)
        return
    path = target.path + source.name if target.path.endswith("/") else target.path
    with bytes_bar(session, source.name, source.stat().st_size) as advance:
        session.client.files.upload(target.vm, source, path, tell=advance)


def _put_folder(session: Session, source: Path, target: _There) -> None:
    name = source.resolve().name
    folder = target.path + name if target.path.endswith("/") else target.path
    there = f"/var/tmp/.corral-{uuid.uuid4().hex}.tar"  # noqa: S108 -- in the guest, and of a name that nobody guesses
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(source, arcname=".")
        size = packed.tell()
        packed.seek(0)
        with bytes_bar(session, name, size) as advance:
            session.client.files.write(target.vm, there, packed, permissions="600", tell=advance)
    quoted, packed_there = shlex.quote(folder), shlex.quote(there)
    _run(
        session,
        target.vm,
        f"mkdir -p {quoted} && tar -xf {packed_there} -C {quoted}; code=$?; rm -f {packed_there}; exit $code",
    )


def _fetch(session: Session, source: _There, target: Path) -> None:
    found = _entry(session, source)
    into = target / source.name if target.is_dir() or str(target).endswith("/") else target
    into.parent.mkdir(parents=True, exist_ok=True)
    if found is not None and found.is_directory:
        _fetch_folder(session, source, into)
        return
    with bytes_bar(session, source.name, found.size_bytes if found else None) as advance:
        session.client.files.download(source.vm, source.path, into, tell=advance)


def _fetch_folder(session: Session, source: _There, into: Path) -> None:
    there = f"/var/tmp/.corral-{uuid.uuid4().hex}.tar"  # noqa: S108 -- as above
    packed_there = shlex.quote(there)
    _run(session, source.vm, f"umask 077 && tar -cf {packed_there} -C {shlex.quote(source.path)} .")
    try:
        with tempfile.TemporaryDirectory() as folder:
            packed = Path(folder) / "packed.tar"
            with bytes_bar(session, source.name, None) as advance:
                session.client.files.download(source.vm, there, packed, tell=advance)
            unpacking.unpack(packed, into)
    except unpacking.ArchiveRefused as error:
        raise click.ClickException(f"the guest's archive can't be unpacked: {error}") from None
    finally:
        _run(session, source.vm, f"rm -f {packed_there}")


def _run(session: Session, vm: str, command: str) -> None:
    done = session.client.commands.run(vm, command, timeout=_TAR_SECONDS)
    if done.exit_code:
        raise click.ClickException(f"in the guest: {done.stderr.strip() or f'exit code {done.exit_code}'}")


def _entry(session: Session, place: _There) -> FileEntry | None:
    """What is there, as its folder tells; None when that can't be told."""
    from corral.errors import NotFound

    path = PurePosixPath(place.path)
    listed = session.client.files.list(place.vm, str(path.parent))
    found = [each for each in listed if PurePosixPath(each.path) == path]
    if not found and len(listed) < 10_000:
        raise NotFound(f"{place.path} not found in VM '{place.vm}'", 404)
    return found[0] if found else None
