"""Guest metrics from the values of any source, each checked against its type.

Around all of these goes `answers.understood`: what can't be, such as a memory of nothing, is the guest's fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from msgspec import to_builtins

from core.contract.measures import FileSystems, GuestCpu, GuestMemory, Traffic
from core.contract.messages import JSON, build


def cpu(busy: int, passed: int) -> JSON:
    """Of the time that has passed, the share in which its processors were busy."""
    share = 100 * min(1.0, max(0.0, busy / passed)) if passed > 0 else 0.0
    return cast(JSON, _of(GuestCpu, {"usage_percent": round(share, 2)}))


def memory(meminfo: str) -> JSON:
    """By the text of /proc/meminfo."""
    lines = (line.partition(":") for line in meminfo.splitlines())
    values = {name: int(rest.split()[0]) for name, _, rest in lines}
    total, available = values["MemTotal"], values["MemAvailable"]
    figures = {
        "total_mb": total // 1024,
        "used_mb": (total - available) // 1024,
        "available_mb": available // 1024,
        "usage_percent": round(100 * (total - available) / total, 2),
    }
    return cast(JSON, _of(GuestMemory, figures))


def file_systems(found: Sequence[JSON]) -> list[JSON]:
    """Those that are mounted."""
    return cast(list[JSON], _of(FileSystems, found))


def traffic(counted: JSON) -> JSON:
    """What its adapters have carried, all together."""
    return cast(JSON, _of(Traffic, {**counted, "source": "guest"}))


def _of(kind: Any, data: Any) -> Any:
    return to_builtins(build(kind, data))
