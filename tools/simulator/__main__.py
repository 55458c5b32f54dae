"""`python -m tools.simulator`."""

from __future__ import annotations

from tools.simulator.commands import simulator

if __name__ == "__main__":
    simulator(prog_name="python -m tools.simulator")
