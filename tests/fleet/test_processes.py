"""One process and the watch over several: what is killed is started again, and nobody outlives the supervisor."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.fleet import files
from cli.fleet.processes import Process
from cli.fleet.watch import ProcessWatch
from tests.support.waiting import until


def numbers_in(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = Process("sleeper", ["sleep", "60"], log=tmp_path / "sleeper.log")
    process.start()
    yield process
    process.kill()


@pytest.fixture
def watch() -> Iterator[ProcessWatch]:
    watch = ProcessWatch(lambda _: None)
    yield watch
    watch.end()


def test_a_stubborn_process_is_killed_after_its_grace(tmp_path: Path) -> None:
    stubborn = Process("stubborn", ["sh", "-c", "trap '' TERM; echo on; sleep 60"], log=tmp_path / "logs" / "log")
    stubborn.start()
    until(lambda: "on" in stubborn.log.read_text())
    assert stubborn.log.parent.stat().st_mode & 0o777 == 0o700
    stubborn.stop(grace=0.3)
    assert stubborn.exit_code == -signal.SIGKILL


def test_kill_takes_the_children_along(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    parent = Process("parent", ["sh", "-c", f"sleep 60 & echo $! > {pids}; wait"], log=tmp_path / "log")
    parent.start()
    until(lambda: numbers_in(pids))
    parent.kill()
    (child,) = numbers_in(pids)
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


_START_AND_DIE = """
import os, sys, threading
from pathlib import Path
from cli.fleet.processes import Process
child = Process("child", ["sleep", "60"], log=Path(sys.argv[1]) / "log")
starter = threading.Thread(target=child.start)
starter.start()
starter.join()
alive = child.alive and not child.ended_within(0.3)
print(child.pid, alive, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_process_ends_with_its_supervisor_but_not_with_the_thread_that_started_it(tmp_path: Path) -> None:
    died = subprocess.run(
        [sys.executable, "-c", _START_AND_DIE, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=20,
        check=False,
    )
    pid, alive = died.stdout.split()
    assert alive == "True"
    until(lambda: not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE)


def test_the_watch_starts_again_what_was_killed(sleeper: Process, watch: ProcessWatch) -> None:
    watch.begin([sleeper])
    first = sleeper.pid
    sleeper.kill()
    until(lambda: sleeper.alive and sleeper.pid != first)


def test_the_watch_leaves_alone_what_is_on_hold_until_it_is_released(
    sleeper: Process, watch: ProcessWatch, tmp_path: Path
) -> None:
    other = Process("other", ["sleep", "60"], log=tmp_path / "other")
    other.start()
    watch.begin([sleeper, other])
    watch.hold("sleeper")
    first = other.pid
    sleeper.kill()
    other.kill()
    until(lambda: other.alive and other.pid != first)
    watch.hold("other")
    other.kill()
    assert not sleeper.alive
    sleeper.start()
    watch.release("sleeper")
    sleeper.kill()
    until(lambda: sleeper.alive)


def test_the_pause_before_a_restart_doubles_and_every_restart_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    watch = ProcessWatch(said.append)
    failing = Process("failing", ["sh", "-c", "exit 3"], log=tmp_path / "log")
    failing.start()
    watch.begin([failing])
    until(lambda: len(said) >= 5)
    watch.end()
    announced = [line for line in said if "ended" in line]
    assert announced[0] == "failing ended (exit code 3); starting it again in 1 s"
    assert announced[1].endswith("in 2 s")
    assert announced[2].endswith("in 4 s")


def test_a_log_is_set_aside_at_a_start_and_cut_when_it_is_long(tmp_path: Path) -> None:
    log = tmp_path / "some.log"
    log.write_text("former\n")
    files.set_aside(log)
    assert not log.exists()
    with log.open("a") as writer:
        writer.write("x" * 100)
        writer.flush()
        files.cut(log, limit=99)
        writer.write("after\n")
        writer.flush()
    assert log.read_text() == "after\n"
    assert (tmp_path / "some.log.1").read_text() == "x" * 100
