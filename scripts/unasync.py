"""Writes the blocking client from the asynchronous one: `corral/_async` is the source, `corral/_sync` is made.

python scripts/unasync.py          writes what differs
python scripts/unasync.py --check  exits with 1 if anything would
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_SOURCE, _MADE = _ROOT / "corral" / "_async", _ROOT / "corral" / "_sync"
_NAMES = {
    "AsyncIterator": "Iterator",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "_async": "_sync",
    "aclose": "close",
    "aiter_bytes": "iter_bytes",
    "aread": "read",
    "asynccontextmanager": "contextmanager",
}
_HEAD = "# Made from {} by scripts/unasync.py; change that file instead.\n"


def made_from(source: Path) -> str:
    """The blocking twin of a module."""
    text = source.read_text().replace("websockets.asyncio.client", "websockets.sync.client")
    text = text.replace("asyncio.sleep", "time.sleep")
    text = text.replace("import asyncio\n", "" if "import time\n" in text else "import time\n")
    text = re.sub(r"\b(async|await) +", "", text)
    text = _HEAD.format(source.relative_to(_ROOT)) + re.sub(r"\b\w+\b", lambda match: _renamed(match[0]), text)
    return _ruff("format", _ruff("check", text, "--quiet", "--fix-only", "--select=I"))


def _ruff(verb: str, text: str, *options: str) -> str:
    command = [sys.executable, "-m", "ruff", verb, *options, "--stdin-filename=corral/_sync/made.py", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=_ROOT).stdout


def _renamed(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    return name.removeprefix("Async")


def main() -> None:
    """Both uses."""
    _MADE.mkdir(exist_ok=True)
    stale = []
    for source in sorted(_SOURCE.glob("*.py")):
        target = _MADE / source.name
        text = made_from(source)
        if not target.exists() or target.read_text() != text:
            stale.append(target)
            if "--check" not in sys.argv:
                target.write_text(text)
    if stale and "--check" in sys.argv:
        sys.exit("out of date, run scripts/unasync.py: " + " ".join(str(path.relative_to(_ROOT)) for path in stale))


if __name__ == "__main__":
    main()
