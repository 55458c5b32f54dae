"""`python -m tools.lab`."""

from __future__ import annotations

from tools.lab.commands import lab

if __name__ == "__main__":
    lab(prog_name="python -m tools.lab")
