"""`corral vm exec -it` and `vm shell`: from a real terminal to one in a real guest."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from corral import Client
from corral.access import Access, Contexts
from tests.console.conftest import FAKE, GUEST, Operator
from tests.console.seats import Seat
from tests.support.waiting import until

Sit = Callable[..., Seat]


@pytest.fixture
def config(caller: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Knows the fleet."""
    monkeypatch.setenv("CORRAL_CONFIG", str(tmp_path / "config.json"))
    fleet = caller.fleet
    Contexts("test", {"test": Access(fleet.url, fleet.credentials.api_key)}).save()
    return tmp_path / "config.json"


@pytest.fixture
def sit(config: Path) -> Iterator[Sit]:
    """Starts a command line on a terminal."""
    with ExitStack() as left:

        def one(*words: str, **options: Any) -> Seat:
            seat = Seat(*words, config=config, **options)
            left.callback(seat.close)
            return seat

        yield one


@pytest.fixture
def client(caller: Operator) -> Iterator[Client]:
    with Client(caller.fleet.url, caller.fleet.credentials.api_key) as made:
        yield made


def running(client: Client) -> list[str]:
    return [each.command for each in client.commands.list(GUEST, state="running")]


def test_a_shell_is_as_on_the_guest_itself(sit: Sit) -> None:
    seat = sit("vm", "shell", GUEST)
    seat.shows(b"# ")
    assert seat.is_raw
    seat.type("tty; stty size; echo $TERM; pwd\r")
    seat.shows(b"/dev/pts/")
    seat.shows(b"31 97\r\nxterm-256color\r\n/root\r\n")
    seat.resize(40, 120)
    seat.type("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.1; done; echo dragg''ed\r")
    seat.shows(b"dragged\r\n")
    seat.type("echo u''p; sleep 600\r")
    seat.shows(b"up\r\n")
    seat.type("\x03")
    seat.type("echo $?-$((6*7))\r")
    seat.shows(b"130-42\r\n")
    seat.type("exit 9\r")
    assert seat.ended() == 9


def test_the_end_of_input_ends_it(sit: Sit, client: Client) -> None:
    seat = sit("vm", "exec", "-it", GUEST, "--", "sh", "-c", "echo up; cat; echo code $?; exit 4")
    seat.shows(b"up\r\n")
    seat.type("a line\r")
    seat.shows(b"a line\r\na line\r\n")
    seat.type("\x04")
    seat.shows(b"code 0\r\n")
    assert seat.ended() == 4
    assert running(client) == [], "nothing of it is left in the guest"


def test_what_hangs_on_a_broken_connection_goes_on(sit: Sit, caller: Operator) -> None:
    seat = sit("vm", "exec", "-it", GUEST, "sh")
    seat.shows(b"# ")
    host = caller.call("GET", f"/vms/{GUEST}")["host"]
    caller.fleet.kill(host)
    caller.fleet.restart(host)
    seat.type("echo after-$((1+1))-agent\r")
    seat.shows(b"after-2-agent\r\n")
    caller.fleet.restart("api")
    seat.type("echo after-$((2+2))-api\r")
    seat.shows(b"after-4-api\r\n")
    seat.type("exit 5\r")
    assert seat.ended() == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_told_to_end_leaves_the_terminal_as_it_was(sit: Sit, client: Client, number: int) -> None:
    seat = sit("vm", "exec", "-it", GUEST, "echo up; sleep 600")
    seat.shows(b"up\r\n")
    seat.process.send_signal(number)
    assert seat.ended() == 128 + number
    until(lambda: running(client) == [], why=lambda: running(client))


def test_one_leaves_and_comes_back(sit: Sit, client: Client) -> None:
    seat = sit("vm", "exec", "-it", GUEST, "sh")
    seat.shows(b"# ")
    seat.type("\x1d\x1d\x1d")
    assert seat.ended() == 0
    seat.shows(b"corral vm execs follow")
    (left,) = client.commands.list(GUEST, state="running")
    assert left.tty
    again = sit("vm", "execs", "follow", GUEST, left.id)
    again.shows(b"# ")
    again.type("stty size; exit 6\r")
    again.shows(b"31 97\r\n")
    assert again.ended() == 6


def test_a_guest_that_is_restarted_ends_it(sit: Sit, caller: Operator) -> None:
    seat = sit("vm", "exec", "-it", GUEST, "echo up; sleep 600")
    seat.shows(b"up\r\n")
    caller.call("POST", f"/vms/{GUEST}/stop", {"force": True})
    assert seat.ended() == 125
    seat.shows(b"was lost: its guest was restarted")
    off = sit("vm", "shell", GUEST)
    assert off.ended() == 125
    off.shows(b"start it first")
    caller.call("POST", f"/vms/{GUEST}/start")


def test_a_guest_without_what_it_takes_says_so(sit: Sit, caller: Operator) -> None:
    caller.run("mv /usr/bin/script /usr/bin/script.away")
    try:
        seat = sit("vm", "shell", GUEST)
        assert seat.ended() == 125
        seat.shows(b"it lacks `script` of util-linux")
    finally:
        caller.run("mv /usr/bin/script.away /usr/bin/script")


def test_a_vm_that_is_not_there(sit: Sit) -> None:
    seat = sit("vm", "shell", "none")
    assert seat.ended() == 3


def test_without_a_terminal_it_is_refused(config: Path) -> None:
    words = [
        sys.executable,
        "-c",
        "from cli.main import main; main(prog_name='corral')",
        "vm",
        "exec",
        "-it",
        FAKE,
        "sh",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2, json.dumps(done.stderr)
    assert "a terminal is needed" in done.stderr
    assert config.exists()
