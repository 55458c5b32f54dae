"""What the command line reaches: each operation of the microvm document has a command of its own."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cli.lazy import LazyGroup
from cli.main import main

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "docs" / "openapi" / "microvm.json").read_text())
VERBS = ("get", "post", "put", "delete", "patch")

COMMANDS = {
    "POST /auth/login": "login",
    "POST /auth/register": "user register",
    "POST /auth/password": "user password",
    "GET /users": "user list",
    "POST /users/{}/disable": "user disable",
    "POST /users/{}/enable": "user enable",
    "POST /users/{}/revoke-tokens": "user revoke-tokens",
    "GET /health": "health",
    "GET /hosts": "host list",
    "GET /hosts/{}": "host show",
    "PATCH /hosts/{}": "host label",
    "DELETE /hosts/{}": "host remove",
    "POST /hosts/{}/cordon": "host cordon",
    "POST /hosts/{}/uncordon": "host uncordon",
    "POST /hosts/{}/fence": "host fence",
    "POST /hosts/{}/rotate": "host rotate",
    "POST /hosts/{}/drain": "host drain",
    "POST /images/{}/prefetch": "image prefetch",
    "POST /hosts/{}/activate": "host activate",
    "GET /hosts/{}/orphans": "host orphans",
    "DELETE /hosts/{}/orphans/{}": "host remove-orphan",
    "POST /hosts/{}/orphans/{}/adopt": "host adopt-orphan",
    "GET /join-tokens": "host tokens",
    "POST /join-tokens": "host add",
    "GET /join-tokens/{}": "host add",  # which waits for it
    "DELETE /join-tokens/{}": "host revoke-token",
    "POST /join/release": "host add",  # the script of its other line
    "POST /join": "host add",  # the line that it prints, by `corral-agent join`
    "GET /image-contents/{}": "vm create",  # whose host gets its image there
    "GET /image-contents/{}/{}": "vm create",
    "POST /placements": "placement explain",
    "GET /images": "image list",
    "POST /images": "image upload",
    "DELETE /images/{}": "image delete",
    "GET /images/{}": "image show",
    "GET /keys": "key list",
    "POST /keys": "key create",
    "DELETE /keys/{}": "key revoke",
    "GET /media": "media list",
    "GET /media/{}": "media show",
    "DELETE /media/{}": "media delete",
    "GET /networks": "network",
    "GET /operations": "op list",
    "DELETE /operations/{}": "op cancel",
    "GET /operations/{}": "op show",
    "GET /operations/{}/wait": "op wait",
    "GET /security/audit-logs": "audit list",
    "POST /security/scan": "scan begin",
    "GET /security/scans": "scan list",
    "GET /security/scans/{}": "scan show",
    "GET /status": "status",
    "GET /webhooks": "webhook list",
    "POST /webhooks": "webhook create",
    "GET /webhooks/{}": "webhook show",
    "PATCH /webhooks/{}": "webhook update",
    "DELETE /webhooks/{}": "webhook delete",
    "POST /webhooks/{}/secret": "webhook rotate",
    "POST /webhooks/{}/test": "webhook test",
    "GET /webhooks/{}/deliveries": "webhook deliveries",
    "POST /webhooks/{}/deliveries/{}/resend": "webhook resend",
    "GET /system/info": "host info",
    "GET /system/metrics": "host metrics",
    "GET /vms": "vm list",
    "GET /vm-list": "vm list",
    "POST /vms": "vm create",
    "GET /vms/{}/disks": "vm disk list",
    "POST /vms/{}/disks": "vm disk attach",
    "DELETE /vms/{}/disks/{}/{}/{}": "vm disk detach",
    "GET /vms/{}/network-adapters": "vm nic list",
    "PUT /vms/{}/network-adapters/{}": "vm nic set",
    "DELETE /vms/{}": "vm delete",
    "GET /vms/{}": "vm show",
    "GET /vms/{}/execs": "vm execs list",
    "POST /vms/{}/execs": "vm exec",
    "DELETE /vms/{}/execs/{}": "vm execs forget",
    "GET /vms/{}/execs/{}": "vm execs show",
    "POST /vms/{}/execs/{}/kill": "vm execs kill",
    "GET /vms/{}/execs/{}/output": "vm execs follow",
    "GET /vms/{}/execs/{}/wait": "vm execs wait",
    "POST /vms/{}/execute": "vm exec",
    "PUT /vms/{}/expiry": "vm ttl",
    "GET /vms/{}/files": "vm files",
    "GET /vms/{}/files/download": "vm cp",
    "POST /vms/{}/files/upload": "vm cp",
    "PUT /vms/{}/guest-credentials": "vm guest-credentials",
    "GET /vms/{}/metrics": "vm metrics",
    "GET /vms/{}/network": "vm network",
    "POST /vms/{}/network/port-forward": "vm forward add",
    "GET /vms/{}/network/port-forwards": "vm forward list",
    "DELETE /vms/{}/network/port-forwards/{}": "vm forward remove",
    "POST /vms/{}/move": "vm move",
    "GET /moves/{}/{}": "vm move",  # its target gets its files there
    "POST /vms/{}/pause": "vm pause",
    "PUT /vms/{}/resources": "vm resize",
    "POST /vms/{}/restart": "vm restart",
    "POST /vms/{}/resume": "vm resume",
    "POST /vms/{}/save": "vm save",
    "GET /vms/{}/snapshots": "vm snapshot list",
    "POST /vms/{}/snapshots": "vm snapshot create",
    "DELETE /vms/{}/snapshots/{}": "vm snapshot delete",
    "POST /vms/{}/snapshots/{}/restore": "vm snapshot restore",
    "POST /vms/{}/start": "vm start",
    "POST /vms/{}/stop": "vm stop",
}


def _documented() -> set[str]:
    found = set()
    for path, verbs in DOCUMENT["paths"].items():
        short = "/".join("{}" if part.startswith("{") else part for part in path.removeprefix("/api/v1").split("/"))
        found |= {f"{verb.upper()} {short}" for verb in verbs if verb in VERBS}
    return found


def _command(words: str) -> click.Command | None:
    found: click.Command | None = main
    for word in words.split():
        if not isinstance(found, click.Group):
            return None
        found = found.get_command(click.Context(found), word)
    return found


def test_every_operation_has_a_command() -> None:
    assert _documented() == COMMANDS.keys()


@pytest.mark.parametrize("words", sorted(set(COMMANDS.values())))
def test_the_command_is_there_and_helps(words: str) -> None:
    command = _command(words)
    assert command is not None
    assert command.help


def _groups(group: click.Group) -> list[click.Group]:
    inner = [group.get_command(click.Context(group), name) for name in group.list_commands(click.Context(group))]
    return [group, *(each for found in inner if isinstance(found, click.Group) for each in _groups(found))]


def test_what_is_imported_late_is_there() -> None:
    for group in _groups(main):
        if isinstance(group, LazyGroup):
            for name, place in group.places.items():
                command = group.get_command(click.Context(group), name)
                assert command is not None, place.where
                assert command.name == name


def test_help_imports_little() -> None:
    """A command line is quick when it loads nothing that its help does not need."""
    code = "import sys; from cli.main import main; print(sorted(sys.modules))"
    loaded = ast.literal_eval(
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    )
    assert not {"rich", "httpx2", "sqlalchemy", "flask", "celery", "websockets"} & set(loaded)
