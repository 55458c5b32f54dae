"""Types that several threads meet for the first time at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# A process of its own, as what went wrong here was the end of one.
SCRIPT = """
import sys, threading
from dataclasses import field, make_dataclass
from core.contract.messages import build, decode
sys.setswitchinterval(1e-6)

def new(number):
    inner = [make_dataclass(f"Inner{number}_{n}", [(f"f{m}", int | None, None) for m in range(20)]) for n in range(20)]
    fields = [(f"g{n}", list[each], field(default_factory=list)) for n, each in enumerate(inner)]
    return make_dataclass(f"Outer{number}", fields)

def read(kind, together, number):
    together.wait()
    if number % 2:
        assert build(kind, {"g0": [{"f0": 1}]}).g0[0].f0 == 1
    else:
        assert decode(kind, '{"g19": [{"f19": 2}]}').g19[0].f19 == 2

for number in range(30):
    kind, together = new(number), threading.Barrier(4)
    threads = [threading.Thread(target=read, args=(kind, together, n)) for n in range(4)]
    [each.start() for each in threads], [each.join() for each in threads]
print("all read")
"""


def test_threads_that_meet_a_type_at_once_both_read_it() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "all read\n", "")
