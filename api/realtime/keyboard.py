"""What a client says on the socket of an execution with a terminal: what is typed, and how large its window is.

Binary messages are typed as they are. Text messages are JSON, `{"type": "input", "data"}` and
`{"type": "resize", "rows", "columns"}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from api.realtime.executions import FollowedExec
from core.contract.errors import Conflict, CorralError, Forbidden, Invalid
from core.contract.terminals import TerminalSize

_AT_ONCE = 32 * 1024


class Input(msgspec.Struct, tag_field="type", tag="input", frozen=True):
    """It is typed."""

    data: str


class WindowSchema(TerminalSize, tag_field="type", tag="resize", frozen=True):
    """The terminal has this size from now on."""


_READ = msgspec.json.Decoder(Input | WindowSchema)


class Keyboard:
    """One client's; `may_type` says whether it may, each time anew."""

    def __init__(self, execution: FollowedExec, *, has_terminal: bool, may_type: Callable[[], bool]) -> None:
        self._execution, self._has_terminal, self._may_type = execution, has_terminal, may_type

    def hear(self, messages: Sequence[str | bytes]) -> Iterator[CorralError]:
        """Does what they say, in their order; what is wrong with any."""
        pieces, window = bytearray(), None
        for message in messages:
            try:
                said = self._read(message)
            except CorralError as error:
                yield error
                continue
            if isinstance(said, WindowSchema):
                window = said  # of many, the last one counts
                continue
            pieces += said
            if len(pieces) >= _AT_ONCE:
                yield from self._try(partial(self._execution.type, bytes(pieces)))
                pieces.clear()
        if window is not None:
            yield from self._try(partial(self._execution.resize, window.rows, window.columns))
        if pieces:
            yield from self._try(partial(self._execution.type, bytes(pieces)))

    def _read(self, message: str | bytes) -> bytes | WindowSchema:
        if not self._has_terminal:
            raise Conflict(
                "this execution was begun without a terminal: give `tty` when you begin it", code="not_a_terminal"
            )
        if not self._may_type():
            raise Forbidden("an API key with read access may not type", code="forbidden")
        if isinstance(message, bytes):
            return message
        try:
            said = _READ.decode(message)
        except (ValueError, RecursionError) as error:
            raise Invalid(
                f'a message is bytes, {{"type": "input", "data"}} or {{"type": "resize", '
                f'"rows", "columns"}} with 1 to 65535 each: {error}'
            ) from None
        return said if isinstance(said, WindowSchema) else said.data.encode(errors="surrogatepass")

    def _try(self, action: Callable[[], None]) -> Iterator[CorralError]:
        try:
            action()
        except CorralError as error:
            yield error
