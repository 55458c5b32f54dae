"""`corral demo`: the main job on a real VM, each step seen to work."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from simple_websocket import Client as Socket
from simple_websocket import ConnectionClosed

from cli.client import Client
from cli.fleet.fleet import Fleet
from cli.fleet.plan import Plan
from cli.fleet.processes import StartFailed
from cli.screen import Screen
from core import settings
from core.contract.errors import CorralError, NotFound

_VM = "demo"
_WANTED = {"name": _VM, "vcpus": 1, "memory_mb": 512, "storage_config": {"disk_size_gb": 3}}
_SCRIPT = "for n in 1 2 3; do echo line $n; done; echo to stderr >&2; exit 3"


@click.command()
@click.option("--hypervisor", default="qemu", show_default=True, help="Which driver to show.")
def demo(hypervisor: str) -> None:
    """Show a VM's life, from its creation to its end, on a fleet that is gone afterwards."""
    began = time.monotonic()
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="corral-demo-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's own user passes through
        plan = Plan(home=Path(folder) / "home", images=settings.load().images, hypervisors=(hypervisor,))
        fleet = Fleet(plan, say=screen.detail)
        with screen.step("Start a fleet: PostgreSQL, Redis, API, worker, two agents, Flower"):
            _start(fleet)
        try:
            _show(fleet, screen)
        finally:
            with screen.step("Stop the fleet"):
                fleet.stop()
    screen.line(f"All of it was seen to work, in {time.monotonic() - began:.0f} s. Now try: make up")


def _start(fleet: Fleet) -> None:
    try:
        fleet.start()
    except StartFailed as error:
        raise CorralError(str(error)) from error


def _show(fleet: Fleet, screen: Screen) -> None:
    client = Client(fleet.url, fleet.credentials.username, fleet.credentials.password)
    with _events(client, screen) as heard:
        try:
            _life(client, screen)
            with screen.step("Every step was heard of on the WebSocket"):
                _heard_all(heard)
        except BaseException:
            _remove(client)
            raise


def _life(client: Client, screen: Screen) -> None:
    def change(what: str, method: str, path: str, body: object = None) -> Any:
        with screen.step(what):
            return client.follow(method, path, body, screen.detail)

    change("Create a VM", "POST", "/vms", _WANTED)
    _check(client.request("GET", f"/vms/{_VM}")["status"] == "created", "the new VM is not 'created'")
    change("Start it, until its guest can be used", "POST", f"/vms/{_VM}/start")
    _check(client.request("GET", f"/vms/{_VM}")["status"] == "running", "the started VM is not 'running'")
    with screen.step("Run uname -a in it"):
        screen.detail(_run(client, "uname -a")["stdout"].strip())
    with screen.step("Run a small script in it"):
        done = _run(client, _SCRIPT, exit_code=3)
        _check(done["stdout"] == "line 1\nline 2\nline 3\n", f"unexpected output {done['stdout']!r}")
        _check(done["stderr"] == "to stderr\n", f"unexpected error output {done['stderr']!r}")
        screen.detail("three lines on stdout, one on stderr, exit code 3")
    _run(client, "echo precious > /root/file && sync")
    change("Take a snapshot, memory and all", "POST", f"/vms/{_VM}/snapshots", {"name": "good", "include_memory": True})
    with screen.step("Break the file"):
        _run(client, "echo broken > /root/file && sync")
        screen.detail(f"/root/file: {_run(client, 'cat /root/file')['stdout'].strip()}")
    change("Restore the snapshot", "POST", f"/vms/{_VM}/snapshots/good/restore")
    with screen.step("See the file back"):
        content = _run(client, "cat /root/file")["stdout"].strip()
        _check(content == "precious", f"/root/file holds {content!r}")
        screen.detail(f"/root/file: {content}")
    change("Stop it", "POST", f"/vms/{_VM}/stop")
    _check(client.request("GET", f"/vms/{_VM}")["status"] == "stopped", "the stopped VM is not 'stopped'")
    change("Delete it", "DELETE", f"/vms/{_VM}")
    _check(client.request("GET", "/vms")["total"] == 0, "the deleted VM is still listed")


def _run(client: Client, command: str, exit_code: int = 0) -> Any:
    done = client.request("POST", f"/vms/{_VM}/execute", {"command": command})
    _check(done["exit_code"] == exit_code, f"{command!r} ended with {done['exit_code']}: {done['stderr']}")
    return done


def _check(true: bool, otherwise: str) -> None:
    if not true:
        raise CorralError(otherwise)


@contextmanager
def _events(client: Client, screen: Screen) -> Iterator[list[dict[str, Any]]]:
    """What is heard on /system/events meanwhile, shown as it arrives."""
    heard: list[dict[str, Any]] = []
    socket = Socket(client.url.replace("http", "ws", 1) + "/api/v1/system/events", headers=client.authorization)

    def listen() -> None:
        try:
            while True:
                event = json.loads(socket.receive())
                heard.append(event)
                if (text := _in_words(event)) is not None:
                    screen.event(text)
        except ConnectionClosed:
            return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield heard
    finally:
        try:
            socket.close()
        except ConnectionClosed:
            pass
        listener.join(5)


def _in_words(event: dict[str, Any]) -> str | None:
    data = event["data"]
    if event["event_type"] == "status_change":
        return f"{event.get('vm_name', _VM)}: {data['old_status']} → {data['new_status']}"
    return event["event_type"].replace("_", " ") if event["event_type"].startswith("vm_") else None


def _heard_all(heard: list[dict[str, Any]]) -> None:
    def missing() -> set[str]:
        seen = {event["event_type"] for event in heard}
        seen |= {event["data"].get("new_status", "") for event in heard}
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
    _check(not missing(), f"no event told of {', '.join(sorted(missing()))}")


def _wait(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)


def _remove(client: Client) -> None:
    """After a failure: no VM may outlive the demo."""
    try:
        client.follow("DELETE", f"/vms/{_VM}", None, lambda _: None)
    except NotFound:
        return
    except CorralError as error:
        click.echo(f"the demo's VM may be left over: {error.message}", err=True)
