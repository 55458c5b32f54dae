"""Laws of every driver whose guests run commands by themselves."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest

from agent.drivers.capabilities.execs import KEPT_BYTES, Detached, GuestExec
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def execs(bench: Bench) -> None:
    """Not every driver has guests that run commands by themselves."""
    bench.need("execs")


def begin(driver: EveryVerb, vm: VmSpec, command: str, **more: object) -> str:
    wanted = Detached(str(uuid.uuid4()), command, **more)  # type: ignore[arg-type]
    assert driver.exec_begin(vm, wanted).id == wanted.id
    return wanted.id


def ended(driver: EveryVerb, vm: VmSpec, exec_id: str, seconds: float = 60.0) -> GuestExec:
    until(lambda: driver.exec_get(vm, exec_id).state != "running", seconds)
    return driver.exec_get(vm, exec_id)


def everything(
    driver: EveryVerb, vm: VmSpec, exec_id: str, stream: str = "stdout", offset: int = 0
) -> tuple[int, bytes]:
    """All there is from there on, once it has ended: where that begins, and the bytes."""
    first, got = -1, b""
    while True:
        some = driver.exec_output(vm, exec_id, stream, offset, MIB)
        first = some.offset if first < 0 else first
        got, offset = got + some.data, some.offset + len(some.data)
        if some.ended:
            return first, got


def test_it_runs_by_itself_and_keeps_its_output_and_its_end(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    began = time.time()
    exec_id = begin(driver, running, "echo $WHO; cat; sleep 1; nonsense; exit 7", name="n", environment={"WHO": "ann"},
                    stdin=b"in\n")  # fmt: skip
    seen = bench.new_driver().exec_get(running, exec_id)
    assert (seen.state, seen.name, seen.exit_code, seen.ended_at) == ("running", "n", None, None)
    found = ended(bench.new_driver(), running, exec_id)
    assert (found.state, found.exit_code, found.signal) == ("exited", 7, None)
    assert found.ended_at is not None
    assert began - 1 <= found.started_at < found.started_at + 1 <= found.ended_at <= time.time() + 1
    assert everything(driver, running, exec_id) == (0, b"ann\nin\n")
    assert everything(driver, running, exec_id, offset=4) == (4, b"in\n")
    assert everything(driver, running, exec_id, offset=400) == (400, b"")
    assert b"nonsense" in everything(driver, running, exec_id, "stderr")[1]
    assert driver.exec_list(running)[0] == found


def test_output_is_there_as_it_appears_whatever_bytes_it_is(driver: EveryVerb, running: VmSpec) -> None:
    exec_id = begin(driver, running, r"printf '\377\000'; sleep 600")
    some = until(lambda: (read := driver.exec_output(running, exec_id, "stdout", 0, MIB)) and read.data and read)
    assert (some.data, some.offset, some.ended) == (b"\xff\0", 0, False)
    assert driver.exec_output(running, exec_id, "stdout", 1, 1).data == b"\0"
    driver.exec_delete(running, exec_id)


@pytest.mark.parametrize(("signal", "code"), [("TERM", 143), ("KILL", 137)])
def test_a_signal_ends_it_and_another_does_nothing(driver: EveryVerb, running: VmSpec, signal: str, code: int) -> None:
    exec_id = begin(driver, running, "echo there; sleep 600")
    until(lambda: driver.exec_output(running, exec_id, "stdout", 0, MIB).data)
    driver.exec_signal(running, exec_id, signal)
    found = ended(driver, running, exec_id)
    assert (found.state, found.exit_code, found.signal) == ("killed", code, signal)
    assert driver.exec_signal(running, exec_id, "KILL") == found


def test_past_its_timeout_it_is_ended_by_the_sweep(driver: EveryVerb, running: VmSpec) -> None:
    exec_id = begin(driver, running, "sleep 600", timeout_seconds=1.0)
    later = begin(driver, running, "sleep 600", timeout_seconds=500.0)
    due: list[float | None] = []

    def swept() -> bool:
        due.append(driver.exec_sweep())
        return driver.exec_get(running, exec_id).state != "running"

    until(swept)
    assert due[-1] is None or time.time() + 200 < due[-1] < time.time() + 500
    found = driver.exec_get(running, exec_id)
    assert (found.state, found.exit_code) == ("timed_out", 137)
    assert driver.exec_get(running, later).state == "running"
    driver.exec_delete(running, later)


def test_the_same_one_twice_is_one(driver: EveryVerb, running: VmSpec) -> None:
    wanted = Detached(str(uuid.uuid4()), "echo once")
    first = driver.exec_begin(running, wanted)
    assert driver.exec_begin(running, wanted).started_at == first.started_at
    assert [each.id for each in driver.exec_list(running)].count(wanted.id) == 1


def test_what_is_not_there_is_told(driver: EveryVerb, running: VmSpec) -> None:
    exec_id = begin(driver, running, "true")
    ended(driver, running, exec_id)
    driver.exec_delete(running, exec_id)
    for ask in (
        lambda: driver.exec_get(running, exec_id),
        lambda: driver.exec_output(running, exec_id, "stdout", 0, 1),
        lambda: driver.exec_signal(running, exec_id, "TERM"),
        lambda: driver.exec_delete(running, exec_id),
    ):
        with pytest.raises(DriverFailure) as failure:
            ask()
        assert failure.value.code == "exec_not_found"


def test_of_much_output_the_newest_is_kept(driver: EveryVerb, running: VmSpec) -> None:
    exec_id = begin(driver, running, f"head -c {3 * KEPT_BYTES} /dev/zero; echo end")
    ended(driver, running, exec_id, 120.0)
    first, kept = everything(driver, running, exec_id)
    assert first + len(kept) == 3 * KEPT_BYTES + len("end\n")
    assert KEPT_BYTES <= len(kept) <= 2 * KEPT_BYTES
    assert kept.endswith(b"\0end\n")
    driver.exec_delete(running, exec_id)


def test_a_guest_that_is_started_anew_has_lost_what_ran(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    lives, done = begin(driver, running, "sleep 600"), begin(driver, running, "echo done")
    ended(driver, running, done)
    driver.stop(running, 0.0, lambda *_: None, bench.quick)
    found = driver.exec_get(running, lives)
    assert (found.state, found.exit_code) == ("lost", None)
    with pytest.raises(DriverFailure) as failure:
        driver.exec_output(running, done, "stdout", 0, 1)
    assert failure.value.code == "vm_not_running"
    driver.start(running, lambda *_: None, bench.quick)
    assert driver.exec_get(running, lives).state == "lost"
    assert driver.exec_get(running, done).state == "exited"
