"""Durations as people write them."""

from __future__ import annotations

import re
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[int]):
    """Seconds, of a number with a unit: 90s, 15m, 1h, 2d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Seconds; a number alone is seconds too."""
        found = re.fullmatch(r"([0-9]{1,7})([smhd]?)", str(value))
        if not found:
            self.fail(f"{value!r} is not a duration such as 90s, 15m, 1h or 2d", param, ctx)
        return int(found[1]) * _UNITS[found[2] or "s"]
