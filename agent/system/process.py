"""Other programs: helpers that die with the agent, and daemons that outlive it. Only this module starts programs."""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from core.contract import outputs
from core.contract.errors import DriverFailure
from core.contract.limits import ProcessLimits, within

log = logging.getLogger(__name__)
SHOWN = 2000
MOST_BYTES = 64 << 20  # of each output: what a helper works on may be a stranger's, and have it say anything
LAUNCH_SECONDS = 20.0
# $0: a control group and $1: a pid file, either of which may be empty.
BEGIN = 'set -e; [ -z "$0" ] || echo $$ >"$0/cgroup.procs"; [ -z "$1" ] || echo $$ >"$1"; shift; exec "$@"'


class MissingProgram(DriverFailure):
    """A program that is not installed."""

    code = "program_missing"


class ProgramFailed(DriverFailure):
    """A helper that ended with another exit code than 0; `said` is the end of its standard error."""

    code = "tool_failed"
    said = ""


@dataclass(frozen=True)
class ProcessResult:
    """The end of a helper, and its output: of each output not much more than was wanted, and its end."""

    returncode: int
    stdout: bytes
    stderr: bytes


def run(
    args: Sequence[str],
    timeout: float,
    *,
    holding: Sequence[int] = (),
    folder: Path | None = None,
    limits: ProcessLimits | None = None,
) -> str:
    """Runs a helper to its end and returns its standard output; `ProgramFailed` when it fails, else as `output`.

    What it said goes to the log, and not to whoever is told that it failed.
    """
    ended = output(args, timeout, holding=holding, folder=folder, limits=limits)
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").strip()[-SHOWN:]
        what = " ".join(args[:2])
        log.warning("'%s' failed (%d): %s", what, ended.returncode, said)
        failed = ProgramFailed(f"'{what}' failed on the host ({ended.returncode}): the agent's log has its output")
        failed.said = said
        raise failed
    if len(ended.stdout) > MOST_BYTES:
        raise ProgramFailed(f"'{args[0]}' printed more than {MOST_BYTES} bytes on the host")
    return ended.stdout.decode(errors="replace")


def output(
    args: Sequence[str],
    timeout: float,
    *,
    holding: Sequence[int] = (),
    folder: Path | None = None,
    limits: ProcessLimits | None = None,
    most_bytes: int = MOST_BYTES,
) -> ProcessResult:
    """Runs a helper to its end, whatever that is, in `folder` or where the agent is; within `limits` if there are any.

    `DriverFailure` when it has not ended after `timeout` seconds: then its process group is killed. It dies with the
    agent; while it lives it keeps the descriptors `holding` open, so that a lock lasts as long as its work.
    """
    with subprocess.Popen(
        [*_dying_with_us(), *_bounded([_find(args[0]), *args[1:]], limits)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=tuple(holding),
        cwd=folder,
    ) as helper:
        try:
            out, err = outputs.read(helper, timeout, most_bytes)
        except subprocess.TimeoutExpired:
            _kill_group(helper)
            raise DriverFailure(f"'{args[0]}' did not end within {timeout:.0f} s", code="timeout") from None
        except BaseException:
            _kill_group(helper)
            raise
    return ProcessResult(helper.returncode, out, err)


def says(args: Sequence[str], words: str, timeout: float) -> bool:
    """Whether a helper says these words within `timeout` seconds, after which it is ended."""
    with subprocess.Popen(
        [*_dying_with_us(), _find(args[0]), *args[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as helper:
        try:
            return _heard(helper, words.encode(), time.monotonic() + timeout)
        finally:
            _kill_group(helper)


def _heard(helper: subprocess.Popen[bytes], words: bytes, deadline: float) -> bool:
    heard = b""
    stream = helper.stdout
    while stream is not None and words not in heard:
        if not select.select([stream], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        some = os.read(stream.fileno(), 65536)
        if not some:
            return False
        heard = heard[-SHOWN:] + some
    return words in heard


class Daemon:
    """A process begun by `spawn`, as long as its launch is watched: `ended` without being its parent."""

    def __init__(self, alive: int) -> None:
        self._alive = alive

    def ended(self) -> bool:
        """Whether the process is gone: only then has nobody the other end of the pipe."""
        return self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Whether it is gone within that time."""
        return bool(select.select([self._alive], [], [], seconds)[0])

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._alive)


def spawn(
    args: Sequence[str],
    *,
    folder: Path,
    log: Path,
    holding: Sequence[int] = (),
    group: Path | None = None,
    pid_file: Path | None = None,
) -> Daemon:
    """Begins a process in a session of its own that outlives the agent, in `folder`; what it says goes to `log`.

    It enters the control group `group` before it becomes the program, so that all it takes is counted there, and writes
    its number to `pid_file`. Its standard output and error are readable by the agent's user alone.
    """
    begin = ["sh", "-c", BEGIN, str(group or ""), str(pid_file or "")] if group or pid_file else []
    ours, its = os.pipe()
    try:
        with open(log, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as said:
            subprocess.run(
                [_find("setsid"), "--fork", *begin, _find(args[0]), *args[1:]],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=folder,
                pass_fds=(its, *holding),
                timeout=LAUNCH_SECONDS,
                check=True,
            )
    except (OSError, subprocess.SubprocessError) as error:
        os.close(ours)
        raise DriverFailure(f"'{args[0]}' could not be started: {error}") from None
    finally:
        os.close(its)
    return Daemon(ours)


def path_of(program: str) -> Path:
    """Where a program is; `MissingProgram` when it is not installed."""
    return Path(_find(program)).absolute()


def _find(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise MissingProgram(f"the program '{program}' is not installed")
    return found


def _bounded(command: list[str], limits: ProcessLimits | None) -> list[str]:
    if limits is None or sys.platform != "linux":
        return command
    program, *rest = within(limits, command)
    return [_find(program), *rest]


def _dying_with_us() -> list[str]:
    """Elsewhere than on Linux a helper outlives a killed agent, and ends by itself."""
    # The death signal follows the thread that forks, and that one waits for the helper's end.
    return [_find("setpriv"), "--pdeathsig", "KILL", "--"] if sys.platform == "linux" else []


def _kill_group(helper: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        helper.kill()
        return
    try:
        os.killpg(helper.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has just ended by itself
