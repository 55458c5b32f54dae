"""`corral vm console` and `logs`: a VM's serial line, on a terminal."""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli.remote.session import Session, fleet_command
from cli.remote.vms import VM

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

_LEAVE = b"\x1d"  # Ctrl-]
_RESTARTING = (1012, 1013)
_QUIET_SECONDS = 1.0


@click.command()
@VM
@click.option("--read-only", is_flag=True, help="Watch only, without typing.")
@fleet_command
def console(session: Session, vm: str, read_only: bool) -> None:
    """Open a VM's serial console; Ctrl-] leaves it.

    The last output is shown first. The console stays open through restarts of the VM and of the API.
    """
    from websockets import ConnectionClosed

    if not sys.stdin.isatty() and not read_only:
        raise click.UsageError("a console needs a terminal; `corral vm logs --follow` only reads")
    session.tell(f"Connected to VM '{vm}'. Ctrl-] leaves.")
    replay = True
    with raw(wanted=not read_only):
        while True:
            with session.client.console(vm, read_only=read_only, replay=replay) as line:
                try:
                    if _sit(line, read_only=read_only):
                        return
                except ConnectionClosed as closed:
                    if closed.rcvd is None or closed.rcvd.code not in _RESTARTING:
                        session.tell(
                            f"\r\nThe console ended: {closed.rcvd.reason if closed.rcvd else 'the connection broke'}\r"
                        )
                        return
            replay = False


@click.command()
@VM
@click.option("--follow", "-f", is_flag=True, help="Keep showing new output; Ctrl-C ends it.")
@fleet_command
def logs(session: Session, vm: str, follow: bool) -> None:
    """Show the last 64 KiB of output of a VM's serial console."""
    from websockets import ConnectionClosed

    try:
        with session.client.console(vm, read_only=True) as line:
            while True:
                try:
                    _show(line.recv(timeout=None if follow else _QUIET_SECONDS))
                except (TimeoutError, ConnectionClosed):
                    return
    except KeyboardInterrupt:
        return


def _sit(line: ClientConnection, *, read_only: bool) -> bool:
    """Pass keys and output on; True when the person leaves."""
    wake, woken = os.pipe()
    ended: list[BaseException] = []

    def show() -> None:
        try:
            for message in line:
                _show(message)
            line.recv()  # raises how it closed
        except BaseException as error:  # noqa: BLE001 -- handed to the thread that waits
            ended.append(error)
        finally:
            os.write(woken, b"x")

    reader = threading.Thread(target=show, daemon=True)
    reader.start()
    try:
        while True:
            ready, _, _ = select.select([wake, sys.stdin], [], [])
            if wake in ready:
                raise ended[0]
            keys = os.read(sys.stdin.fileno(), 1024)
            if not keys or _LEAVE in keys:
                return True
            if not read_only:
                line.send(keys)
    finally:
        line.close()
        reader.join(5)
        os.close(wake)
        os.close(woken)


def _show(message: str | bytes) -> None:
    if isinstance(message, bytes):  # text is about the connection
        sys.stdout.buffer.write(message)
        sys.stdout.buffer.flush()


@contextmanager
def raw(*, wanted: bool) -> Iterator[None]:
    """The terminal passes each key on, as it is; as before afterwards."""
    if not wanted or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        click.echo(err=True)
