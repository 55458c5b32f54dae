"""Misbehaviour of the fake driver, as tests configure it.

Told by `fake.json` beside the folder of VMs, for all of them, or by `hardware.fake` of one VM's spec. Both have
this form, every key optional, verbs as in `Driver` and its capabilities for snapshots, guests and files:

    {"slow": {"start": 2.5},            seconds that a verb takes
     "linger": {"start": 1},            seconds that it takes after its effect, deaf to a cancel
     "fail": {"stop": {"code": "operation_failed", "message": "no", "retryable": false}},
     "hang": ["create"],                waits until its timeout, then fails with code "timeout"
     "broken": ["delete"],              raises what no driver may raise
     "crash_after_seconds": 3}          a VM crashes so long after each start
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.drivers.base import Progress
from core.contract.errors import DriverFailure, GuestTimeout, Invalid
from core.contract.messages import VmSpec, build

CONFIG = "fake.json"
STEP_SECONDS = 0.05


@dataclass(frozen=True)
class Behaviour:
    """The misbehaviour that a test has configured for one VM."""

    slow: dict[str, float] = field(default_factory=dict)
    linger: dict[str, float] = field(default_factory=dict)
    fail: dict[str, dict[str, Any]] = field(default_factory=dict)
    hang: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    crash_after_seconds: float | None = None


def behaviour(vms: Path, vm: VmSpec) -> Behaviour:
    """What holds for a VM: its own word before everyone's."""
    try:
        told = json.loads((vms.parent / CONFIG).read_text())
    except (FileNotFoundError, ValueError):
        told = {}
    try:
        own = vars(vm.hardware.fake) if vm.hardware.fake else {}
        return build(Behaviour, {**told, **{name: value for name, value in own.items() if value is not None}})
    except (Invalid, TypeError) as error:
        raise DriverFailure(f"the fake driver can't read what it is told: {error}", code="invalid_request") from None


def misbehave(told: Behaviour, verb: str, progress: Progress, timeout: float) -> None:
    """Takes the time a verb was told to take, then fails if it was told to; calls `progress` all the while."""
    _wait(told, verb, progress, timeout)
    if verb in told.broken:
        raise RuntimeError(f"{verb} was told to break the law of drivers")
    failure = told.fail.get(verb)
    if failure is not None:
        error = DriverFailure(
            str(failure.get("message", f"{verb} was told to fail")), code=str(failure.get("code", "operation_failed"))
        )
        error.retryable = bool(failure.get("retryable", False))
        raise error


def _wait(told: Behaviour, verb: str, progress: Progress, timeout: float) -> None:
    seconds = timeout if verb in told.hang else float(told.slow.get(verb, 0))
    began = time.monotonic()
    while (gone := time.monotonic() - began) < min(seconds, timeout):
        progress(verb, int(100 * gone / seconds))
        time.sleep(min(STEP_SECONDS, seconds - gone))
    if seconds >= timeout:
        raise GuestTimeout(f"{verb} did not end within {timeout:.1f} s")


def silent(step: str, percent: int | None) -> None:
    """The progress of verbs that tell none."""
