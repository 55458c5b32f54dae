"""`make release`: wheel and sdist of what git tracks, proven away from the checkout; with VERSION a release is cut.

All happens in a copy. Only when the wheel has passed are `dist/`, the changelog and the version written.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path

from packaging.metadata import Metadata

from scripts import changelog, installed
from scripts.changelog import Refused

CHANGELOG, VERSION = Path("CHANGELOG.md"), Path("core/version.py")
# Folders whose every file a wheel has to have: what git tracks there is needed at run time, or does not belong there.
SHIPPED = ("agent/", "api/", "cli/", "core/", "corral/", "deploy/", "migrations/", "workers/")
BUILD_SECONDS, GIT_SECONDS = 600, 60


def main(root: Path, version: str) -> None:
    """`version` may be empty: then everything is built and proven, and nothing but `dist/` is written."""
    text, module = (root / CHANGELOG).read_text(), (root / VERSION).read_text()
    changelog.unreleased(text)
    if version:
        changelog.check_version(text, version, changelog.version_of(module))
        text = changelog.cut(text, version, datetime.now(UTC).date())
        module = changelog.with_version(module, version)
        _refuse_changes(root)
    tracked = _git(root, "ls-files", "-z").split("\0")[:-1]
    with tempfile.TemporaryDirectory(prefix="corral-release-") as name:
        folder = Path(name)
        _copy(root, tracked, folder / "source")
        (folder / "source" / CHANGELOG).write_text(text)
        (folder / "source" / VERSION).write_text(module)
        built = build(folder / "source", folder / "dist")
        check(built, changelog.version_of(module), [path for path in tracked if path.startswith(SHIPPED)])
        installed.prove(built[0], root / "requirements.txt", changelog.version_of(module), folder, say)
        _put(built, root / "dist")
    if version:
        (root / CHANGELOG).write_text(text)
        (root / VERSION).write_text(module)
        say(f"{version} is cut: git commit -am 'Release {version}' && git tag -a v{version} -m 'Corral {version}'")
    else:
        say("nothing is cut: make release VERSION=x.y.z does that")


def build(source: Path, into: Path) -> tuple[Path, Path]:
    """The wheel, made from the sdist as anyone would, and the sdist."""
    say("building sdist and wheel")
    command = [sys.executable, "-m", "build", "--outdir", str(into), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    if done.returncode != 0:
        raise Refused(f"the build failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return next(into.glob("*.whl")), next(into.glob("*.tar.gz"))


def check(built: tuple[Path, Path], version: str, needed: Iterable[str]) -> None:
    """`Refused` when metadata is not what an index takes, versions differ, or a file is missing."""
    wheel, sdist = built
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
        told = archive.read(next(name for name in files if name.endswith(".dist-info/METADATA")))
    with tarfile.open(sdist) as tar:
        inside = {name.partition("/")[2] for name in tar.getnames()}
        member = tar.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/PKG-INFO")
        told_by_sdist = member.read() if member else b""
    for where, text in ((wheel, told), (sdist, told_by_sdist)):
        metadata = Metadata.from_email(text, validate=True)
        if str(metadata.version) != version:
            raise Refused(f"{where.name} says that it is {metadata.version}, not {version}")
        if not str(message_from_bytes(text).get_payload()).strip():
            raise Refused(f"{where.name} has no description")
    needed = sorted(needed)
    for where, there in ((wheel, files), (sdist, inside)):
        missing = [path for path in needed if path not in there]
        if missing:
            raise Refused(f"{where.name} lacks {', '.join(missing)}: MANIFEST.in says what goes in")
    if not any(name.endswith("/LICENSE") for name in files):
        raise Refused(f"{wheel.name} lacks the license")
    say(f"{wheel.name} and {sdist.name}: metadata and {len(needed)} files are there")


def say(line: str) -> None:
    """A step, as it begins or ends."""
    sys.stdout.write(f"==> {line}\n")
    sys.stdout.flush()


def _refuse_changes(root: Path) -> None:
    if _git(root, "status", "--porcelain"):
        raise Refused("there are changes that are not committed: a release is cut from a commit")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True).stdout


def _copy(root: Path, tracked: Iterable[str], into: Path) -> None:
    for path in tracked:
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if (root / path).exists():  # not one that was removed, and is tracked until the commit
            shutil.copy2(root / path, target, follow_symlinks=False)


def _put(built: Iterable[Path], into: Path) -> None:
    into.mkdir(exist_ok=True)
    for path in built:
        shutil.copy2(path, into / path.name)
        say(f"{into / path.name}")


if __name__ == "__main__":
    try:
        main(Path(__file__).parents[1], sys.argv[1] if len(sys.argv) > 1 else "")
    except (Refused, installed.Failed) as error:
        sys.exit(f"no release: {error}")
