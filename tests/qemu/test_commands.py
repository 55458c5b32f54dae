"""Commands in a real guest."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.drivers.base import Cancelled, DriverFolders
from agent.drivers.capabilities.guest import OUTPUT_LIMIT, GuestExecRequest
from agent.drivers.qemu import QemuDriver
from agent.guest import command_locks, qga, script
from core.contract.errors import DriverFailure, GuestTimeout
from core.contract.messages import VmSpec
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.qemu.conftest import Run


def test_the_two_outputs_are_apart_and_binary_safe(run: Run) -> None:
    done = run("cat; printf 'e\\377' >&2; exit 3", stdin=b"a\x00\xff\n\r")
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"a\x00\xff\n\r", b"e\xff")


def test_environment_and_folder_reach_the_shell(run: Run) -> None:
    done = run(
        'printf "%s|%s|%s|%s" "$A" "$PWD" "$HOME" "$#"', environment={"A": "b  'c'\n$d"}, working_directory="/usr/lib"
    )
    assert done.stdout == b"b  'c'\n$d|/usr/lib|/root|0"


def test_a_folder_that_is_not_there_is_no_failure_of_the_command(run: Run) -> None:
    with pytest.raises(DriverFailure, match="/no/such") as failure:
        run("true", working_directory="/no/such")
    assert failure.value.code == "invalid_request"
    assert run("exit 125").exit_code == 125


@pytest.mark.parametrize("bad", [{"environment": {"A=B": "c"}}, {"environment": {"A": "\0"}}])
def test_what_no_process_can_have_is_refused(run: Run, bad: dict[str, object]) -> None:
    with pytest.raises(DriverFailure) as failure:
        run("true", **bad)
    assert failure.value.code == "invalid_request"


def test_a_command_too_long_is_refused_with_the_limit(run: Run) -> None:
    assert run(f": {'x' * 90_000}; echo long").stdout == b"long\n"
    with pytest.raises(DriverFailure, match="100000"):
        run(f": {'x' * 100_000}")


def test_a_signal_is_told_as_a_shell_tells_it(run: Run) -> None:
    assert run("kill -9 $$").exit_code == 128 + 9


def test_output_beyond_the_limit_is_cut_and_says_so(run: Run) -> None:
    done = run(f"head -c {OUTPUT_LIMIT + 1000} /dev/zero")
    assert (done.exit_code, len(done.stdout), done.truncated) == (0, OUTPUT_LIMIT, True)


def test_past_the_timeout_nothing_of_it_is_alive_wherever_it_went(run: Run) -> None:
    with pytest.raises(GuestTimeout):
        run("setsid sleep 4001 & (setsid -f sleep 4002 >/dev/null 2>&1 &) ; env -i sleep 4003", timeout=2.0)
    assert run("pgrep -c -f 'sleep 400[123]$'").stdout == b"0\n"


def test_what_nobody_waits_for_any_more_is_killed(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    looks = iter(range(5))

    def check() -> None:
        if next(looks, None) is None:
            raise Cancelled

    with pytest.raises(Cancelled):
        driver.execute(running, GuestExecRequest("setsid -f sleep 4011 >/dev/null 2>&1; sleep 4012", 600.0), check)
    assert run("pgrep -c -f 'sleep 401[12]$'").stdout == b"0\n"


def test_the_command_of_a_killed_agent_is_found_and_killed(place: DriverFolders, running: VmSpec, run: Run) -> None:
    request = GuestExecRequest("setsid -f sleep 4013 >/dev/null 2>&1; sleep 4014", 600.0)
    given = (place.vms, place.images, running, request)
    agent = multiprocessing.get_context("spawn").Process(target=_execute, args=given)
    agent.start()
    until(lambda: run("pgrep -c -f 'sleep 401[34]$'").stdout == b"2\n")
    QemuDriver(place).sweep_guests()
    assert run("pgrep -c -f 'sleep 401[34]$'").stdout == b"2\n"  # somebody waits for it
    agent.kill()
    agent.join(10)
    QemuDriver(place).sweep_guests()
    assert run("pgrep -c -f 'sleep 401[34]$'").stdout == b"0\n"
    assert command_locks.paths(place.vms / running.id) == []


def _execute(vms: Path, images: Path, vm: VmSpec, request: GuestExecRequest) -> None:
    """In an agent's place: what is looked up on a host can't be handed to another process."""
    QemuDriver(DriverFolders(vms, images)).execute(vm, request)


def test_a_guest_agent_that_starts_anew_loses_no_command_alive(run: Run) -> None:
    with pytest.raises(DriverFailure, match="was killed"):
        run("systemctl restart qemu-guest-agent & sleep 4015", timeout=30.0)
    assert run("pgrep -c -f 'sleep 4015$'", timeout=60.0).stdout == b"0\n"


def test_without_cgroups_its_mark_is_enough(run: Run) -> None:
    hide = "mount -t tmpfs none /sys/fs/cgroup"
    assert run(hide).exit_code == 0
    try:
        with pytest.raises(GuestTimeout):
            run("setsid -f sleep 4004 >/dev/null 2>&1; sleep 4005", timeout=2.0)
        assert run("pgrep -c -f 'sleep 400[45]$'").stdout == b"0\n"
        assert b"corral" not in run("ls /sys/fs/cgroup").stdout
    finally:
        run("umount /sys/fs/cgroup")


def test_a_command_ends_with_its_shell_and_children_that_hold_its_output_with_it(run: Run) -> None:
    done = run("exec 3>&1; sleep 4006 & sleep 4009 >/dev/null 2>&1 3>&- & echo started; exit 3", timeout=60.0)
    assert (done.exit_code, done.stdout) == (3, b"started\n")
    assert run("sleep 4007 >/dev/null 2>&1 & echo started").stdout == b"started\n"
    with pytest.raises(GuestTimeout):
        run("sleep 4008", timeout=1.0)
    left = run("pgrep -a -f 'sleep 400[6789]$' | cut -d' ' -f2- | sort").stdout
    assert left == b"sleep 4007\nsleep 4009\n"
    run("pkill -f 'sleep 400[79]$'")


def test_each_command_has_a_cgroup_that_was_made_ahead_and_goes_when_it_is_old(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "AHEAD", 5)
    # As it is once a guest has restarted itself. In one command, as what is made after it may be quick again at once.
    plain = "mount -o remount,nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup"
    assert run(f"{plain}; grep -c favordynmods /proc/mounts").stdout == b"0\n"
    next_one = 'read -r own </proc/self/cgroup; echo $own; [ -d "/sys/fs/cgroup/corral/$((${own##*/} + 1))" ]'
    done = [run(next_one) for _ in range(25)]
    numbers = [int(each.stdout.removeprefix(b"0::/corral/")) for each in done]
    assert numbers == list(range(numbers[0], numbers[0] + 25))
    assert [each.exit_code for each in done[10:]] == [0] * 15
    assert run("grep -c favordynmods /proc/mounts").stdout == b"1\n"
    left = {int(name) for name in run("cd /sys/fs/cgroup/corral; ls -d [0-9]*").stdout.split()}
    assert left.isdisjoint(numbers[:5])


def test_what_a_broken_exchange_left_behind_is_skipped(place: DriverFolders, running: VmSpec, run: Run) -> None:
    folder = place.vms / running.id
    for rubbish in (b'{"execute": "guest-ping"}\n', b'{"execute": "guest-', b'{"execute": "guest-info"}\n' * 20):
        with qga._Channel(folder, 5.0) as channel:
            channel.send([rubbish], time.monotonic() + 5)
        assert run("echo clean").stdout == b"clean\n"


def test_no_answer_is_lost_to_a_long_request_behind_what_was_not_read_yet(
    place: DriverFolders, running: VmSpec, run: Run
) -> None:
    """As in a guest that is slow: its agent wakes up with an old question before it, and then this one."""

    def is_silent() -> bool:
        try:
            qga.ask(place.vms / running.id, "guest-ping", 0.5)
        except qga.AgentSilent:
            return True
        return False

    run("(sleep 0.3; pkill -STOP qemu-ga; sleep 3; pkill -CONT qemu-ga) >/dev/null 2>&1 &")
    until(is_silent)
    assert run(f"echo {'x' * 60_000} | wc -c").stdout == b"60001\n"


def test_the_guests_journal_is_its_users(run: Run) -> None:
    run("sleep 0.5")
    assert run("journalctl -q -u qemu-guest-agent | grep -c 'called'").stdout == b"0\n"


def test_an_agent_that_is_gone_is_a_timeout_and_not_a_hang(run: Run) -> None:
    run("(sleep 0.5; systemctl stop qemu-guest-agent; sleep 8; systemctl start qemu-guest-agent) >/dev/null 2>&1 &")
    with pytest.raises(DriverFailure):
        run("sleep 30", timeout=3.0)
    assert run("echo back", timeout=60.0).stdout == b"back\n"


def test_an_agent_that_is_killed_again_and_again_comes_back(run: Run) -> None:
    for _ in range(7):  # more often than systemd starts a service within ten seconds, unless told to
        with pytest.raises(DriverFailure, match="lost the command"):
            run("systemctl kill -s KILL qemu-guest-agent; sleep 20")
    assert run("echo back").stdout == b"back\n"
