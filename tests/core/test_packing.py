"""The release that runs here, as wheels again: what is in them, what they are called, and what can't be packed."""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from core import release
from core.contract.errors import Unavailable
from core.release import Wheel
from core.version import VERSION


@pytest.fixture(scope="module")
def wheels() -> dict[str, Wheel]:
    return {wheel.name.lower(): wheel for wheel in release.wheels()}


def test_corral_is_there_with_all_that_it_needs(wheels: dict[str, Wheel]) -> None:
    assert {"corral", "celery", "redis", "kombu", "vine", "msgspec", "psutil", "cffi", "click"} <= wheels.keys()
    assert not {"pytest", "mypy", "ruff"} & wheels.keys()  # of developers alone
    assert wheels["celery"].version == distribution("celery").version


def test_what_runs_here_is_in_it(wheels: dict[str, Wheel]) -> None:
    ours = wheels["corral"]
    assert (ours.version, ours.file_name) == (VERSION, f"corral-{VERSION}-py3-none-any.whl")
    assert {"agent/__main__.py", "deploy/join.sh", "core/packages.txt", "migrations/env.py"} <= set(ours.files)
    assert not any("__pycache__" in name or name.startswith("tests/") for name in ours.files)
    scripts = ours.files[f"corral-{VERSION}.dist-info/entry_points.txt"]
    assert isinstance(scripts, bytes)
    assert b"corral-agent = agent.__main__:main" in scripts


def test_a_wheel_keeps_its_tags(wheels: dict[str, Wheel]) -> None:
    binary = wheels["msgspec"]
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert binary.file_name.startswith(f"msgspec-{binary.version}-{python}-{python}-")
    assert Wheel("A.b-c", "1", ("py2-none-any", "py3-none-any"), {}).file_name == "A_b_c-1-py2.py3-none-any.whl"


def test_the_same_files_are_the_same_wheel_with_a_true_record(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x = 1\n")
    files: dict[str, Path | bytes] = {
        "b.py": tmp_path / "code.py",
        "a/x": b"data",
        "b-1.dist-info/METADATA": b"Name: b\n",
    }
    made = Wheel("b", "1", ("py3-none-any",), files).packed()
    assert made == Wheel("b", "1", ("py3-none-any",), dict(reversed(files.items()))).packed()
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        rows = [line.split(",") for line in archive.read("b-1.dist-info/RECORD").decode().splitlines()]
        assert rows.pop() == ["b-1.dist-info/RECORD", "", ""]
        for name, digest, size in rows:
            data = archive.read(name)
            known = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert (digest, size) == (f"sha256={known}", str(len(data)))
        assert {row[0] for row in rows} == files.keys()


def test_what_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no-such-thing, a dependency, is not installed here"):
        release._installed("no-such-thing")
    monkeypatch.setattr(release, "_ROOT", tmp_path)
    with pytest.raises(Unavailable, match="neither an installation nor a checkout"):
        next(release.wheels())
