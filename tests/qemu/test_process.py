"""The door to other programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.system import process
from core.contract.errors import DriverFailure
from tests.support.waiting import until


def test_a_helper_gives_its_output_or_says_why_not(caplog: pytest.LogCaptureFixture) -> None:
    assert process.run(["echo", "hello"], 10.0) == "hello\n"
    with pytest.raises(DriverFailure, match="the agent's log has its output"):
        process.run(["cat", "/no/such/file"], 10.0)
    assert "No such file" in caplog.text
    with pytest.raises(process.MissingProgram, match="no-such-program"):
        process.run(["no-such-program"], 10.0)


def test_a_helper_past_its_timeout_is_killed_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(DriverFailure) as failure:
        process.run(["sh", "-c", f"sleep 500 & echo $! > {tmp_path}/pid; wait"], 0.5)
    assert failure.value.code == "timeout"
    until(lambda: ended(int((tmp_path / "pid").read_text())))


def test_a_helper_dies_with_the_agent_and_a_daemon_does_not(tmp_path: Path) -> None:
    agent = f"""
from pathlib import Path
from agent.system import process
folder = Path({str(tmp_path)!r})
process.spawn(["sh", "-c", "echo $$ > daemon; exec sleep 500"], folder=folder, log=folder / "log")
process.run(["sh", "-c", "echo $$ > {tmp_path}/helper; exec sleep 500"], 500)
"""
    with subprocess.Popen([sys.executable, "-c", agent]) as running:
        helper, daemon = (read_pid(tmp_path / name) for name in ("helper", "daemon"))
        running.kill()
    until(lambda: ended(helper))
    assert not ended(daemon)
    os.kill(daemon, signal.SIGKILL)
    until(lambda: ended(daemon))


def test_a_daemon_s_end_is_seen_without_being_its_parent(tmp_path: Path) -> None:
    with process.spawn(["sleep", "0.3"], folder=tmp_path, log=tmp_path / "log") as daemon:
        assert not daemon.ended()
        until(daemon.ended)


def read_pid(path: Path) -> int:
    """The number in a file that is about to be written."""
    return int(until(lambda: path.exists() and path.read_text().strip(), why=path))


def ended(pid: int) -> bool:
    """Whether a process is gone, or a mere entry that nobody has collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
