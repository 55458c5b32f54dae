"""Building the root: once for a recipe, kept outside the checkout, never written to afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from cli.image.log import BuildFailed, Log
from core import images
from tools.virtualbox import recipe

TIMEOUT_SECONDS = 900
STAGING = ".new-"


def find(cache: Path) -> Path | None:
    """The root of this recipe, if it was built."""
    root = cache / recipe.key()
    return root if root.exists() else None


def build(cache: Path, say: Callable[[str], None]) -> Path:
    """The root of this recipe, built unless it is there; `BuildFailed` says why it can't be."""
    found = find(cache)
    if found is None:
        refuse_without_rights()
        cache.mkdir(parents=True, exist_ok=True)
        with images.locked(cache, "build", say):
            for left in cache.glob(f"{STAGING}*"):  # by a build that was killed
                shutil.rmtree(left, ignore_errors=True)
            found = find(cache) or _built(cache, Log(cache / "build.log", say))
    return found


def refuse_without_rights() -> None:
    """`BuildFailed` unless we may change roots and mount: so may root, in a container only if it is allowed to."""
    if os.geteuid() != 0:
        raise BuildFailed("running the real VBoxManage in a root of its own takes root's rights")
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False, timeout=10)
    if tried.returncode != 0:
        raise BuildFailed("root may not mount here: give the container CAP_SYS_ADMIN")


def _built(cache: Path, log: Log) -> Path:
    draft = Path(tempfile.mkdtemp(prefix=STAGING, dir=cache))
    try:
        root = draft / "root"
        with log.step("fetching and installing VirtualBox from Debian's packages"):
            log.run(_command(root), timeout=TIMEOUT_SECONDS, env={**os.environ, "LC_ALL": "C.UTF-8"})
        return root.rename(cache / recipe.key())
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _command(root: Path) -> list[str | Path]:
    return [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        f"--include={','.join(recipe.PACKAGES)}",
        *(f"--aptopt={option}" for option in recipe.APT_OPTIONS),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.EXCLUDED),
        recipe.SUITE,
        root,
        recipe.MIRROR,
    ]
