"""Which execution of a guest a call is about, and what it says to one that has a terminal."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from msgspec import Meta, Struct

from core.contract.bounds import MOST_CELLS

_MOST_TYPED = 64 * 1024  # in base64
ExecId = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[0-9a-f-]*$")]


class ExecRef(Struct, frozen=True):
    """Which execution."""

    id: ExecId


class TerminalSize(Struct, frozen=True):
    """How many characters a terminal shows: a size of 0 is none."""

    rows: Annotated[int, Meta(ge=1, le=MOST_CELLS)]
    columns: Annotated[int, Meta(ge=1, le=MOST_CELLS)]


class TypeKeys(ExecRef, frozen=True):
    """The same, and what is typed on its terminal."""

    data_b64: Annotated[str, Meta(max_length=_MOST_TYPED)]

    def __post_init__(self) -> None:
        """`ValueError` for what is not base64."""
        try:
            base64.b64decode(self.data_b64, validate=True)
        except binascii.Error:
            raise ValueError("data_b64 is not base64") from None

    @property
    def data(self) -> bytes:
        """The bytes."""
        return base64.b64decode(self.data_b64)


class ResizeTerminal(ExecRef, frozen=True):
    """The same, and how large its terminal is from now on."""

    size: TerminalSize
