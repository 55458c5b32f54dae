"""A command's terminal in a guest, on the terminal that this runs on.

All keys go to the guest, Ctrl-C and Ctrl-D too. While the connection is broken, Ctrl-C leaves; else three times Ctrl-].
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from cli.remote.consoles import raw
from cli.remote.session import NO_EXIT_CODE, Session, exit_code

if TYPE_CHECKING:
    from corral._sync.terminals import Terminal
    from corral.models import Execution

_LEAVE, _TIMES, _INTERRUPT = b"\x1d", 3, b"\x03"
_WAIT_SECONDS = 0.1
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


def is_one() -> bool:
    """Whether this runs on a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def opened(
    session: Session,
    vm: str,
    command: str,
    *,
    environment: dict[str, str],
    timeout: int | None = None,
    working_directory: str | None = None,
) -> NoReturn:
    """Begin the command on a terminal, sit at it, and leave with its exit code."""
    from corral.errors import CorralError

    if not is_one():
        raise click.UsageError("a terminal is needed, and standard input or output is none: leave out -t")
    try:
        begun = session.client.commands.begin(
            vm,
            command,
            timeout=timeout,
            environment={"TERM": os.environ.get("TERM", "xterm")} | environment,
            working_directory=working_directory,
            tty=_size(),
        )
    except CorralError as error:
        if exit_code(error) in (3, 4):
            raise
        session.tell(f"Error: {error.message}")
        sys.exit(NO_EXIT_CODE)
    attached(session, vm, begun, own=True)


def attached(session: Session, vm: str, execution: Execution, *, own: bool = False) -> NoReturn:
    """Sit at the terminal of a command until it ends or one leaves; `own`: it ends with this program."""
    from corral.errors import CorralError

    seat = _Seat(session, vm, execution, own=own)
    try:
        with seat.taken():
            seat.sit()
    except CorralError as error:
        session.tell(f"Error: {error.message}\nThe command goes on: corral vm execs follow {vm} {execution.id}")
        sys.exit(NO_EXIT_CODE)
    for each in seat.terminal.refused[-3:]:
        session.tell(f"Warning: {each}")
    if seat.terminal.state == "running":
        session.tell(f"The command goes on: corral vm execs follow {vm} {execution.id}")
        sys.exit(0)
    with suppress(CorralError):
        session.client.commands.forget(vm, execution.id)
    leave(session, seat.terminal.state, seat.terminal.exit_code)


def leave(session: Session, state: str, code: int | None) -> NoReturn:
    """Exit as a command in a guest has ended."""
    if state in ("timed_out", "lost"):
        why = "did not end in time and was killed" if state == "timed_out" else "was lost: its guest was restarted"
        session.tell(f"Error: the command {why}")
        sys.exit(NO_EXIT_CODE)
    sys.exit(code if code is not None else NO_EXIT_CODE)


class _Seat:
    """Who sits at a terminal: keys go there, and what it shows comes here."""

    def __init__(self, session: Session, vm: str, execution: Execution, *, own: bool) -> None:
        self._session, self._vm, self._id, self._own = session, vm, execution.id, own
        self._wake, self._woken = os.pipe()
        self._ended: list[BaseException | None] = []
        self._pressed = 0
        self.terminal: Terminal

    @contextmanager
    def taken(self) -> Iterator[None]:
        """This terminal is raw meanwhile, and whatever happens as before afterwards."""
        before = {each: signal.signal(each, self._stopped) for each in _ENDINGS}
        before[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._resized)
        try:
            with raw(wanted=True), self._session.client.commands.terminal(self._vm, self._id) as self.terminal:
                yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
            os.close(self._wake)
            os.close(self._woken)

    def sit(self) -> None:
        """Until the command has ended, or the person leaves."""
        reader = threading.Thread(target=self._show, name="terminal", daemon=True)
        self.terminal.resize(*_size())
        reader.start()
        try:
            while not self._ended:
                ready, _, _ = select.select([self._wake, sys.stdin], [], [])
                if self._wake in ready and os.read(self._wake, 1) == b"w":
                    self.terminal.resize(*_size())
                if sys.stdin in ready and not self._typed(os.read(sys.stdin.fileno(), 4096)):
                    return
        finally:
            self.terminal.close()
            reader.join(5)
        if (error := self._ended[0]) is not None:
            raise error

    def _typed(self, keys: bytes) -> bool:
        """Passes keys on, once there is a connection; False when the person leaves."""
        from corral.errors import Unreachable

        self._pressed = self._pressed + len(keys) if keys.strip(_LEAVE) == b"" else 0
        if not keys or self._pressed >= _TIMES:
            return False
        while not self._ended:
            try:
                self.terminal.type(keys)
                return True
            except Unreachable:
                if select.select([sys.stdin], [], [], _WAIT_SECONDS)[0]:
                    more = os.read(sys.stdin.fileno(), 4096)
                    if not more or _INTERRUPT in more:
                        return False
                    keys += more
        return True

    def _show(self) -> None:
        error: BaseException | None = None
        try:
            for data in self.terminal:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
        except BaseException as caught:  # noqa: BLE001 -- handed to the thread that waits
            error = caught
        self._ended.append(error)
        with suppress(OSError):
            os.write(self._woken, b"e")

    def _resized(self, _signal: int, _frame: FrameType | None) -> None:
        os.write(self._woken, b"w")

    def _stopped(self, number: int, _frame: FrameType | None) -> None:
        """Told to end, such as by a window that is closed: the command is told so, as on any terminal."""
        from corral.errors import CorralError

        if self._own:
            with suppress(CorralError):
                self._session.client.commands.kill(self._vm, self._id, "HUP")
        sys.exit(128 + number)


def _size() -> tuple[int, int]:
    """Rows and columns; a terminal without any, such as a serial line, is given the usual."""
    columns, rows = os.get_terminal_size(sys.stdin.fileno())
    return rows or 24, columns or 80
