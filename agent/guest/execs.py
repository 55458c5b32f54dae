"""Executions in a guest: begun, listed, read, signalled, deleted. Only the guest knows their state."""

from __future__ import annotations

import logging
import math
import re
import secrets
import time
from pathlib import Path
from typing import Any

from agent.drivers.capabilities.execs import KEPT_BYTES, MOST_KEPT, MOST_RUNNING, Detached, ExecOutput, GuestExec
from agent.guest import command_locks, commands, exec_supervisor, killing, qga, reading, script, terminal_script
from agent.guest.exec_store import ExecStore, StoredExec
from core.contract.bounds import MOST_EXIT_CODE
from core.contract.errors import DriverFailure, GuestTimeout

log = logging.getLogger(__name__)
ID = re.compile(r"[0-9a-f-]{1,64}")
START_SECONDS = 15.0
BIRTH_SECONDS = 60.0  # within which the supervisor has noted its number, however busy the guest
END_SECONDS = 5.0
LOOK_SECONDS = 0.05
SIGNALS = {"HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "TERM": 15}


def begin(channel: Path, wanted: Detached) -> GuestExec:
    """Starts it, or finds the one with that id."""
    store = ExecStore(channel)
    if not ID.fullmatch(wanted.id):
        raise DriverFailure(f"'{wanted.id}' is not a valid execution id", code="invalid_request")
    commands.check_texts(wanted.command, wanted.working_directory, wanted.environment)
    if (found := store.find(wanted.id)) is not None:
        return look(channel, found).exec
    if wanted.working_directory is not None and not reading.is_folder(channel, wanted.working_directory):
        raise commands.no_folder(wanted.working_directory)
    if wanted.tty is not None:
        _must_have_terminals(channel)
    _make_room(channel, store)
    entry = StoredExec(_new(wanted), command_locks.next_number(channel, 2), secrets.token_hex(16))
    store.add(entry)
    try:
        _start(channel, entry, wanted)
    except (qga.AgentRefused, qga.AgentForbids):
        store.remove(wanted.id)
        raise
    except GuestTimeout:
        # It may still begin, once the agent goes on: nobody knows its id, so the next sweep ends it (killing.sweep).
        with command_locks.claim(channel, entry.number, entry.token):
            store.remove(wanted.id)
        raise
    commands.make_ahead(channel, entry.number, 2)
    return entry.exec


def look(channel: Path, entry: StoredExec) -> StoredExec:
    """The command as it is now; what was seen to end stays as it ended."""
    if not entry.is_running:
        return entry
    exit_file = f"{exec_supervisor.FOLDER}/{entry.exec.id}.exit"
    told = reading.small(channel, exit_file)
    if told is None and _is_kept(channel, entry):
        return entry
    if told is None:
        told = reading.small(channel, exit_file)  # it may have ended between the two looks
    if not told:
        killing.kill(channel, entry.number, entry.token)  # it may have survived what ended its supervisor
        return lose(channel, entry)
    return _ended(channel, entry, told.decode(errors="replace").split())


def lose(channel: Path, entry: StoredExec) -> StoredExec:
    """Notes that a guest's restart, or something in the guest, has ended it in a way that nobody saw."""
    return ExecStore(channel).change(entry, state="lost", ended_at=time.time())


def output(channel: Path, entry: StoredExec, stream: str, offset: int, limit: int) -> ExecOutput:
    """What it wrote; see `ExecsCapability`."""
    path = f"{exec_supervisor.FOLDER}/{entry.exec.id}.{exec_supervisor.SUFFIX[stream]}"
    found = reading.part(channel, path, offset, limit)
    if entry.is_running and not (found and found.data):
        entry = look(channel, entry)
        found = reading.part(channel, path, offset, limit)  # what it wrote before it was looked at
    if found is None:
        return ExecOutput(b"", offset, ended=not entry.is_running)
    if found.size > KEPT_BYTES:
        # Where the kept part begins is noted before the older part is cut off, and read after what was read of that.
        with qga.understood():
            begins_at = min(int(reading.small(channel, f"{path}.from") or b"0"), found.size)
        if offset < begins_at:
            offset, found = begins_at, reading.part(channel, path, begins_at, limit) or reading.GuestFilePart(b"", 0)
    return ExecOutput(found.data, offset, ended=not entry.is_running and offset + len(found.data) >= found.size)


def signal(channel: Path, entry: StoredExec, name: str) -> GuestExec:
    """Sends it to all of the command's processes."""
    entry = look(channel, entry)
    if not entry.is_running:
        return entry.exec
    entry = ExecStore(channel).change(entry, signal=name)
    if name == "KILL":
        return _kill(channel, entry).exec
    killing.run(channel, script.signalling(entry.number, entry.token, name), time.monotonic() + START_SECONDS)
    return look(channel, entry).exec


def forget(channel: Path, entry: StoredExec, *, is_on: bool) -> None:
    """Kills it if need be and removes its files; those of a guest that is off stay there."""
    if is_on:
        signal(channel, entry, "KILL")
        killing.run(channel, exec_supervisor.removing([entry.exec.id]), time.monotonic() + START_SECONDS)
    ExecStore(channel).remove(entry.exec.id)


def end_late(channel: Path, entry: StoredExec) -> None:
    """Kills a command that is past its timeout."""
    entry = look(channel, entry)
    if entry.is_running:
        _kill(channel, ExecStore(channel).change(entry, is_late=True))
        log.info("execution %s in VM %s exceeded its timeout and is killed", entry.exec.id, channel.name)


def _must_have_terminals(channel: Path) -> None:
    if killing.run(channel, terminal_script.PROBE, time.monotonic() + START_SECONDS) != 0:
        raise DriverFailure(
            "the guest can't open terminals: it lacks `script` of util-linux (Debian: bsdutils) or `stty`; install "
            "them, or run the command without a terminal",
            code="no_terminals",
        )


def _new(wanted: Detached) -> GuestExec:
    return GuestExec(
        id=wanted.id,
        command=wanted.command,
        started_at=time.time(),
        name=wanted.name,
        timeout_seconds=wanted.timeout_seconds,
        working_directory=wanted.working_directory,
        tty=wanted.tty is not None,
    )


def _start(channel: Path, entry: StoredExec, wanted: Detached) -> None:
    fixed = commands.ENVIRONMENT | (terminal_script.ENVIRONMENT if wanted.tty else {})
    environment = {**fixed, **(wanted.environment or {}), exec_supervisor.MARK: entry.token}
    more: dict[str, Any] = {} if wanted.stdin is None else {"input-data": qga.data(wanted.stdin)}
    for shell in commands.SHELLS:
        text = exec_supervisor.text(wanted.id, shell, entry.number, entry.token, wanted.working_directory, wanted.tty)
        try:
            qga.ask(
                channel,
                "guest-exec",
                START_SECONDS,
                path=shell,
                arg=["-c", text, "corral", wanted.command],
                env=[f"{name}={value}" for name, value in environment.items()],
                **more,
            )
            return
        except qga.AgentRefused:
            if shell == commands.SHELLS[-1]:
                raise


def _make_room(channel: Path, store: ExecStore) -> None:
    """`DriverFailure` with code "too_many_execs" when that many run; the oldest ended ones are forgotten."""
    entries = store.all()
    if sum(entry.is_running for entry in entries) >= MOST_RUNNING:
        entries = [look(channel, entry) for entry in entries]
    if sum(entry.is_running for entry in entries) >= MOST_RUNNING:
        raise DriverFailure(f"{MOST_RUNNING} executions run in this VM already: end one first", code="too_many_execs")
    old = [entry.exec.id for entry in entries if not entry.is_running][MOST_KEPT - 1 :]
    if old:
        killing.run(channel, exec_supervisor.removing(old), time.monotonic() + START_SECONDS)
    for exec_id in old:
        store.remove(exec_id)


def _is_kept(channel: Path, entry: StoredExec) -> bool:
    """Whether the supervisor is alive: the process that it said it is has its mark."""
    noted = reading.small(channel, f"{exec_supervisor.FOLDER}/{entry.exec.id}.pid")
    if not noted or not noted.strip().isdigit():
        return time.time() - entry.exec.started_at < BIRTH_SECONDS
    environment = reading.small(channel, f"/proc/{int(noted)}/environ", 1024 * 1024)
    return environment is not None and f"{exec_supervisor.MARK}={entry.token}".encode() in environment.split(b"\0")


def _ended(channel: Path, entry: StoredExec, told: list[str]) -> StoredExec:
    """Notes how it ended: the exit code, and after how long where the shell knows that."""
    code, seconds = _exit_code(told), _seconds(told)
    # A guest's clock may be set meanwhile, to anything; and it had ended by now.
    ended_at = min(entry.exec.started_at + max(0.0, seconds), time.time()) if math.isfinite(seconds) else time.time()
    sent = entry.exec.signal
    if entry.is_late and code == 128 + SIGNALS["KILL"]:
        state = "timed_out"
    else:
        state = "killed" if sent is not None and code == 128 + SIGNALS[sent] else "exited"
    return ExecStore(channel).change(entry, state=state, exit_code=code, ended_at=ended_at)


def _exit_code(told: list[str]) -> int | None:
    """None for what the guest made up: root in there may write anything in the supervisor's name."""
    known = bool(told) and told[0].isdecimal() and int(told[0]) <= MOST_EXIT_CODE
    return int(told[0]) if known else None


def _seconds(told: list[str]) -> float:
    """From its beginning to its end; NaN where that is not told."""
    try:
        _, began, ended = told
        return float(ended.replace(",", ".")) - float(began.replace(",", "."))
    except ValueError:
        return math.nan


def _kill(channel: Path, entry: StoredExec) -> StoredExec:
    killing.kill(channel, entry.number, entry.token)
    return _until_ended(channel, entry)


def _until_ended(channel: Path, entry: StoredExec) -> StoredExec:
    """Its supervisor notes its end as soon as the last of its output is kept."""
    deadline = time.monotonic() + END_SECONDS
    while (entry := look(channel, entry)).is_running:
        if time.monotonic() > deadline:
            raise GuestTimeout("the command was killed, but the guest has not noted its end yet")
        time.sleep(LOOK_SECONDS)
    return entry
