"""The memory of a process after a burst: large blocks come from the system, and return to it.

glibc raises the size from which it does so with each large block that is freed, to 32 MiB, and keeps what is smaller:
ten answers of 20 MB at once left 600 MB with an agent (docs/decisions). Set once, the size stays. See mallopt(3).
"""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 256 * 1024


def give_back() -> bool:
    """From now on; whether the C library lets itself be told."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))
