"""`corral demo`: the main job on a real VM, each step seen to work."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.processes import StartFailed
from cli.screen import Screen
from core import settings
from core.contract.errors import CorralError
from corral import Client, NotFound
from corral import CorralError as Refused
from corral.models import Event, ExecResult, Operation

_VM = "demo"
_SCRIPT = "for n in 1 2 3; do echo line $n; done; echo to stderr >&2; exit 3"


@click.command()
@click.option("--hypervisor", default="qemu", show_default=True, help="The driver to show.")
def demo(hypervisor: str) -> None:
    """Show a VM's whole life, from its creation to its deletion, on a temporary fleet."""
    began = time.monotonic()
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="corral-demo-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's own user passes through
        plan = FleetPlan(home=Path(folder) / "home", images=settings.load().images, hypervisors=(hypervisor,))
        fleet = Fleet(plan, say=screen.detail)
        with screen.step("Start a fleet: PostgreSQL, Redis, API, worker, two agents, Flower"):
            _start(fleet)
        try:
            _show(fleet, screen)
        finally:
            with screen.step("Stop the fleet"):
                fleet.stop()
    screen.line(f"Everything worked, in {time.monotonic() - began:.0f} s. Now try: make up")


def _start(fleet: Fleet) -> None:
    try:
        fleet.start()
    except StartFailed as error:
        raise CorralError(str(error)) from error


def _show(fleet: Fleet, screen: Screen) -> None:
    with Client(fleet.url, fleet.credentials.api_key) as client, _events(client, screen) as heard:
        try:
            _life(client, screen)
            with screen.step("Every step arrived as an event on the WebSocket"):
                _heard_all(heard)
        except Refused as error:
            _remove(client)
            raise CorralError(error.message) from error
        except BaseException:
            _remove(client)
            raise


def _life(client: Client, screen: Screen) -> None:
    def tell(operation: Operation) -> None:
        if operation.is_live:
            screen.detail((operation.progress.step if operation.progress else "") or operation.state)

    def status() -> str:
        return client.vms.get(_VM).status

    with screen.step("Create a VM"):
        client.vms.create(_VM, vcpus=1, memory_mb=512, disk_gb=3, tell=tell)
    _check(status() == "created", "the new VM is not 'created'")
    with screen.step("Start it, and wait until its guest is usable"):
        client.vms.start(_VM, tell=tell)
    _check(status() == "running", "the started VM is not 'running'")
    with screen.step("Run uname -a in it"):
        screen.detail(_run(client, "uname -a").stdout.strip())
    with screen.step("Run a small script in it"):
        done = _run(client, _SCRIPT, exit_code=3)
        _check(done.stdout == "line 1\nline 2\nline 3\n", f"unexpected output {done.stdout!r}")
        _check(done.stderr == "to stderr\n", f"unexpected error output {done.stderr!r}")
        screen.detail("three lines on stdout, one on stderr, exit code 3")
    _run(client, "echo precious > /root/file && sync")
    with screen.step("Take a snapshot, memory and all"):
        client.snapshots.create(_VM, "good", include_memory=True, tell=tell)
    with screen.step("Break the file"):
        _run(client, "echo broken > /root/file && sync")
        screen.detail(f"/root/file: {_run(client, 'cat /root/file').stdout.strip()}")
    with screen.step("Restore the snapshot"):
        client.snapshots.restore(_VM, "good", tell=tell)
    with screen.step("Find the file again"):
        content = _run(client, "cat /root/file").stdout.strip()
        _check(content == "precious", f"/root/file holds {content!r}")
        screen.detail(f"/root/file: {content}")
    with screen.step("Stop it"):
        client.vms.stop(_VM, tell=tell)
    _check(status() == "stopped", "the stopped VM is not 'stopped'")
    with screen.step("Delete it"):
        client.vms.delete(_VM, tell=tell)
    _check(not list(client.vms.list()), "the deleted VM is still listed")


def _run(client: Client, command: str, exit_code: int = 0) -> ExecResult:
    done = client.commands.run(_VM, command)
    _check(done.exit_code == exit_code, f"{command!r} ended with {done.exit_code}: {done.stderr}")
    return done


def _check(true: bool, otherwise: str) -> None:
    if not true:
        raise CorralError(otherwise)


@contextmanager
def _events(client: Client, screen: Screen) -> Iterator[list[Event]]:
    """What happens meanwhile, shown as it is heard. The listener ends with the fleet."""
    heard: list[Event] = []

    def listen() -> None:
        try:
            for event in client.events(after=0):
                heard.append(event)
                if (text := _in_words(event)) is not None:
                    screen.event(text)
        except Refused:
            return

    threading.Thread(target=listen, daemon=True).start()
    yield heard


def _in_words(event: Event) -> str | None:
    if event.event_type == "status_change":
        return f"{event.vm_name or _VM}: {event.data['old_status']} → {event.data['new_status']}"
    return event.event_type.replace("_", " ") if event.event_type.startswith("vm_") else None


def _heard_all(heard: list[Event]) -> None:
    def missing() -> set[str]:
        seen = {event.event_type for event in heard}
        seen |= {event.data.get("new_status", "") for event in heard}
        return {
            "vm_created",
            "starting",
            "running",
            "restoring",
            "stopping",
            "stopped",
            "deleting",
            "vm_deleted",
        } - seen

    _wait(lambda: not missing(), 5)
    _check(not missing(), f"no event arrived of {', '.join(sorted(missing()))}")


def _wait(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)


def _remove(client: Client) -> None:
    """After a failure: no VM may outlive the demo."""
    try:
        client.vms.delete(_VM)
    except NotFound:
        return
    except Refused as error:
        click.echo(f"the demo's VM may be left over: {error.message}", err=True)
