"""`python -m tools.virtualbox`."""

from __future__ import annotations

from tools.virtualbox.commands import virtualbox

if __name__ == "__main__":
    virtualbox(prog_name="python -m tools.virtualbox")
