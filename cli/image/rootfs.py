"""The root file system as one tar: Debian's packages, our few files, nothing that differs between two builds."""

from __future__ import annotations

import io
import os
import pwd
import shutil
import subprocess
import tarfile
from pathlib import Path

from cli.image import recipe
from cli.image.log import BuildFailed, Log

TIMEOUT_SECONDS = 900
CUSTOMIZE = "corral/customize.sh"


def build(root: Path, work: Path, log: Log) -> None:
    """Write the tar `root`; needs root, or user namespaces with sub-ids, or `sudo` without a password."""
    overlay = work / "overlay.tar"
    overlay.write_bytes(_overlay())
    as_root, mode = _privilege()
    options = [
        f"--mode={mode}",
        "--variant=minbase",
        "--format=tar",
        f"--include={','.join(recipe.PACKAGES)}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.EXCLUDED),
        *(f"--dpkgopt=path-include={pattern}" for pattern in recipe.INCLUDED),
        # Read by the process outside: inside a user namespace the checkout may be out of reach.
        f"--customize-hook=tar-in {overlay} /",
        f'--customize-hook=sh "$1"/{CUSTOMIZE} "$1"',
    ]
    with root.open("wb") as out:
        command = [*as_root, "mmdebstrap", *options, recipe.SUITE, "-", *recipe.MIRRORS]
        log.run(command, timeout=TIMEOUT_SECONDS, env=_environment(), stdout=out)


def _environment() -> dict[str, str]:
    return {
        "PATH": f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin",
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",
        "SOURCE_DATE_EPOCH": str(recipe.EPOCH),
    }


def _privilege() -> tuple[list[str], str]:
    """The command to go before mmdebstrap, and its mode."""
    if os.geteuid() == 0:
        return [], "root"
    if shutil.which("newuidmap") and _succeeds(["unshare", "--user", "true"]) and _has_subids():
        return [], "unshare"
    if _succeeds(["sudo", "-n", "true"]):
        # A process of root's can't be stopped by us: it watches its own time.
        return ["sudo", "-n", f"SOURCE_DATE_EPOCH={recipe.EPOCH}", "timeout", str(TIMEOUT_SECONDS)], "root"
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


def _overlay() -> bytes:
    """Our own files as a tar, owned by root whoever has checked them out."""
    files = {str(path.relative_to(recipe.FILES)): path for path in recipe.FILES.rglob("*") if path.is_file()}
    files[CUSTOMIZE] = recipe.GUEST / "customize.sh"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, path in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = path.stat().st_size, 0o644, recipe.EPOCH
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    return out.getvalue()
