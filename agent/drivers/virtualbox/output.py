"""Reads what VBoxManage prints: `--machinereadable` lines, and the long lists that have no such form."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ENTRY = re.compile(r'(?P<key>"(?:[^"\\]|\\.)*"|[^"=\s][^"=]*)=(?P<value>.*)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ITEM = re.compile(r"(?P<name>[A-Z][A-Za-z ]*):\s+(?P<value>.*)")
_ADAPTER = re.compile(r"nic(\d+)")
_SHORT = re.compile(r"^\".*\" \{([0-9a-f-]{36})\}\r?$", re.MULTILINE)
_STATE = re.compile(r"(?P<state>.+?) \(since (?P<since>[^)]*)\)")


@dataclass(frozen=True)
class ListedVm:
    """A VM as `list -l` shows it. `state` in VirtualBox's long words; None for one whose settings can't be read."""

    uuid: str
    state: str | None
    since: str
    vcpus: int = 0
    memory_mb: int = 0


def parse(text: str) -> dict[str, str]:
    """Keys and values of `--machinereadable` output; of a key that comes twice the first.

    A value in quotes has its quotes and backslashes escaped and may hold line breaks as they are. Some values
    (names of networks) come with quotes in them that are not escaped. Lines of any other form are passed over.
    A port forward does not say which adapter it is of, and comes after that: `Forwarding1(0)` is the first of nic1.
    """
    found: dict[str, str] = {}
    adapter = ""
    lines = iter(text.split("\n"))
    for line in lines:
        entry = _ENTRY.fullmatch(line.removesuffix("\r"))
        if entry is None:
            continue
        value = entry["value"]
        if value.startswith('"'):
            while not _closed(value) and (more := next(lines, None)) is not None:
                value += "\n" + more.removesuffix("\r")
            value = _ESCAPED.sub(r"\1", value[1:].removesuffix('"'))
        key = _ESCAPED.sub(r"\1", entry["key"][1:-1]) if entry["key"].startswith('"') else entry["key"]
        if number := _ADAPTER.fullmatch(key):
            adapter = number[1]
        found.setdefault(key.replace("Forwarding(", f"Forwarding{adapter}("), value)
    return found


def parse_list(text: str) -> list[ListedVm]:
    """The VMs of `list -l vms` or `list -l runningvms`. Nothing in these lists is a guest's own word."""
    blocks: list[dict[str, str]] = []
    for line in text.splitlines():
        item = _ITEM.fullmatch(line.rstrip())
        if item is None:
            continue
        if item["name"] == "Name":
            blocks.append({})
        if blocks:
            blocks[-1].setdefault(item["name"], item["value"])
    return [_listed(block) for block in blocks if "UUID" in block]


def parse_short(text: str) -> list[str]:
    """The UUIDs of `list vms`: `"name" {uuid}` a line, where only a UUID can be within the last braces."""
    return _SHORT.findall(text)


def parse_item(text: str) -> dict[str, str]:
    """One thing as `showmediuminfo` shows it, "Name:  value" a line."""
    items = (_ITEM.fullmatch(line.rstrip()) for line in text.splitlines())
    return {item["name"]: item["value"] for item in items if item}


def parse_items(text: str) -> list[dict[str, str]]:
    """Several such things, with an empty line between."""
    return [item for part in re.split(r"\n\s*\n", text) if (item := parse_item(part))]


def _closed(value: str) -> bool:
    """Whether the quote that opens a value is closed at its end."""
    backslashes = len(value) - 1 - len(value[:-1].rstrip("\\"))
    return len(value) > 1 and value.endswith('"') and backslashes % 2 == 0


def _listed(block: dict[str, str]) -> ListedVm:
    state = _STATE.fullmatch(block.get("State", ""))
    if state is None:
        return ListedVm(block["UUID"], block.get("State"), "")
    vcpus, memory_mb = (_number(block.get(name)) for name in ("Number of CPUs", "Memory size"))
    return ListedVm(block["UUID"], state["state"], state["since"], vcpus, memory_mb)


def _number(text: str | None) -> int:
    digits = re.match(r"\d+", text or "")
    return int(digits[0]) if digits else 0
