"""Bounds of messages: every value that passes fits into its column, and into an answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""PostgreSQL's integer."""
MOST_SERIAL = 2**63 - 1
Serial = Annotated[int, Meta(ge=0, le=MOST_SERIAL)]
"""PostgreSQL's bigint."""
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
Moment = Annotated[float, Meta(ge=0, le=LAST_SECOND)]
"""Seconds since the epoch, up to the year 9999."""
FileTime = Annotated[float, Meta(ge=FIRST_SECOND, le=LAST_SECOND)]
"""The same from the year 1 on: a file may be older than the epoch."""
MOST_LISTED = 1024
"""What a guest shows of one kind: interfaces, addresses of one, file systems. More is made up."""
MOST_CELLS = 65535
"""Of a terminal's rows and columns: the kernel has 16 bits for each."""
Percent = Annotated[int, Meta(ge=0, le=100)]
Port = Annotated[int, Meta(ge=1, le=65535)]

LEAST_EXIT_CODE, MOST_EXIT_CODE = -(2**31), 2**32 - 1
ExitCode = Annotated[int, Meta(ge=LEAST_EXIT_CODE, le=MOST_EXIT_CODE)]
"""Of a program in any guest: Windows has 32 bits."""

NAME, LINE = 256, 4096
Name = Annotated[str, Meta(max_length=NAME)]
"""An id, a name, a word."""
Line = Annotated[str, Meta(max_length=LINE)]
"""A sentence for people, a path."""


def shortened(text: str, most: int = LINE) -> str:
    """What a tool has said may be of any length."""
    return text if len(text) <= most else f"{text[: most - 4]} ..."
