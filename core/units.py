"""Sizes and percentages, the same everywhere."""

from __future__ import annotations

MB, GB = 1 << 20, 1 << 30


def percent(part: float, whole: float) -> float:
    """With two digits after the point; 0 of nothing."""
    return round(100 * part / whole, 2) if whole else 0.0
