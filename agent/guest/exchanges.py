"""One exchange with a guest agent: its markers, its request, and the line with the answer."""

from __future__ import annotations

import json
import secrets
from typing import Any

from agent.guest import replies
from agent.guest.answers import AgentRefused, AgentRestarted
from core.contract.errors import DriverFailure
from core.contract.texts import unsendable

SENTINEL = b"\xff"


class Exchange:
    """What is heard after a request. It was sent after the first of our markers, and before all others."""

    def __init__(self, command: str) -> None:
        self.data_bytes = 0  # of an answer that has what a guest's user wrote
        self._has_data, self._most_bytes = replies.has_data(command), replies.most_bytes(command)
        self._left = replies.MOST_DATA_BYTES  # of what an earlier exchange has left; from the first marker on, of ours
        self._markers: list[int] = []
        self._begun = bytearray()
        self._heard_first = False

    @property
    def all_is_heard(self) -> bool:
        """Once there is an answer: whether nothing of ours is unanswered."""
        return len(self._markers) == 1

    def mark(self) -> bytes:
        """One more marker, to be sent."""
        self._markers.append(secrets.randbits(31))
        return SENTINEL + line_of("guest-sync-delimited", {"id": self._markers[-1]})

    def take(self, some: bytes) -> bytes | None:
        """The line with the answer, once it is whole; `AgentRestarted` when there will be none."""
        self.data_bytes += len(some) if self._has_data and self._heard_first else 0
        self._left -= len(some)
        if self._left < 0:
            raise AgentRefused("the guest agent's answer is too long")
        first, *more = some.split(b"\n")
        self._begun += first
        for rest in more:
            line, self._begun = bytes(self._begun), bytearray(rest)
            if self._is_answer(line):
                return line
        return None

    def _is_answer(self, line: bytes) -> bool:
        _, sentinel, after = line.rpartition(SENTINEL)
        if not sentinel:
            return self._heard_first
        told = replies.marker(after)
        if told in self._markers[1:]:
            raise AgentRestarted("the guest agent was restarted before it answered: try again")
        if told == self._markers[0]:
            self._heard_first, self._left = True, self._most_bytes
        return False


class Greeting(Exchange):
    """A marker alone, or several: heard once the last of them is, and with it all that was sent before."""

    all_is_heard = True

    def __init__(self) -> None:
        super().__init__("guest-sync-delimited")

    def _is_answer(self, line: bytes) -> bool:
        _, sentinel, after = line.rpartition(SENTINEL)
        return bool(sentinel) and replies.marker(after) == self._markers[-1]


def line_of(command: str, arguments: dict[str, Any]) -> bytes:
    """Paths and the like; what commands are given is looked at before (agent/guest/commands.py)."""
    bad = next((found for each in arguments.values() if isinstance(each, str) and (found := unsendable(each))), None)
    if bad is not None:
        raise DriverFailure(f"the guest agent can't receive text with the character {bad}", code="invalid_request")
    return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
