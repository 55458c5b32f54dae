"""A file is the new one or the former one, whatever happens while it is written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core import durable

WRITER = """
import sys
from pathlib import Path
from core import durable
while True:
    for letter in "ab":
        durable.write(Path(sys.argv[1]), letter * 300_000, lasting=False)
        print(letter, end="", flush=True)
"""


def test_it_is_private_from_the_first_moment(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        durable.write_private(tmp_path / "secret", "text")
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert (tmp_path / "secret").read_text() == "text"


def test_readers_see_whole_files_and_so_does_who_comes_after_a_kill(tmp_path: Path) -> None:
    path, whole = tmp_path / "file", ("a" * 300_000, "b" * 300_000)
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.read(1)
        for _ in range(500):
            assert path.read_text() in whole
        writer.kill()
    assert path.read_text() in whole


def test_what_can_not_be_written_leaves_the_former_one_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    durable.write(path, "former")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        durable.write(path, "new")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "former"
