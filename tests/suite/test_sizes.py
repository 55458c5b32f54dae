"""No file is so long, and no function so large, that it can't be read at a sitting."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE_LINES, FUNCTION_LINES = 300, 60
# A migration is written once, by a tool, and then never changed.
WHOLE = ("migrations/versions/",)


def too_long(path: str, text: str) -> list[str]:
    """What of a Python file is longer than may be."""
    lines = len(text.splitlines())
    found = [f"{path}: {lines} lines"] if lines > FILE_LINES else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            found += [f"{path}: {node.name}() has {lines} lines"] if lines > FUNCTION_LINES else []
    return found


def test_all_can_be_read_at_a_sitting() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [path for path in tracked.stdout.split() if not path.startswith(WHOLE) and (ROOT / path).exists()]
    assert len(paths) > 500
    assert [each for path in paths for each in too_long(path, (ROOT / path).read_text())] == []


def test_what_is_longer_is_named() -> None:
    function = "def long():\n" + "    pass\n" * FUNCTION_LINES
    assert too_long("f.py", function) == ["f.py: long() has 61 lines"]
    assert too_long("f.py", "x = 1\n" * FILE_LINES) == []
    assert too_long("f.py", "x = 1\n" * (FILE_LINES + 1)) == ["f.py: 301 lines"]
