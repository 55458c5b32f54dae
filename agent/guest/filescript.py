"""The shell texts for files in a guest, and what their exit codes mean."""

from __future__ import annotations

from shlex import quote

from agent.drivers.groups.files import FileEntry, FileList
from core.contract.errors import DriverFailure

MISSING, A_FOLDER, NO_FOLDER, NO_FILE, REFUSED = 80, 81, 82, 83, 84
SHOWN = 300
_WITHOUT_A_PATH = "/var/tmp"  # noqa: S108  # in the guest; a disk, where /tmp may be memory
_CODES = {
    MISSING: ("file_not_found", "there is no such file or folder in the guest"),
    A_FOLDER: ("is_a_directory", "this is a folder in the guest, and no file"),
    NO_FOLDER: ("not_a_directory", "this is no folder in the guest"),
    NO_FILE: ("not_a_file", "this is no regular file in the guest"),
}
_KINDS = {"f": "file", "d": "directory", "l": "symlink"}
# The place of a file: `path` with links followed, `dir` made if need be (empty for the root).
_PLACE = f"""
[ ! -L "$path" ] || path=$(readlink -f -- "$path") || exit {REFUSED}
[ ! -d "$path" ] || exit {A_FOLDER}
dir=${{path%/*}}
[ -d "$dir/" ] || mkdir -p -- "$dir" || exit {REFUSED}
"""


class Refused(DriverFailure):
    """A script failed for a reason that only its words tell."""

    code = "file_refused"


def folder_of(path: str | None) -> str:
    """The folder of a file; of one whose path is not known yet, a disk's."""
    return _WITHOUT_A_PATH if path is None else path.rpartition("/")[0]


def draft(folder: str, token: str) -> str:
    """Where a file is while it is not whole."""
    return f"{folder}/.corral-{token}"


def beginning(token: str, near: str | None) -> str:
    """Makes an empty draft that nobody else may read, beside `near` if that is known; prints its folder."""
    place = f"dir={_WITHOUT_A_PATH}" if near is None else f"path={quote(near)}{_PLACE}"
    return f"""umask 022; {place}
umask 077; set -C; : >"$dir/.corral-{token}" || exit {REFUSED}
printf %s "$dir"
"""


def finishing(token: str, draft: str, path: str, permissions: int) -> str:
    """Puts a written draft at its place, once its bytes are on the disk; prints where that is once it will last.

    From another file system it is moved beside its place first, so that the last step is one that can't be halved.
    """
    return f"""umask 022; path={quote(path)}{_PLACE}
new="$dir/.corral-{token}"
[ {quote(draft)} = "$new" ] || mv -T -- {quote(draft)} "$new" || exit {REFUSED}
chmod {permissions:04o} -- "$new" && sync -- "$new" && mv -fT -- "$new" "$path" && sync -- "$dir/" || exit {REFUSED}
printf %s "$path"
"""


def removing(paths: list[str]) -> str:
    """Removes drafts that are still there."""
    return f"rm -f -- {' '.join(map(quote, paths))}"


def looking(path: str) -> str:
    """Prints the size and the time of a regular file."""
    place = quote(path)
    return f"""[ -e {place} ] || exit {MISSING}
[ ! -d {place} ] || exit {A_FOLDER}
[ -f {place} ] || exit {NO_FILE}
stat -L -c '%s %Y' -- {place} || exit {REFUSED}
"""


def piece(path: str, first: int, length: int) -> str:
    """Prints so many bytes of a file from there on, or fewer when it has no more."""
    flags = "skip_bytes,count_bytes,fullblock"
    return f"dd if={quote(path)} bs=64K iflag={flags} skip={first} count={length} status=none || exit {REFUSED}"


def listing(path: str, recursive: bool, most: int) -> str:
    """Prints "kind size mode time path" of so many entries, each ended by a zero byte, paths below the folder."""
    depth = "" if recursive else "-maxdepth 1"
    return f"""[ -e {quote(path)} ] || exit {MISSING}
[ -d {quote(path)} ] || exit {NO_FOLDER}
find -H {quote(path)} -mindepth 1 {depth} -printf '%y %s %m %T@ %P\\0' | head -z -n {most}
"""


def listed(path: str, out: bytes, most: int, *, truncated: bool) -> FileList:
    """What a listing printed of the folder at `path`; a record that was cut off has no end."""
    records = out.split(b"\0")[:-1]
    entries = sorted((_entry(path, record) for record in records[:most]), key=lambda entry: entry.path)
    return FileList(entries, truncated or len(records) > most)


def measuring(folder: str) -> str:
    """Prints how many bytes are free on that folder's file system."""
    return f"set -- $(stat -f -c '%f %S' -- {quote(folder or '/')}); echo $(($1 * $2))"


def check(exit_code: int, said: bytes, path: str = "") -> None:
    """Raises what an exit code stands for."""
    if exit_code == 0:
        return
    if exit_code in _CODES:
        code, words = _CODES[exit_code]
        raise DriverFailure(f"'{path}': {words}" if path else words, code=code)
    words = said.decode(errors="replace").strip()[-SHOWN:]
    raise Refused(f"the guest refused: {words or f'exit code {exit_code}'}")


def _entry(folder: str, record: bytes) -> FileEntry:
    """From `listing`: kind, size, mode, time and the path below the folder. Names need not be UTF-8."""
    kind, size, mode, modified, path = record.split(b" ", 4)
    return FileEntry(
        path=f"{folder.rstrip('/')}/{path.decode(errors='replace')}",
        kind=_KINDS.get(kind.decode(), "other"),
        size_bytes=int(size),
        permissions=int(mode, 8),
        modified_at=float(modified),
    )
