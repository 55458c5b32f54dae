"""The root file system as one tar: Debian's packages, our few files, nothing that differs between two builds."""

from __future__ import annotations

import io
import os
import pwd
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.image.log import BuildFailed, Log

TIMEOUT_SECONDS = 900
CUSTOMIZE = "corral/customize.sh"
# Every time stamp newer than this is set to it: with packages of the same versions that makes the same bytes.
EPOCH = 1735689600
EXCLUDED = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
INCLUDED = ("/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias")


@dataclass(frozen=True)
class Root:
    """What a root file system is made of. `files`: our own, by their place in it; `customize` is a script that runs
    outside with the new root as $1, once everything is there. `variant` is mmdebstrap's."""

    suite: str
    mirrors: tuple[str, ...]
    packages: tuple[str, ...]
    files: Mapping[str, Path] = field(default_factory=dict)
    customize: Path | None = None
    apt_options: tuple[str, ...] = ()
    variant: str = "minbase"


def build(made_of: Root, root: Path, work: Path, log: Log) -> None:
    """Write the tar `root`; needs root, or user namespaces with sub-ids, or `sudo` without a password."""
    as_root, mode = privilege()
    options = [
        f"--mode={mode}",
        f"--variant={made_of.variant}",
        "--format=tar",
        f"--include={','.join(made_of.packages)}",
        *(f"--aptopt={option}" for option in made_of.apt_options),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
        *(f"--dpkgopt=path-include={pattern}" for pattern in INCLUDED),
        *_customizing(made_of, work),
    ]
    with root.open("wb") as out:
        command = [*as_root, "mmdebstrap", *options, made_of.suite, "-", *made_of.mirrors]
        log.run(command, timeout=TIMEOUT_SECONDS, env=_environment(), stdout=out)


def _customizing(made_of: Root, work: Path) -> list[str]:
    if made_of.customize is None:
        return []
    overlay = work / "overlay.tar"
    overlay.write_bytes(_overlay({**made_of.files, CUSTOMIZE: made_of.customize}))
    # Read by the process outside: inside a user namespace the checkout may be out of reach.
    return [f"--customize-hook=tar-in {overlay} /", f'--customize-hook=sh "$1"/{CUSTOMIZE} "$1"']


def _environment() -> dict[str, str]:
    return {
        "PATH": f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin",
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",
        "SOURCE_DATE_EPOCH": str(EPOCH),
    }


def privilege() -> tuple[list[str], str]:
    """The command to go before mmdebstrap, and its mode; `BuildFailed` where an image can't be built."""
    if os.geteuid() == 0:
        return [], "root"
    if shutil.which("newuidmap") and _succeeds(["unshare", "--user", "true"]) and _has_subids():
        return [], "unshare"
    if _succeeds(["sudo", "-n", "true"]):
        # A process of root's can't be stopped by us: it watches its own time.
        return ["sudo", "-n", f"SOURCE_DATE_EPOCH={EPOCH}", "timeout", str(TIMEOUT_SECONDS)], "root"
    raise BuildFailed(
        "building an image takes root, or `sudo` without a password, or user namespaces: "
        "apt-get install uidmap, and see that /etc/subuid and /etc/subgid have a line for you"
    )


def _has_subids() -> bool:
    user = pwd.getpwuid(os.geteuid()).pw_name
    return all(_succeeds(["getsubids", *flags, user]) for flags in ([], ["-g"]))


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def files_below(folder: Path) -> dict[str, Path]:
    """Every file below a folder, by its place in it."""
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def _overlay(files: Mapping[str, Path]) -> bytes:
    """Our own files as a tar, owned by root whoever has checked them out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, path in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = path.stat().st_size, 0o644, EPOCH
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    return out.getvalue()
