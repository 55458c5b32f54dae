"""What files are filled with: bytes that nothing compresses, and the same in each run."""

from __future__ import annotations

import random


def noise(length: int, seed: int = 7) -> bytes:
    """As many bytes; others for another seed."""
    return random.Random(seed).randbytes(length)
