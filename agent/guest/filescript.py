"""Shell scripts for files in a guest, and the meaning of their exit codes.

They use what coreutils, findutils and BusyBox have alike; `stat -c` is in all three and in no standard.
"""

from __future__ import annotations

import re
import stat
from shlex import quote

from agent.drivers.capabilities.files import GuestFile, GuestFileList
from core.contract.bounds import FIRST_SECOND, LAST_SECOND, MOST_SERIAL
from core.contract.errors import DriverFailure
from core.contract.texts import PATH_BYTES

MISSING, A_FOLDER, NO_FOLDER, NO_FILE, REFUSED = 80, 81, 82, 83, 84
SHOWN = 300
DEFAULT_MODE = 0o644
_WITHOUT_A_PATH = "/var/tmp"  # noqa: S108  # in the guest; a disk, where /tmp may be memory
_CODES = {
    MISSING: ("file_not_found", "there is no such file or folder in the guest"),
    A_FOLDER: ("is_a_directory", "this is a folder in the guest, not a file"),
    NO_FOLDER: ("not_a_directory", "this is not a folder in the guest"),
    NO_FILE: ("not_a_file", "this is not a regular file in the guest but a device, a socket or a pipe"),
}
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
_RECORD = re.compile(rb"([0-9a-f]{1,8}) ([0-9]{1,19}) (-?[0-9]{1,19}) (.*)\n", re.DOTALL)
# The place of a file: `path` with links followed, `dir` made if need be (empty for the root). A link stays, and what it
# leads to is replaced, which must be a regular file or nothing, as without a link.
_PLACE = f"""
[ ! -L "$path" ] || path=$(readlink -f -- "$path") || exit {REFUSED}
[ ! -d "$path" ] || exit {A_FOLDER}
[ ! -e "$path" ] || [ -f "$path" ] || exit {NO_FILE}
dir=${{path%/*}}
[ -d "$dir/" ] || mkdir -p -- "$dir" || exit {REFUSED}
"""


class FileScriptError(DriverFailure):
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


def finishing(token: str, draft: str, path: str, permissions: int | None) -> str:
    """Puts a written draft at its place, once its bytes are on the disk; prints where that is once it will last.

    From another file system it is moved beside its place first, so that the last step is one that can't be halved.
    A file that is replaced leaves its owner and group, and its mode unless another is asked for.
    """
    return f"""umask 022; path={quote(path)}{_PLACE}
new="$dir/.corral-{token}" mode={"" if permissions is None else f"{permissions:04o}"}
[ {quote(draft)} = "$new" ] || mv -f -- {quote(draft)} "$new" || exit {REFUSED}
if [ -e "$path" ]; then
  was=$(stat -c '%a %u:%g' -- "$path") && chown -- "${{was#* }}" "$new" || exit {REFUSED}
  mode=${{mode:-${{was%% *}}}}
fi
lasting() {{ sync -- "$1" 2>/dev/null || sync; }}
chmod -- "${{mode:-{DEFAULT_MODE:04o}}}" "$new" && lasting "$new" && mv -f -- "$new" "$path" || exit {REFUSED}
lasting "$dir/" && printf %s "$path"
"""


def placed(text: str) -> str:
    """The folder or the file that a script printed, "" for the root; what is no path there goes no further."""
    if len(text) > PATH_BYTES or "\0" in text or not f"{text}/".startswith("/"):
        raise FileScriptError("the guest's answer can't be understood")
    return text


def removing(paths: list[str]) -> str:
    """Removes drafts that are still there."""
    return f"rm -f -- {' '.join(map(quote, paths))}"


def looking(path: str) -> str:
    """Prints the size of a regular file, the blocks that it takes, and its time."""
    place = quote(path)
    return f"""[ -e {place} ] || exit {MISSING}
[ ! -d {place} ] || exit {A_FOLDER}
[ -f {place} ] || exit {NO_FILE}
stat -L -c '%s %b %Y' -- {place} || exit {REFUSED}
"""


def looked(text: str) -> tuple[int | None, float]:
    """The size that `looking` printed, and the time. Files of the kernel's own take no blocks, and their size is a lie.

    So it is of those that are one hole: for them, too, reading tells.
    """
    try:
        size, blocks, modified = map(int, text.split())
    except ValueError:
        raise FileScriptError("the guest's answer can't be understood") from None
    return min(size, MOST_SERIAL) if size > 0 and blocks else None, file_time(modified)


def file_time(seconds: int) -> float:
    """A file may be of any year, and a date in an answer of those from 1 to 9999: the nearest."""
    return float(min(max(seconds, FIRST_SECOND), LAST_SECOND))


def piece(path: str, first: int, length: int) -> str:
    """Prints so many bytes of a file from there on, or fewer when it has no more."""
    return f"tail -c +{first + 1} -- {quote(path)} | head -c {length} || exit {REFUSED}"


def listing(path: str, recursive: bool, most: int, token: str) -> str:
    """Prints "token mode size time path" of some more entries than that. `token` is in none of their names."""
    depth = "" if recursive else "-maxdepth 1"
    folder = quote(path.rstrip("/") or "/")
    return f"""[ -e {quote(path)} ] || exit {MISSING}
[ -d {quote(path)} ] || exit {NO_FOLDER}
find -H {folder} -mindepth 1 {depth} -exec stat -c '{token} %f %s %Y %n' -- {{}} + | head -n {most + 2}
"""


def listed(out: bytes, most: int, token: str, *, truncated: bool) -> GuestFileList:
    """What a listing printed. A name may have lines; the last may have been cut off."""
    records = out.split(token.encode() + b" ")[1:]
    if truncated or out.count(b"\n") >= most + 2:
        records.pop()
        truncated = True
    found = [entry for record in records[:most] if (entry := _entry(record)) is not None]
    return GuestFileList(sorted(found, key=lambda entry: entry.path), truncated or len(records) > most)


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
    raise FileScriptError(f"the guest refused: {words or f'exit code {exit_code}'}")


def _entry(record: bytes) -> GuestFile | None:
    """From `listing`: mode, size, time and path, which need not be UTF-8; None for what a guest made up."""
    found = _RECORD.fullmatch(record)
    if found is None:
        return None
    mode = int(found[1], 16)
    return GuestFile(
        path=found[4].decode(errors="replace").replace("//", "/", 1),
        kind=_KINDS.get(stat.S_IFMT(mode), "other"),
        size_bytes=min(int(found[2]), MOST_SERIAL),
        permissions=stat.S_IMODE(mode),
        modified_at=file_time(int(found[3])),
    )
