"""What a test needs a reason for: sleeps, clocks, chance, several allowed statuses, skips. docs/testing.md has them."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time"}
_WALL_CLOCKS = {"time", "time_ns"}
_SKIPS = {"skip", "skipif", "importorskip", "xfail"}
_SEEDED = {"Random", "seed"}


def found(folder: Path) -> Counter[tuple[str, str]]:
    """How many there are of each kind in each file below the folder: (path, kind), as `kinds` has them."""
    counted = Counter[tuple[str, str]]()
    for path in sorted(folder.rglob("*.py")):
        for kind in kinds(path.read_text()):
            counted[path.relative_to(folder).as_posix(), kind] += 1
    return counted


def kinds(source: str) -> Iterator[str]:
    """One word for each place in a module that needs a reason.

    "sleep": it sleeps. "clock": it times something, waits for so long and no longer, or
    asserts what the clock shows. "chance": randomness without a
    seed. "statuses": it asserts that an HTTP status is one of several. "skip": it may be skipped, or fail.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield from _of_call(node, *_called(node))
        elif isinstance(node, ast.Assert):
            yield from _of_assertion(node)


def _of_call(node: ast.Call, module: str, name: str) -> Iterator[str]:
    if name == "sleep":
        yield "sleep"
    elif (module == "time" and name in _CLOCKS) or (name == "until" and _is_bounded(node)):
        yield "clock"
    elif (module == "random" and not (name in _SEEDED and node.args)) or (module, name) == ("os", "urandom"):
        yield "chance"
    elif module in ("pytest", "mark") and name in _SKIPS:
        yield "skip"


def _of_assertion(node: ast.Assert) -> Iterator[str]:
    for each in ast.walk(node.test):
        if isinstance(each, ast.Call) and _called(each)[0] == "time" and _called(each)[1] in _WALL_CLOCKS:
            yield "clock"
        if isinstance(each, ast.Compare) and isinstance(each.ops[0], ast.In) and _statuses(each.comparators[0]):
            yield "statuses"


def _is_bounded(node: ast.Call) -> bool:
    """Whether it gives `until` a number of seconds of its own."""
    given = [*node.args[1:2], *(each.value for each in node.keywords if each.arg == "seconds")]
    return any(isinstance(each, ast.Constant) and isinstance(each.value, int | float) for each in given)


def _called(node: ast.Call) -> tuple[str, str]:
    """The name before the last dot, and the one after it."""
    if isinstance(node.func, ast.Attribute):
        owner = node.func.value
        return getattr(owner, "attr", getattr(owner, "id", "")), node.func.attr
    return "", getattr(node.func, "id", "")


def _statuses(node: ast.expr) -> bool:
    """Whether it is a literal collection of several HTTP statuses."""
    if not isinstance(node, ast.Tuple | ast.Set | ast.List) or len(node.elts) < 2:
        return False
    values = [each.value for each in node.elts if isinstance(each, ast.Constant)]
    return len(values) == len(node.elts) and all(isinstance(each, int) and 100 <= each < 600 for each in values)
