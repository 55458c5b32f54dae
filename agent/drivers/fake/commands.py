"""Runs a command line in the fake guest, for as long as it says."""

from __future__ import annotations

import time

from agent.drivers.base import Check
from agent.drivers.capabilities.guest import OUTPUT_LIMIT, GuestExecRequest, GuestExecResult
from agent.drivers.fake.guest import Shell
from agent.drivers.fake.tree import Tree
from core.contract.errors import GuestTimeout

TICK_SECONDS = 0.05


def execute(files: Tree, request: GuestExecRequest, began: float, check: Check) -> GuestExecResult:
    """How it ends. The time it is given counts from `began`."""
    wrote = {"stdout": b"", "stderr": b""}
    deadline = began + request.timeout_seconds

    def write(stream: str, data: bytes) -> None:
        wrote[stream] += data

    def sleep(seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            check()
            if time.monotonic() >= deadline:
                raise GuestTimeout(f"the command did not end within {request.timeout_seconds:g} s and was killed")
            time.sleep(min(left, TICK_SECONDS, max(0.0, deadline - time.monotonic())))

    code = Shell(files, sleep, write, request.environment or {}, request.stdin or b"").run(request.command)
    out, err = wrote["stdout"], wrote["stderr"]
    truncated = max(len(out), len(err)) > OUTPUT_LIMIT
    return GuestExecResult(code, out[:OUTPUT_LIMIT], err[:OUTPUT_LIMIT], time.monotonic() - began, truncated)
