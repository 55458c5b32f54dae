"""Errors of the guest agent: a bad answer, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.contract.errors import DriverFailure, GuestTimeout, Invalid

SHOWN = 300


class AgentRefused(DriverFailure):
    """The guest agent answered with an error."""

    code = "guest_refused"


class AgentForbids(DriverFailure):
    """The guest agent has no such command, or its settings forbid it: trying again is of no use."""

    code = "guest_call_disabled"


class AgentSilent(GuestTimeout):
    """The guest agent did not answer in time: it hangs, or its whole guest does."""

    code = "guest_agent_unresponsive"


class AgentRestarted(GuestTimeout):
    """The guest agent answers, but not to this request: that went to an earlier one. Nobody knows whether it was
    done.
    """

    code = "guest_agent_restarted"


class AgentHungUp(AgentRestarted):
    """The guest agent closed the connection, as it does when it or its guest restarts."""


class AgentGone(DriverFailure):
    """Nobody holds the VM's end of the channel: the VM does not run, or no longer."""

    code = "vm_not_running"


@contextmanager
def understood() -> Iterator[None]:
    """Around what takes an answer apart: a guest may answer anything."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, Invalid):
        raise AgentRefused("the guest agent's answer can't be understood") from None
