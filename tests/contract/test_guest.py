"""Laws of every driver that talks to the guest."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from agent.drivers.capabilities.guest import GuestExecRequest
from core.contract.errors import GuestTimeout
from core.contract.messages import VmSpec

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb


@pytest.fixture(autouse=True)
def guest(bench: Bench) -> None:
    """Not every driver talks to the guest."""
    bench.need_guest()


def test_a_command_tells_how_it_ended(bench: Bench, running: VmSpec) -> None:
    done = bench.run(running, "echo out; cat /no/such/file; exit 7")
    assert (done.exit_code, done.stdout, done.truncated) == (7, b"out\n", False)
    assert b"/no/such/file" in done.stderr
    assert 0 < done.execution_time_seconds < 30


def test_a_command_has_its_environment_and_its_input(driver: EveryVerb, running: VmSpec) -> None:
    request = GuestExecRequest("echo $GREETING; cat", 30.0, environment={"GREETING": "hello"}, stdin=b"from outside\n")
    assert driver.execute(running, request).stdout == b"hello\nfrom outside\n"


def test_a_command_past_its_timeout_is_a_guest_timeout(bench: Bench, running: VmSpec) -> None:
    began = time.monotonic()
    with pytest.raises(GuestTimeout):
        bench.run(running, "sleep 600", timeout=1.0)
    assert time.monotonic() - began >= 1.0
    assert bench.run(running, "true").exit_code == 0


def test_commands_of_one_vm_run_at_once_and_are_never_mixed(bench: Bench, running: VmSpec) -> None:
    def one(number: int) -> bytes:
        return bench.run(running, f"sleep 0.2; echo {number}", timeout=60.0).stdout

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == [f"{number}\n".encode() for number in range(8)]
