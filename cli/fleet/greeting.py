"""The text that `corral up` shows when everything answers: addresses, and lines to paste."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from cli.fleet import credentials
from cli.fleet.fleet import Fleet

_TEXT = """\

Corral is ready: {agents} running. Ctrl-C stops it.

  web page     {url}/
  API          {url}/api/v1
API docs     {url}/docs/microvm
               {url}/docs/vboxmcp
  Flower       {flower}
  Prometheus   {url}/metrics, with the metrics_token of the credentials
               {metrics}
  credentials  {credentials}
  logs         {logs}

In another terminal, try:

  {corral} login --local
  {corral} vm create web{option} --start
  {corral} vm exec web uname -a

Or with curl. Paste into another terminal, beginning with these two lines:

  field() {{ sed -n "s/.*\\"$1\\": *\\"\\([^\\"]*\\)\\".*/\\1/p"; }}
  API={url}/api/v1 KEYS={credentials}

Then, in the microvm dialect, create, start and use a VM:

  TOKEN=$(curl -s $API/auth/login -H 'Content-Type: application/json' -d "{{\\"username\\": \\"{username}\\", \
\\"password\\": \\"$(field password < $KEYS)\\"}}" | field access_token)
  curl -s $API/vms -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{{"name": "web", \
"os_type": "linux", "vcpus": 1, "memory_mb": 512, "template": "linux-default"{hypervisor}}}'
  curl -s -X POST $API/vms/web/start -H "Authorization: Bearer $TOKEN"
  curl -s $API/vms/web/execute -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
-d '{{"command": "uname -a"}}'

Or in the vboxmcp dialect, for the same VMs:

  KEY=$(field api_key < $KEYS)
  curl -s $API/vms -H "X-API-Key: $KEY"
  curl -s $API/vms -H "X-API-Key: $KEY" -H 'Content-Type: application/json' -d '{{"name": "db", \
"os_type": "Ubuntu_64", "memory_mb": 512, "cpus": 1, "storage_gb": 4{hypervisor}}}'
  curl -s -X POST $API/vms/db/start -H "X-API-Key: $KEY"
"""


def text(fleet: Fleet) -> str:
    """All of it. The dialects choose the hypervisor themselves, but for a fleet that has no real one."""
    names = fleet.plan.host_names
    first = fleet.plan.hypervisors[0]
    return _TEXT.format(
        agents=", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else ""),
        url=fleet.url,
        flower=fleet.flower_url or "(not started)",
        metrics=_metrics(fleet),
        credentials=shlex.quote(str(_short(credentials.path(fleet.home)))),
        logs=_short(fleet.home / "logs"),
        username=fleet.credentials.username,
        corral=_short(Path(sys.prefix) / "bin" / "corral"),
        option="" if first == "qemu" else f" --hypervisor {first}",
        hypervisor="" if first == "qemu" else f', "hypervisor": "{first}"',
    )


def _metrics(fleet: Fleet) -> str:
    """Where the worker's and the agents' figures are."""
    first, *others = fleet.plan.metrics_ports.values()
    if not first:
        return "(CORRAL_METRICS_PORT=9100 gives the worker and the agents theirs)"
    return f"the worker's at port {first}, the agents' from {others[0]} to {others[-1]}" if others else f"port {first}"


def _short(path: Path) -> Path:
    """Relative to where we stand, when it lies there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
