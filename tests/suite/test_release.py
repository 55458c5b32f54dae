"""What `make release` refuses, and how it cuts the changelog. That the wheel runs alone it proves itself."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
import zipfile
from datetime import date
from pathlib import Path

import pytest

from scripts import changelog, installed, release
from scripts.changelog import Refused

ROOT = Path(__file__).parents[2]
DAY = date(2027, 1, 31)
WITH = "# Changelog\n\nBy hand.\n\n## Unreleased\n\n### Added\n\n- A door.\n\n## 0.1.0 (2026-01-01)\n\n- All.\n"
CUT = (
    "# Changelog\n\nBy hand.\n\n## Unreleased\n\n## 0.2.0 (2027-01-31)\n\n### Added\n\n- A door.\n\n"
    "## 0.1.0 (2026-01-01)\n\n- All.\n"
)
EMPTY = WITH.replace("- A door.\n\n", "")


def test_a_cut_moves_what_is_unreleased_under_its_version() -> None:
    assert changelog.cut(WITH, "0.2.0", DAY) == CUT
    first = WITH[: WITH.index("## 0.1.0")]
    assert changelog.cut(first, "0.1.0", DAY) == CUT[: CUT.index("\n## 0.1.0")].replace("0.2.0", "0.1.0")


def test_nothing_else_than_the_version_is_changed_in_its_module() -> None:
    module = (ROOT / "core" / "version.py").read_text()
    cut = changelog.with_version(module, "9.8.7")
    assert changelog.version_of(cut) == "9.8.7"
    assert cut.replace("9.8.7", changelog.version_of(module)) == module


def test_the_changelog_of_the_project_has_the_section_that_is_cut() -> None:
    assert "## Unreleased\n" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("text", [EMPTY, CUT, "# Changelog\n", "# Changelog\n\n### Unreleased\n\n- A door.\n"])
def test_nothing_to_release(text: str) -> None:
    with pytest.raises(Refused, match="Unreleased"):
        changelog.unreleased(text)


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("1.2", "not a version like"),
        ("v1.2.3", "not a version like"),
        ("01.2.3", "not a version like"),
        ("1.2.3\n", "not a version like"),
        ("0.1.0", "released already"),
        ("0.0.9", "lower than 0.1.0"),
        ("0.10.9", "lower than 0.11.0"),
    ],
)
def test_a_version_that_can_not_be(version: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        changelog.check_version(WITH, version, "0.11.0" if why.endswith("0.11.0") else "0.1.0")


def test_a_version_that_can_be() -> None:
    changelog.check_version(WITH, "0.1.1", "0.1.0")
    changelog.check_version(WITH, "0.10.0", "0.9.0")
    changelog.check_version(WITH[: WITH.index("## 0.1.0")], "0.1.0", "0.1.0")  # the first release


def _project(folder: Path, text: str) -> Path:
    (folder / "core").mkdir(parents=True)
    (folder / "CHANGELOG.md").write_text(text)
    (folder / "core" / "version.py").write_text('VERSION = "0.1.0"\n')
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", str(folder), *command], check=True, timeout=20)
    return folder


@pytest.mark.parametrize(
    ("text", "version", "why"),
    [
        (EMPTY, "", "nothing to release"),
        (EMPTY, "0.2.0", "nothing to release"),
        (WITH, "0.1.0", "released already"),
        (WITH, "0.2.0", "changes that are not committed"),
    ],
)
def test_a_refusal_writes_nothing(tmp_path: Path, text: str, version: str, why: str) -> None:
    project = _project(tmp_path / "project", text)
    with pytest.raises(Refused, match=why):
        release.main(project, version)
    assert (project / "CHANGELOG.md").read_text() == text
    assert not (project / "dist").exists()


def test_a_build_that_fails_writes_nothing(tmp_path: Path) -> None:
    project = _project(tmp_path / "project", WITH)
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", "-C", str(project), *identity, "commit", "-qm", "x"], check=True, timeout=20)
    with pytest.raises(Refused, match="the build failed"):
        release.main(project, "0.2.0")
    assert subprocess.run(["git", "-C", str(project), "status", "-s"], check=True, capture_output=True).stdout == b""


def _built(folder: Path, metadata: str, *files: str) -> tuple[Path, Path]:
    wheel, sdist = folder / "x-0.2.0-py3-none-any.whl", folder / "x-0.2.0.tar.gz"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("x-0.2.0.dist-info/METADATA", metadata)
        for name in (*files, "x-0.2.0.dist-info/licenses/LICENSE"):
            archive.writestr(name, "")
    with tarfile.open(sdist, "w:gz") as tar:
        for name in ("PKG-INFO", *files):
            info = tarfile.TarInfo(f"x-0.2.0/{name}")
            info.size = len(metadata) if name == "PKG-INFO" else 0
            tar.addfile(info, io.BytesIO(metadata.encode()))
    return wheel, sdist


METADATA = "Metadata-Version: 2.4\nName: x\nVersion: 0.2.0\n\nWhat it is.\n"


def test_what_is_built_is_looked_at(tmp_path: Path) -> None:
    built = _built(tmp_path, METADATA, "core/a.py", "core/a.txt")
    release.check(built, "0.2.0", ["core/a.py", "core/a.txt"])
    with pytest.raises(Refused, match=re.escape("lacks core/b.txt")):
        release.check(built, "0.2.0", ["core/a.py", "core/b.txt"])
    with pytest.raises(Refused, match=re.escape("says that it is 0.2.0, not 0.3.0")):
        release.check(built, "0.3.0", [])
    with pytest.raises(Refused, match="has no description"):
        release.check(_built(tmp_path, METADATA.replace("What it is.\n", "")), "0.2.0", [])


def test_a_wheel_that_can_not_be_installed_is_no_release(tmp_path: Path) -> None:
    wheel = _built(tmp_path, METADATA, "core/__init__.py")[0]
    with pytest.raises(installed.Failed, match="has an invalid wheel"):
        installed.prove(wheel, ROOT / "requirements.txt", "0.2.0", tmp_path, lambda line: None)


def test_the_command_tells_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"corral {changelog.version_of((ROOT / 'core' / 'version.py').read_text())}\n"
