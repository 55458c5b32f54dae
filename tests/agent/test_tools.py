"""What a failure says leaves its host without the paths of media and the words of tools, which run within limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.system import process
from core.contract.errors import DriverFailure
from core.contract.limits import ProcessLimits
from core.contract.outputs import END_BYTES
from core.contract.states import Kind
from tests.agent.hosts import Host


def test_a_failed_command_and_a_failed_call_tell_no_paths(host: Host) -> None:
    file = host.folder / "media" / ".disks" / "alice" / "a.raw"
    said = {"message": f"'{file}': no"}
    host.start()
    vm = host.made(fake={"fail": {"start": said, "measure": said}})
    for failure in (host.do(Kind.START, vm).failure, host.call("measure", vm).failure):
        assert failure.message == "'a.raw': no"


def test_what_a_program_says_is_in_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(process.ProgramFailed) as failure:
        process.run(["sh", "-c", "echo /etc/shadow: no >&2; exit 3"], 10.0)
    assert "shadow" not in failure.value.message
    assert "/etc/shadow: no" in caplog.text


def test_a_program_that_takes_too_much_is_stopped(tmp_path: Path) -> None:
    """The largest file, the memory, the time of a processor."""
    small = ProcessLimits(memory_bytes=256 << 20, cpu_seconds=1, file_bytes=1 << 20)
    greedy = (
        f"exec head -c 2000000 /dev/zero >{tmp_path / 'f'}",
        "exec python3 -c 'bytearray(1 << 30)'",
        "while :; do :; done",
    )
    for what in greedy:
        with pytest.raises(process.ProgramFailed):
            process.run(["sh", "-c", what], 30.0, limits=small)
    assert (tmp_path / "f").stat().st_size == 1 << 20
    assert process.run(["sh", "-c", "ulimit -f"], 10.0, limits=small).strip() == str((1 << 20) // 512)


def test_of_a_program_that_says_too_much_the_beginning_and_the_end_are_heard() -> None:
    loud = "printf begun; head -c 3000000 /dev/zero; echo ended; head -c 3000000 /dev/zero >&2; exit 3"
    done = process.output(["sh", "-c", loud], 30.0, most_bytes=100)
    assert (done.returncode, len(done.stdout), len(done.stderr)) == (3, 100 + END_BYTES, 100 + END_BYTES)
    assert (done.stdout[:5], done.stdout[-6:]) == (b"begun", b"ended\n")
    whole = process.output(["sh", "-c", "head -c 100 /dev/zero"], 30.0, most_bytes=100)
    assert (whole.stdout, whole.stderr) == (bytes(100), b"")
    with pytest.raises(process.ProgramFailed, match="printed more than"):
        process.run(["head", "-c", str(process.MOST_BYTES + 1), "/dev/zero"], 30.0)


def test_a_program_that_says_things_without_end_is_ended_in_its_time() -> None:
    with pytest.raises(DriverFailure, match="did not end") as failure:
        process.output(["yes"], 0.5)
    assert failure.value.code == "timeout"
