"""`corral vm exec` and `execs`: commands in guests."""

from __future__ import annotations

import base64
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from cli.remote.output import show_many, show_one
from cli.remote.session import NO_EXIT_CODE, Session, exit_code, fleet_command
from cli.remote.terminals import attached, is_one, leave, opened
from cli.remote.vms import VM

if TYPE_CHECKING:
    from corral.models import Execution

_SHELL = "if [ -x /bin/bash ]; then exec /bin/bash -l; else exec /bin/sh -l; fi"
_COLUMNS = {
    "ID": "id",
    "NAME": "name",
    "STATE": "state",
    "EXIT": "exit_code",
    "STARTED": "started_at",
    "COMMAND": "command",
}


@click.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--timeout", type=click.IntRange(1), metavar="SECONDS", help="Kill the command after that long.")
@click.option("--workdir", "-w", metavar="DIR", help="The folder in the guest to run in.")
@click.option("--env", "-e", metavar="NAME=VALUE", multiple=True, help="An environment variable; repeatable.")
@click.option("--stdin", "-i", is_flag=True, help="Pass on standard input (128 KiB at most).")
@click.option("--tty", "-t", is_flag=True, help="Run it on a terminal, for shells and editors.")
@click.option("--detach", "-d", is_flag=True, help="Leave it running and print its id.")
@VM
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@fleet_command
def exec_(
    session: Session,
    vm: str,
    command: tuple[str, ...],
    timeout: int | None,
    stdin: bool,
    tty: bool,
    detach: bool,
    **where: Any,
) -> None:
    """Run COMMAND in a VM, show its output as it comes, and exit with its exit code.

    One word is a line for the guest's shell; several words are a program and its arguments. Ctrl-C interrupts the
    command in the guest, and a second Ctrl-C kills it. With -it the command has a terminal: all keys go to the guest.
    The exit code is 125 when the guest gives none.
    """
    from corral.errors import CorralError

    command = command[1:] if command[0] == "--" and len(command) > 1 else command
    line = command[0] if len(command) == 1 else shlex.join(command)
    environment, workdir = _environment(where["env"]), where["workdir"]
    if tty:
        if detach:
            raise click.UsageError("--tty and --detach exclude each other: a terminal needs somebody who looks at it")
        opened(session, vm, line, timeout=timeout, environment=environment, working_directory=workdir)
    given = base64.b64encode(sys.stdin.buffer.read()).decode() if stdin else None
    try:
        begun = session.client.commands.begin(
            vm,
            line,
            timeout=timeout,
            stdin=given,
            environment=environment or None,
            working_directory=workdir,
            encoding="base64" if stdin else None,
        )
        if detach:
            click.echo(begun.id)
            return
        ended = _followed(session, vm, begun)
        session.client.commands.forget(vm, begun.id)
    except CorralError as error:
        if exit_code(error) in (3, 4):
            raise
        session.tell(f"Error: {error.message}")
        sys.exit(NO_EXIT_CODE)
    leave(session, ended.state, ended.exit_code)


@click.command()
@click.option("--env", "-e", metavar="NAME=VALUE", multiple=True, help="An environment variable; repeatable.")
@click.option("--workdir", "-w", metavar="DIR", default="/root", show_default=True, help="The folder to begin in.")
@VM
@fleet_command
def shell(session: Session, vm: str, env: tuple[str, ...], workdir: str) -> None:
    """Open a shell in a VM, as root, on a terminal."""
    opened(session, vm, _SHELL, environment=_environment(env), working_directory=workdir)


@click.group()
def execs() -> None:
    """Executions: commands left running in VMs by `vm exec --detach`."""


@execs.command(name="list")
@VM
@click.option("--state", type=click.Choice(["running", "exited", "killed", "timed_out", "lost"]))
@fleet_command
def list_(session: Session, vm: str, state: str | None) -> None:
    """List a VM's executions, newest first."""
    show_many(session, session.client.commands.list(vm, state=state), _COLUMNS, name="id")


@execs.command()
@VM
@click.argument("exec_id")
@fleet_command
def show(session: Session, vm: str, exec_id: str) -> None:
    """Show an execution."""
    show_one(session, session.client.commands.get(vm, exec_id), name="id")


@execs.command()
@VM
@click.argument("exec_id")
@fleet_command
def follow(session: Session, vm: str, exec_id: str) -> None:
    """Show an execution's kept and new output until it ends; exit with its exit code.

    One with a terminal has the keyboard as well, if this is a terminal.
    """
    found = session.client.commands.get(vm, exec_id)
    if found.tty and is_one():
        attached(session, vm, found)
    ended = _followed(session, vm, found)
    sys.exit(ended.exit_code if ended.exit_code is not None else NO_EXIT_CODE)


@execs.command()
@VM
@click.argument("exec_id")
@fleet_command
def wait(session: Session, vm: str, exec_id: str) -> None:
    """Wait until an execution has ended."""
    session.client.commands.wait(vm, exec_id)
    show_one(session, session.client.commands.get(vm, exec_id), name="id")


@execs.command()
@VM
@click.argument("exec_id")
@click.option("--signal", type=click.Choice(["TERM", "KILL", "INT", "HUP", "QUIT", "USR1", "USR2"]), default="KILL")
@fleet_command
def kill(session: Session, vm: str, exec_id: str, signal: str) -> None:
    """Send a signal to all processes of an execution."""
    show_one(session, session.client.commands.kill(vm, exec_id, signal), name="id")


@execs.command()
@VM
@click.argument("exec_id")
@fleet_command
def forget(session: Session, vm: str, exec_id: str) -> None:
    """Kill an execution if it runs, and delete its output."""
    session.client.commands.forget(vm, exec_id)


def _followed(session: Session, vm: str, execution: Execution) -> Execution:
    """Its output on ours, until it ends; Ctrl-C goes to the guest."""
    signal = "INT"
    written = {"stdout": 0, "stderr": 0}
    while True:
        try:
            for part in session.client.commands.output(vm, execution.id, offsets=written):
                out = sys.stdout.buffer if part.stream == "stdout" else sys.stderr.buffer
                if part.lost:
                    session.tell(f"(… {part.lost} bytes of {part.stream} are not kept any more)")
                out.write(part.data)
                out.flush()
            return session.client.commands.get(vm, execution.id)
        except KeyboardInterrupt:
            session.client.commands.kill(vm, execution.id, signal)
            signal = "KILL"


def _environment(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{pair!r} is not NAME=VALUE")
        found[name] = value
    return found
