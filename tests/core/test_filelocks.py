"""Locks on files: one holder at a time, for as long as it or a child of it lives."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from core import filelocks

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from core import filelocks
filelocks.take(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
# The relay of a console runs without Corral's modules, to be small.
FLOCK_ALLOWED = {"core/filelocks.py", "agent/drivers/relay.py"}


@contextmanager
def other_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """One that holds the lock on that file until it is killed."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_what_another_process_holds_is_refused_until_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not filelocks.is_held(path)
    with other_process(path) as process:
        assert filelocks.is_held(path)
        with pytest.raises(BlockingIOError):
            filelocks.take(path)
        with pytest.raises(BlockingIOError):
            filelocks.take(path, wait=0.05)
        process.kill()
        with filelocks.locked(path):
            assert filelocks.is_held(path)
    assert not filelocks.is_held(path)


def test_a_child_that_inherited_the_lock_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with filelocks.locked(path) as descriptor:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[descriptor])
        other = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)  # closes it of itself: on exec
    with child, other:
        assert filelocks.is_held(path)
        child.kill()
        child.wait()
        assert not filelocks.is_held(path)
        other.kill()


def test_who_waits_has_it_next(tmp_path: Path) -> None:
    path, order = tmp_path / "lock", []

    def second() -> None:
        with filelocks.locked(path):
            order.append("second")

    with filelocks.locked(path):
        thread = threading.Thread(target=second)
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_what_is_in_the_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("7")
    with filelocks.locked(path) as descriptor:
        assert os.read(descriptor, 10) == b"7"
    assert path.read_text() == "7"


def test_a_folder_is_locked_like_a_file(tmp_path: Path) -> None:
    descriptor = filelocks.take(tmp_path, flags=os.O_DIRECTORY)
    assert filelocks.is_held(tmp_path)
    os.close(descriptor)
    assert not filelocks.is_held(tmp_path)


def test_several_may_hold_a_shared_one_and_none_beside_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = filelocks.take(path, shared=True), filelocks.take(path, shared=True)
    with pytest.raises(BlockingIOError):
        filelocks.take(path)
    os.close(first)
    os.close(second)
    with filelocks.locked(path), pytest.raises(BlockingIOError):
        filelocks.take(path, shared=True)


def test_a_refused_lock_leaves_no_descriptor_open(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with filelocks.locked(path):
        before = psutil.Process().num_fds()
        for _ in range(10):
            assert filelocks.is_held(path)
        assert psutil.Process().num_fds() == before


def test_no_other_module_locks_files_by_itself() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    calls = {
        path
        for path in tracked.stdout.split()
        if (ROOT / path).exists()
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("flock", "lockf")
    }
    assert calls == FLOCK_ALLOWED
